"""Pillow's 8-bit bilinear resampling up to version 12, in integers: width first, then height, each pass rounded.

Written from the algorithm and not with Pillow, so that the pixels that a model sees do not depend on Pillow's version.
"""
import numpy as np

PRECISION = 32 - 8 - 2      # bits behind the point of a coefficient


def coefficients(length, start, stop, size):
    """The part of a line from start to stop -> for each of `size` pixels its first in the line and integer weights"""
    start, stop = np.float32(start), np.float32(stop)        # as Pillow stores a box
    scale = float(stop - start) / size
    stretch = max(scale, 1.0)                                # the triangle's half width: it widens to shrink an image
    for i in range(size):
        centre = float(start) + (i + 0.5) * scale
        first, last = max(0, int(centre - stretch + 0.5)), min(length, int(centre + stretch + 0.5))
        weights = [max(0.0, 1 - abs((j - centre + 0.5) * (1 / stretch))) for j in range(first, last)]
        total = sum(weights)
        yield first, [int(0.5 + w / total * 2 ** PRECISION) for w in weights]


def one_pass(image, start, stop, size):
    """Along the first axis.  (N, ...) uint8 -> (size, ...) uint8"""
    rows = []
    for first, weights in coefficients(len(image), start, stop, size):
        total = sum(w * row.astype(np.int64) for w, row in zip(weights, image[first:first + len(weights)]))
        rows.append(np.clip((total + 2 ** (PRECISION - 1)) >> PRECISION, 0, 255))
    return np.array(rows, np.uint8)


def resize(image, size, box=None):
    """(H, W, 3) uint8 -> (size, size, 3) uint8.  box: left, top, right, bottom of the part that is wanted"""
    left, top, right, bottom = box or (0, 0, image.shape[1], image.shape[0])
    narrow = one_pass(image.swapaxes(0, 1), left, right, size).swapaxes(0, 1)
    return one_pass(narrow, top, bottom, size)
