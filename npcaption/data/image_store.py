"""The image store: images, each decoded once."""
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL

from ..errors import DataError
from ..support.cores import usable_cores
from ..support.images import max_pixels
from . import store
from .images import load_image as decode

VERSION = 3         # increment when decoded pixels or the store's layout change


def open_images(paths, size, folder=None, workers=None):
    """Images at paths, equal to load_image's -> store.Store, rows (N, size, size, 3) uint8

    workers: decoding threads; one per usable core if None. folder and errors: see store.open_store.
    """
    return store.open_store(paths, contents(size, workers or usable_cores()), folder)


def contents(size, workers):
    key = f"{VERSION} {PIL.__version__} {max_pixels()}"
    return store.Contents("image store", f"images-{size}", key, (size, size, 3), np.uint8,
                          lambda paths: decode_all(paths, size, workers))


def decode_all(paths, size, workers):
    with ThreadPoolExecutor(workers) as pool:
        yield from decode_in_order(pool, paths, size, 4 * workers)


def decode_in_order(pool, paths, size, ahead):
    """Yield the images of paths in order; the pool runs at most `ahead` images ahead, to bound memory."""
    waiting = deque()
    for path in paths:
        waiting.append(pool.submit(attempt, path, size))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def attempt(path, size):
    """The image at path, (size, size, 3) uint8, or the error on reading it"""
    try:
        return decode(path, size)
    except DataError as error:
        return error.__cause__
