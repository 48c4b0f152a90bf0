"""Layer normalisation of x (T, C) float32, by the formulas of layers/layernorm.py."""
import numpy as np

from .compilation import kernel
from .simd import F1, F2

EPSILON, ONE = np.float32(1e-5), np.float32(1)


@kernel
def fused_layernorm_forward(x: F2, w: F1, b: F1, xhat: F2, rstd: F1, out: F2):
    """Write xhat (T, C), rstd (T,) and out (T, C)."""
    channels = x.shape[1]
    share = ONE / np.float32(channels)
    for i in range(x.shape[0]):
        row, normed, result = x[i], xhat[i], out[i]
        total = np.float32(0)
        for j in range(channels):
            total += row[j]
        mean = total * share
        squares = np.float32(0)
        for j in range(channels):
            centred = row[j] - mean
            squares += centred * centred
        r = ONE / np.sqrt(squares * share + EPSILON)
        rstd[i] = r
        for j in range(channels):
            h = (row[j] - mean) * r
            normed[j] = h
            result[j] = h * w[j] + b[j]


@kernel
def fused_layernorm_backward(dout: F2, xhat: F2, rstd: F1, w: F1, dw: F1, db: F1, dx: F2):
    """Add into dx (T, C), which holds the gradient of the residual path, and into dw and db."""
    channels = dout.shape[1]
    share = ONE / np.float32(channels)
    for i in range(dout.shape[0]):
        d, h, result = dout[i], xhat[i], dx[i]
        total, along = np.float32(0), np.float32(0)          # sums of dxhat and of dxhat * xhat
        for j in range(channels):
            dxhat = d[j] * w[j]
            total += dxhat
            along += dxhat * h[j]
        total *= share
        along *= share
        r = rstd[i]
        for j in range(channels):
            result[j] += r * (d[j] * w[j] - total - h[j] * along)
        for j in range(channels):
            dw[j] += d[j] * h[j]
            db[j] += d[j]
