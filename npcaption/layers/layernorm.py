"""Layer normalisation over the channels (Ba, Kiros, Hinton 2016, arXiv:1607.06450)."""
import numpy as np

EPSILON = 1e-5  # keeps the division finite where all channels are equal; PyTorch's default


def layernorm_forward(x, w, b):
    """out = w * xhat + b,  xhat = (x - mean) * rstd,  rstd = 1 / sqrt(var + eps), one over the standard deviation

    Mean and variance are over the last axis.  x (..., C), w and b (C,) -> (..., C)
    """
    centred = x - x.mean(-1, keepdims=True)                  # (..., C)
    rstd = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)  # (..., 1)
    xhat = centred * rstd                                    # (..., C), mean 0 and, except for eps, variance 1
    return xhat * w + b, (xhat, rstd, w)


def layernorm_backward(dout, cache):
    """dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)),  dxhat = dout * w

    d xhat_j / d x_i = rstd (1[i=j] - 1 / C - xhat_i xhat_j / C): x_i changes its own entry, the mean of its row, and
    the standard deviation. Summed over j against dxhat_j, these become the three terms. The two means make dx
    orthogonal to (1, ..., 1) and, except for eps, to xhat: normalisation removes these two directions from the output.
    """
    xhat, rstd, w = cache
    dxhat = dout * w                                         # (..., C)
    dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True)
                 - xhat * (dxhat * xhat).mean(-1, keepdims=True))  # (..., C)
    rows = tuple(range(dout.ndim - 1))
    dw = (dout * xhat).sum(rows)                             # (C,)
    db = dout.sum(rows)                                      # (C,)
    return dx, dw, db
