"""Between the outside and the first sublayers: pixels to patches, ids to rows of tables."""
import numpy as np
from numba import types

from .compilation import kernel
from .simd import F2, IDS, U8, I

HALF_RANGE, ONE = np.float32(127.5), np.float32(1)
PIXELS = types.Array(types.float32, 3, "C")


def _scale(image, out):
    """out = image / 127.5 - 1.  image (S, S, 3), 0 to 255, out (S, S, 3)"""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for c in range(image.shape[2]):
                out[y, x, c] = np.float32(image[y, x, c]) / HALF_RANGE - ONE


scale_bytes, scale_floats = kernel(U8, PIXELS)(_scale), kernel(PIXELS, PIXELS)(_scale)


@kernel(PIXELS, I, F2)
def cut(x, size, patches):
    """x (S, S, C) -> patches (P, C*size*size), each flattened as (c, y, x)"""
    n = x.shape[1] // size
    for row in range(x.shape[0] // size):
        for column in range(n):
            patch = patches[row * n + column]
            for y in range(size):
                for z in range(size):
                    for c in range(x.shape[2]):
                        patch[(c * size + y) * size + z] = x[row * size + y, column * size + z, c]


@kernel(F2, I, PIXELS)
def paste(dpatches, size, dx):
    """The way back: every number of a patch goes to its place in dx (S, S, C)."""
    n = dx.shape[1] // size
    for row in range(dx.shape[0] // size):
        for column in range(n):
            patch = dpatches[row * n + column]
            for y in range(size):
                for x in range(size):
                    for c in range(dx.shape[2]):
                        dx[row * size + y, column * size + x, c] = patch[(c * size + y) * size + x]


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
