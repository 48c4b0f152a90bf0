"""Layer normalisation over the channels (Ba, Kiros, Hinton 2016, arXiv:1607.06450)."""
import numpy as np

EPSILON = 1e-5  # keeps the division finite where all channels are equal; PyTorch's default


def layernorm_forward(x, w, b):
    """out = w * (x - mean) / sqrt(var + eps) + b over the last axis.  x (..., C), w and b (C,)"""
    centred = x - x.mean(-1, keepdims=True)                  # (..., C)
    rstd = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)  # (..., 1)
    xhat = centred * rstd                                    # (..., C), mean 0 and, but for eps, variance 1
    return xhat * w + b, (xhat, rstd, w)


def layernorm_backward(dout, cache):
    """dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)),  dxhat = dout * w

    The two means are what x does through the statistics: moving one x_i shifts the mean of its row, and changes the
    reciprocal of its standard deviation by drstd/dx_i = -rstd^2 xhat_i / C.  They make dx orthogonal to 1 and, but for
    eps, to xhat: the output cannot change along the directions that normalisation removes.
    """
    xhat, rstd, w = cache
    dxhat = dout * w                                         # (..., C)
    dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True)
                 - xhat * (dxhat * xhat).mean(-1, keepdims=True))
    rows = tuple(range(dout.ndim - 1))
    dw = (dout * xhat).sum(rows)                             # (C,)
    db = dout.sum(rows)                                      # (C,)
    return dx, dw, db
