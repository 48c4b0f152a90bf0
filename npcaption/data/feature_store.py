"""The feature store: a frozen encoder's tokens, computed once per image, in float16."""
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import PIL
from PIL import ImageOps

from ..errors import DataError
from ..support.cores import usable_cores
from ..support.images import max_pixels, open_image
from ..support.progress import note
from . import store

VERSION = 1         # increment when the features of an encoder change
GROUP = 16          # images opened together


def open_features(paths, encoder, mirrored=False, folder=None):
    """Features of the images at paths -> store.Store, rows (N, P, D) float16

    encoder: see pretrained.encoders.Encoder. mirrored: whether to mirror the images first; a separate store.
    folder and errors: see store.open_store.
    """
    return store.open_store(paths, contents(encoder, mirrored), folder)


def contents(encoder, mirrored):
    key = (f"{VERSION} {PIL.__version__} {max_pixels()} {encoder.sha256} {encoder.name} {encoder.shape} {mirrored} "
           f"{encoder.preprocessing}")
    noun = f"feature store{' of mirrored images' * mirrored}"
    tokens, width = encoder.shape

    def make(paths):
        paths = list(paths)
        if paths:
            note(f"{encoder.name}: {len(paths) * tokens * width * 2:,} bytes of features for {len(paths):,} images"
                 f"{', mirrored' * mirrored}.")
        return encode_all(paths, encoder, mirrored)
    return store.Contents(noun, f"features-{tokens}x{width}", key, encoder.shape, np.float16, make)


def encode_all(paths, encoder, mirrored):
    """Yield the features (P, D) float16 of each path, or the error on reading it."""
    paths = iter(paths)
    with ThreadPoolExecutor(usable_cores()) as pool:
        while group := list(islice(paths, GROUP)):
            opened = list(pool.map(lambda path: attempt(path, mirrored), group))
            found = iter(stored(encoder.tokens([image for image in opened if not isinstance(image, Exception)])))
            yield from (image if isinstance(image, Exception) else next(found) for image in opened)


def attempt(path, mirrored):
    """The image at path, or the error on reading it"""
    try:
        return ImageOps.mirror(open_image(path)) if mirrored else open_image(path)
    except DataError as error:
        return error.__cause__ or error


def stored(tokens):
    """Convert features for the store.  tokens (B, P, D) float32 -> float16.  DataError beyond its range"""
    with np.errstate(over="ignore"):
        found = tokens.astype(np.float16)
    if not np.isfinite(found).all():
        raise DataError(f"The encoder gives features up to {np.abs(tokens).max():g}, beyond float16's range. Check its "
                        "file.")
    return found
