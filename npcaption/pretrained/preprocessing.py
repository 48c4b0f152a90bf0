"""From an image to the pixels of a frozen encoder, exactly as torchvision's transforms have it.

The resize is Pillow's: other libraries' bicubic filters give other pixels, and so other features. Pillow 13 resizes the
height of tall images first, earlier ones the width, which may change a pixel by one step of 255.
"""
from itertools import islice

import numpy as np
from PIL import Image

from ..support.images import open_image

BATCH = 16          # images at a time: enough for fast matrix products
LONGEST = 100       # times as long as wide; resized by its shorter side, a longer image could take any memory


def resize_shorter_side(image, size):
    """Antialiased bicubic resize to `size` pixels along the shorter side; the longer is rounded down.

    Of an image more than LONGEST times as long as wide only the middle is kept.
    """
    short, long = sorted(image.size)
    if long > LONGEST * short:
        cut = (long - LONGEST * short) // 2                  # the same at both ends: the middle stays where it is
        image = image.crop((cut, 0, long - cut, short) if image.width > short else (0, cut, short, long - cut))
        long -= 2 * cut
    scaled = int(size * long / short)
    size = (size, scaled) if image.width <= image.height else (scaled, size)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def center_crop(image, size):
    """The square of `size` pixels in the middle; of an odd margin's halves the even one is before it."""
    left, top = (round((length - size) / 2) for length in image.size)
    return image.crop((left, top, left + size, top + size))


def normalise(image, mean, std):
    """An RGB image -> (H, W, 3) float32: (x / 255 - mean) / std, with one mean and std for each colour"""
    pixels = np.asarray(image, np.float32) / np.float32(255)  # (H, W, 3)
    pixels -= np.asarray(mean, np.float32)
    pixels /= np.asarray(std, np.float32)
    return pixels


def cropped_square(source, size, mean, std):
    """An image as CLIP's image encoders take it.  source: see support.images.open_image -> (size, size, 3) float32

    DataError if it cannot be read, or is too large.
    """
    return normalise(center_crop(resize_shorter_side(open_image(source), size), size), mean, std)


def batches(images, preprocess):
    """Any iterable of images -> arrays of at most BATCH preprocessed ones, (B, ...) each, made when asked for"""
    images = iter(images)
    while batch := [preprocess(image) for image in islice(images, BATCH)]:
        yield np.stack(batch)
