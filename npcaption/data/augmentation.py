"""Augmentation: random mirroring, cropping and colours that keep the captions true.

Seven numbers, drawn beforehand, fix the view of an image. So seed and epoch give the same views after any interruption.
"""
import re

import numpy as np
from PIL import Image

DRAWS = 7                                                    # uniform numbers from 0 to 1 per image
SIDED = re.compile(r"\b(left|right|clockwise|counterclockwise)(most|hand|ward|wards)?\b")
LUMA = np.array([0.299, 0.587, 0.114])                       # Pillow's weights of red, green and blue (ITU-R 601-2)


def sided(text):
    """Whether mirroring the image makes a caption false. "has left" counts as a side, too, at little cost."""
    return bool(SIDED.search(text.lower()))


def augment(image, draws, mirror, crop, colour):
    """Random view of an image.  image (A, A, 3) uint8, draws (DRAWS,) -> (A, A, 3) uint8

    mirror: swap left and right. crop: stretch a part of at least (1 - crop) of the height and of the width, drawn
    independently. colour: multiply brightness, contrast and saturation by 1 - colour to 1 + colour.
    """
    size = len(image)
    if not crop and not colour:
        return image[:, ::-1] if mirror else image
    if crop:
        width, height = size * (1 - crop * draws[:2])
        left, top = (size - width) * draws[2], (size - height) * draws[3]
        view = stretched(image, left, top, left + width, top + height)
    else:
        view = pil_image(image)
    if colour:
        view = view.convert("RGB", colour_matrix(*(1 + colour * (2 * draws[4:] - 1))))
    return np.asarray(view)[:, ::-1] if mirror else np.asarray(view)


def stretched(image, left, top, right, bottom):
    """Stretch a box of image (A, A, 3) to A x A -> a PIL image

    Width first, on the rows that the box needs, then height: see images.squash.
    """
    size = len(image)
    top, bottom = np.float32([top, bottom])                  # Pillow's precision; subtracting `first` is then exact
    first, last = max(0, int(top) - 1), min(size, int(bottom) + 2)
    rows = pil_image(image[first:last])
    rows = rows.resize((size, last - first), Image.Resampling.BILINEAR, (left, 0, right, last - first))
    return rows.resize((size, size), Image.Resampling.BILINEAR, (0, top - first, size, bottom - first))


def pil_image(image):
    """(H, W, 3) uint8 -> a PIL image that shares its memory"""
    return Image.frombuffer("RGB", image.shape[1::-1], image, "raw", "RGB", 0, 1)


def colour_matrix(brightness, contrast, saturation):
    """Pillow's 3 x 4 matrix from (red, green, blue, 1) to new colours.

    Saturation blends each pixel with its own grey, contrast with middle grey, brightness with black.
    """
    mix = saturation * np.eye(3) + (1 - saturation) * LUMA   # (3, 3), rows sum to 1
    matrix = np.hstack([contrast * mix, np.full((3, 1), (1 - contrast) * 127.5)]) * brightness
    return tuple(matrix.reshape(-1))
