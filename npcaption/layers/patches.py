"""Patches: an image as a sequence of square patches, row by row (Dosovitskiy et al. 2020, arXiv:2010.11929)."""


def patches_forward(image, size):
    """Patches of size x size pixels, each flattened as (c, y, x).  image (..., A, A, C) -> (..., P, C*size*size)"""
    n, channels = image.shape[-2] // size, image.shape[-1]   # patches along a side, P = n * n
    tiles = image.reshape(*image.shape[:-3], n, size, n, size, channels)  # (..., row, y, column, x, c)
    tiles = tiles.swapaxes(-4, -3)                           # (..., row, column, y, x, c)
    tiles = tiles.swapaxes(-1, -2).swapaxes(-2, -3)          # (..., row, column, c, y, x)
    return tiles.reshape(*image.shape[:-3], n * n, channels * size * size), (n, size, channels)


def patches_backward(dout, cache):
    """The inverse permutation: each gradient moves back to its pixel.  -> (..., A, A, C)"""
    n, size, channels = cache
    tiles = dout.reshape(*dout.shape[:-2], n, n, channels, size, size)  # (..., row, column, c, y, x)
    tiles = tiles.swapaxes(-2, -3).swapaxes(-1, -2)          # (..., row, column, y, x, c)
    tiles = tiles.swapaxes(-4, -3)                           # (..., row, y, column, x, c)
    return tiles.reshape(*dout.shape[:-2], n * size, n * size, channels)
