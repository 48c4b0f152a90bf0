"""Preprocessing of images for a frozen encoder, bit for bit as torchvision's transforms.

The resize is Pillow's; other bicubic filters give other pixels and features. Pillow 13 resizes the height of tall
images first, earlier versions the width; a pixel can change by one of 255 levels.
"""
from itertools import islice

import numpy as np
from PIL import Image

from ..support.images import open_image

BATCH = 16          # images per batch: enough for fast matrix products
LONGEST = 100       # maximum aspect ratio: an unbounded one would need unbounded memory after the resize


def resize_shorter_side(image, size):
    """Antialiased bicubic resize to `size` pixels along the shorter side; the longer is rounded down.

    An image of an aspect ratio above LONGEST is cropped to its middle first.
    """
    short, long = sorted(image.size)
    if long > LONGEST * short:
        margin = (long - LONGEST * short) // 2
        box = (margin, 0, long - margin, short) if image.width > short else (0, margin, short, long - margin)
        image = image.crop(box)
        long -= 2 * margin
    scaled = int(size * long / short)
    size = (size, scaled) if image.width <= image.height else (scaled, size)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def center_crop(image, size):
    """Central square of `size` pixels; an odd margin is split with the even part on the left or top."""
    left, top = (round((length - size) / 2) for length in image.size)
    return image.crop((left, top, left + size, top + size))


def normalise(image, mean, std):
    """An RGB image -> (H, W, 3) float32: (x / 255 - mean) / std, with one mean and std for each colour"""
    pixels = np.asarray(image, np.float32) / np.float32(255)  # (H, W, 3)
    pixels -= np.asarray(mean, np.float32)
    pixels /= np.asarray(std, np.float32)
    return pixels


def cropped_square(source, size, mean, std):
    """Pixels for CLIP's image encoders.  source: see support.images.open_image -> (size, size, 3) float32

    DataError if it is unreadable or too large.
    """
    return normalise(center_crop(resize_shorter_side(open_image(source), size), size), mean, std)


def batches(images, preprocess):
    """Lazily yield arrays (B, ...) of at most BATCH preprocessed images."""
    images = iter(images)
    while batch := [preprocess(image) for image in islice(images, BATCH)]:
        yield np.stack(batch)
