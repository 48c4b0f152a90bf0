"""An image as a sequence of square patches, row by row (Dosovitskiy et al. 2020, arXiv:2010.11929)."""


def patches_forward(image, size):
    """Patches of size x size pixels, each flattened as (c, y, x).  image (..., S, S, 3) -> (..., P, 3*size*size)"""
    n = image.shape[-2] // size                              # patches along a side, P = n * n
    tiles = image.reshape(*image.shape[:-3], n, size, n, size, 3)  # (..., row, y, column, x, c)
    tiles = tiles.swapaxes(-4, -3)                           # (..., row, column, y, x, c)
    tiles = tiles.swapaxes(-1, -2).swapaxes(-2, -3)          # (..., row, column, c, y, x)
    return tiles.reshape(*image.shape[:-3], n * n, 3 * size * size), (n, size)


def patches_backward(dout, cache):
    """Only pixels moved, so each gradient moves back to its pixel: the inverse of the forward.  -> (..., S, S, 3)"""
    n, size = cache
    tiles = dout.reshape(*dout.shape[:-2], n, n, 3, size, size)  # (..., row, column, c, y, x)
    tiles = tiles.swapaxes(-2, -3).swapaxes(-1, -2)          # (..., row, column, y, x, c)
    tiles = tiles.swapaxes(-4, -3)                           # (..., row, y, column, x, c)
    return tiles.reshape(*dout.shape[:-2], n * size, n * size, 3)
