"""Small image files for tests."""
import struct
import zlib

import numpy as np

RAMP = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3) * 20        # (2, 2, 3), distinct values
RED, WHITE = [255, 0, 0], [255, 255, 255]


def save(image, file, **options):
    """Save an image -> its path"""
    image.save(file, **options)
    return file


def chunk(name, content):
    """Bytes of a PNG chunk"""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
