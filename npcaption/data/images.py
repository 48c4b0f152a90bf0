"""Any image -> (size, size, 3) uint8: the one way in for training and captioning alike.

Each Pillow from 10.1 to 13 gives the same pixels.
"""
import numpy as np
from PIL import Image

from ..support.images import open_image


def load_image(source, size):
    """source, squashed to a square of size pixels by an antialiased bilinear resize -> (size, size, 3) uint8

    source is a path, an open binary file, a Cell of a Parquet file, a PIL image or an (H, W, 3) uint8 array. EXIF
    rotation is applied, transparency laid on white, and of an animation the first frame is taken; one that has the size
    already comes back as it is.
    DataError if it cannot be read, or is a file of more than max_pixels() pixels. Memory: up to 8 bytes a pixel.
    """
    return squash(open_image(source), size)


def squash(image, size):
    """An RGB image -> (size, size, 3) uint8

    Width first, then height, as Pillow itself did it up to 12; 13 begins with the height of tall images, and as each
    pass rounds, that gives other pixels.
    """
    narrow = image.resize((size, image.height), Image.Resampling.BILINEAR)
    return np.array(narrow.resize((size, size), Image.Resampling.BILINEAR))
