"""Layer normalisation of x (T, C) float32, by the formulas of layers/layernorm.py."""
import numpy as np

from .compilation import compiled, kernel
from .simd import F1, F2

EPSILON, ONE = np.float32(1e-5), np.float32(1)


@compiled
def write_row(row, mean, r, w, b, result):
    """One row of the norm's output.  row and result (C,), r: its rstd"""
    for j in range(row.size):
        result[j] = (row[j] - mean) * r * w[j] + b[j]


@kernel
def fused_layernorm_forward(x: F2, w: F1, b: F1, means: F1, rstd: F1, out: F2):
    """Write means (T,), rstd (T,) and out (T, C)."""
    channels = x.shape[1]
    share = ONE / np.float32(channels)
    for i in range(x.shape[0]):
        row, result = x[i], out[i]
        total = np.float32(0)
        for j in range(channels):
            total += row[j]
        mean = total * share
        squares = np.float32(0)
        for j in range(channels):
            centred = row[j] - mean
            squares += centred * centred
        r = ONE / np.sqrt(squares * share + EPSILON)
        means[i] = mean
        rstd[i] = r
        write_row(row, mean, r, w, b, result)


@kernel
def fused_layernorm_again(x: F2, w: F1, b: F1, means: F1, rstd: F1, out: F2):
    """Write out (T, C) again, for the backward: computing it costs no more time than fetching it, and no memory."""
    for i in range(x.shape[0]):
        write_row(x[i], means[i], rstd[i], w, b, out[i])


@kernel
def fused_layernorm_backward(dout: F2, x: F2, means: F1, rstd: F1, w: F1, dw: F1, db: F1, dx: F2):
    """Add into dx (T, C), which holds the gradient of the residual path, and into dw and db."""
    channels = dout.shape[1]
    share = ONE / np.float32(channels)
    for i in range(dout.shape[0]):
        d, row, result = dout[i], x[i], dx[i]
        mean, r = means[i], rstd[i]
        total, along = np.float32(0), np.float32(0)          # sums of dxhat and of dxhat * xhat
        for j in range(channels):
            dxhat = d[j] * w[j]
            total += dxhat
            along += dxhat * ((row[j] - mean) * r)
        total *= share
        along *= share
        for j in range(channels):
            result[j] += r * (d[j] * w[j] - total - (row[j] - mean) * r * along)
        for j in range(channels):
            dw[j] += d[j] * ((row[j] - mean) * r)
            db[j] += d[j]
