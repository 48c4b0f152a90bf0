"""Image loading: any source -> (size, size, 3) uint8, for training and captioning alike.

Pillow 10.1 to 13 give the same pixels.
"""
import numpy as np
from PIL import Image

from ..support.images import open_image


def load_image(source, size):
    """Load an image and squash it to a square by an antialiased bilinear resize -> (size, size, 3) uint8

    source: a path, an open binary file, a ParquetImage, a PIL image or an (H, W, 3) uint8 array. EXIF rotation is
    applied, transparency becomes white, an animation gives its first frame. An image of the right size is unchanged.
    DataError if it is unreadable, or a file of more than max_pixels() pixels. Memory: up to 8 bytes a pixel.
    """
    return squash(open_image(source), size)


def squash(image, size):
    """RGB image -> (size, size, 3) uint8

    Width first, then height, as in Pillow up to 12. Pillow 13 begins with the height of tall images; because each pass
    rounds, that order gives other pixels.
    """
    narrow = image.resize((size, image.height), Image.Resampling.BILINEAR)
    return np.array(narrow.resize((size, size), Image.Resampling.BILINEAR))
