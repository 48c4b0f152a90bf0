"""Embeddings: pixels to patches, ids to rows of tables, and their backward."""
import numpy as np

from .compilation import compiled, kernel
from .simd import F2, F3, IDS, U8, I

HALF_RANGE, ONE = np.float32(127.5), np.float32(1)


@compiled
def scale(image, out):
    """out = image / 127.5 - 1.  image (A, A, 3), 0 to 255, out (A, A, 3)"""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for c in range(image.shape[2]):
                out[y, x, c] = np.float32(image[y, x, c]) / HALF_RANGE - ONE


@kernel
def scale_bytes(image: U8, out: F3):
    scale(image, out)


@kernel
def scale_floats(image: F3, out: F3):
    scale(image, out)


@kernel
def cut(x: F3, size: I, patches: F2):
    """x (A, A, C) -> patches (P, C*size*size), each flattened as (c, y, x)"""
    n = x.shape[1] // size
    for row in range(x.shape[0] // size):
        for column in range(n):
            patch = patches[row * n + column]
            for y in range(size):
                for z in range(size):
                    for c in range(x.shape[2]):
                        patch[(c * size + y) * size + z] = x[row * size + y, column * size + z, c]


@kernel
def paste(dpatches: F2, size: I, dx: F3):
    """The backward of `cut`: copy every number of a patch to its pixel in dx (A, A, C)."""
    n = dx.shape[1] // size
    for row in range(dx.shape[0] // size):
        for column in range(n):
            patch = dpatches[row * n + column]
            for y in range(size):
                for x in range(size):
                    for c in range(dx.shape[2]):
                        dx[row * size + y, column * size + x, c] = patch[(c * size + y) * size + x]


@kernel
def embed(ids: IDS, w: F2, position: F2, out: F2):
    """out_t = w[ids_t] + position_t.  ids (T,), w (V, C), position (L, C), L >= T, out (T, C)"""
    for t in range(ids.size):
        row, place, result = w[ids[t]], position[t], out[t]
        for j in range(result.size):
            result[j] = row[j] + place[j]


@kernel
def add_at(dout: F2, ids: IDS, dw: F2):
    """dw[ids_t] += dout_t, one after another: a repeated token sums the gradients of all its positions."""
    for t in range(ids.size):
        row, d = dw[ids[t]], dout[t]
        for j in range(d.size):
            row[j] += d[j]


@kernel
def add_rows(d: F2, into: F2):
    """into[:T] += d.  d (T, C), into (L, C), L >= T"""
    for t in range(d.shape[0]):
        row, source = into[t], d[t]
        for j in range(source.size):
            row[j] += source[j]
