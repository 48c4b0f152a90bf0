"""Each epoch another view of every image: mirrored, cropped, in other colours. The captions must still be true.

What is done to an image is given by seven numbers drawn beforehand, so the same seed and epoch give the same views, however
often training is interrupted.
"""
import re

import numpy as np
from PIL import Image

DRAWS = 7                                                    # uniform numbers, 0 to 1, that an image needs
SIDED = re.compile(r"\b(left|right|clockwise|counterclockwise)(most|hand|ward|wards)?\b")
LUMA = np.array([0.299, 0.587, 0.114])                       # of red, green and blue, as Pillow weighs them (ITU-R 601-2)


def sided(text):
    """Whether a caption would be false of the mirrored image. "has left" is taken for a side, too: that costs little."""
    return bool(SIDED.search(text.lower()))


def augment(image, draws, mirror, crop, colour):
    """image (A, A, 3) uint8, draws (DRAWS,) -> (A, A, 3) uint8

    mirror: left becomes right. crop: show a part of at least (1 - crop) of the height and of the width, each by
    itself, stretched to the whole. colour: change brightness, contrast and saturation by a factor of at most 1 +- colour.
    """
    size = len(image)
    if not crop and not colour:
        return image[:, ::-1] if mirror else image
    if crop:
        width, height = size * (1 - crop * draws[:2])
        left, top = (size - width) * draws[2], (size - height) * draws[3]
        picture = stretched(image, left, top, left + width, top + height)
    else:
        picture = picture_of(image)
    if colour:
        picture = picture.convert("RGB", colour_matrix(*(1 + colour * (2 * draws[4:] - 1))))
    return np.asarray(picture)[:, ::-1] if mirror else np.asarray(picture)


def stretched(image, left, top, right, bottom):
    """The part of image (A, A, 3) within these edges, stretched to A x A -> a PIL image

    Width first, of the rows that the part needs, then height: see images.squash.
    """
    size = len(image)
    top, bottom = np.float32([top, bottom])                  # as Pillow takes them: so exact less `first`, too
    first, last = max(0, int(top) - 1), min(size, int(bottom) + 2)
    rows = picture_of(image[first:last])
    rows = rows.resize((size, last - first), Image.Resampling.BILINEAR, (left, 0, right, last - first))
    return rows.resize((size, size), Image.Resampling.BILINEAR, (0, top - first, size, bottom - first))


def picture_of(image):
    """(H, W, 3) uint8 -> a PIL image of the same memory"""
    return Image.frombuffer("RGB", image.shape[1::-1], image, "raw", "RGB", 0, 1)


def colour_matrix(brightness, contrast, saturation):
    """The 3 x 4 numbers by which Pillow maps red, green, blue and 1 to new ones.

    Saturation blends each pixel with its grey, contrast all of them with middle grey, brightness with black.
    """
    mix = saturation * np.eye(3) + (1 - saturation) * LUMA   # (3, 3), rows sum to 1
    matrix = np.hstack([contrast * mix, np.full((3, 1), (1 - contrast) * 127.5)]) * brightness
    return tuple(matrix.reshape(-1))
