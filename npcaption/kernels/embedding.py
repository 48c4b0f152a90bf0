"""Between the outside and the first sublayers: pixels to patches, ids to rows of tables."""
import numpy as np
from numba import types

from .simd import F2, IDS, U8, I, kernel

HALF_RANGE = np.float32(127.5)
PIXELS = types.Array(types.float32, 3, "C")


def _cut(image, size, patches):
    """image (S, S, 3), 0 to 255 -> patches (P, 3*size*size) of image / 127.5 - 1, each flattened as (c, y, x)"""
    n = image.shape[1] // size
    for row in range(image.shape[0] // size):
        for column in range(n):
            patch = patches[row * n + column]
            for y in range(size):
                for x in range(size):
                    for c in range(3):
                        value = np.float32(image[row * size + y, column * size + x, c])
                        patch[(c * size + y) * size + x] = value / HALF_RANGE - np.float32(1)


cut_bytes, cut_floats = kernel(U8, I, F2)(_cut), kernel(PIXELS, I, F2)(_cut)


@kernel(F2, I, PIXELS)
def paste(dpatches, size, dimage):
    """The way back: dimage (S, S, 3), per unit of the 0 to 255 scale."""
    n = dimage.shape[1] // size
    for row in range(dimage.shape[0] // size):
        for column in range(n):
            patch = dpatches[row * n + column]
            for y in range(size):
                for x in range(size):
                    for c in range(3):
                        dimage[row * size + y, column * size + x, c] = patch[(c * size + y) * size + x] / HALF_RANGE


@kernel(IDS, F2, F2, F2)
def embed(ids, w, position, out):
    """out_t = w[ids_t] + position_t.  ids (T,), w (V, C), position (at least T, C), out (T, C)"""
    for t in range(ids.size):
        row, place, result = w[ids[t]], position[t], out[t]
        for j in range(result.size):
            result[j] = row[j] + place[j]


@kernel(F2, IDS, F2)
def embed_backward(dout, ids, dw):
    """dw[ids_t] += dout_t, one after another: a repeated token collects from each of its places."""
    for t in range(ids.size):
        row, d = dw[ids[t]], dout[t]
        for j in range(d.size):
            row[j] += d[j]


@kernel(F2, F2)
def add_rows(d, into):
    """into[:T] += d.  d (T, C), into (at least T, C)"""
    for t in range(d.shape[0]):
        row, source = into[t], d[t]
        for j in range(source.size):
            row[j] += source[j]
