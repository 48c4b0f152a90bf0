"""A convolution that halves height and width: a linear layer on every second 3 x 3 window."""
from .linear import linear_backward, linear_forward
from .windows import windows_backward, windows_forward

SIZE, STRIDE = 3, 2


def convolution_forward(x, w, b):
    """out = windows(x) w + b.  x (..., S, S, C), w (9*C, O), its rows ordered (y, x, c), b (O,) -> (..., S/2, S/2, O)"""
    around, cut = windows_forward(x, SIZE, STRIDE)           # (..., S/2, S/2, 9*C)
    out, linear = linear_forward(around, w, b)               # (..., S/2, S/2, O)
    return out, (cut, linear)


def convolution_backward(dout, cache):
    """The steps in reverse: each window's gradient goes back to its pixels, where those of all windows add up."""
    cut, linear = cache
    daround, dw, db = linear_backward(dout, linear)          # (..., S/2, S/2, 9*C)
    return windows_backward(daround, cut), dw, db
