"""The image store: every image decoded once."""
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL

from ..errors import DataError
from ..support.cores import usable_cores
from ..support.images import max_pixels
from . import store
from .images import load_image as decode

VERSION = 3         # raise it when `decode` changes what it returns, or the store its layout


def open_images(paths, size, folder=None, workers=None):
    """The images at paths, as load_image returns them -> store.Store, rows (N, size, size, 3) uint8

    workers: threads that decode, one per usable core if None. folder and errors: see store.open_store.
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
    """The images of paths one after another; the pool runs no more than `ahead` ahead, to bound memory."""
    waiting = deque()
    for path in paths:
        waiting.append(pool.submit(attempt, path, size))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def attempt(path, size):
    """The image at path, (size, size, 3) uint8, or the error that reading it gave"""
    try:
        return decode(path, size)
    except DataError as error:
        return error.__cause__
