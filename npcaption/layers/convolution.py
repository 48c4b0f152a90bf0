"""A convolution: a linear layer on every 3 x 3 window, or on every second one."""
from .linear import linear_backward, linear_forward
from .windows import windows_backward, windows_forward

SIZE = 3


def convolution_forward(x, w, b, stride):
    """out = windows(x) w + b.  x (..., S, S, C), w (9*C, O), its rows ordered (y, x, c), b (O,) -> (..., N, N, O)

    stride 1 keeps height and width, N = S; 2 halves them.
    """
    windows, cut = windows_forward(x, SIZE, stride)          # (..., N, N, 9*C)
    out, linear = linear_forward(windows, w, b)              # (..., N, N, O)
    return out, (cut, linear)


def convolution_backward(dout, cache):
    """The steps in reverse: each window's gradient goes back to its pixels, where those of all windows add up."""
    cut, linear = cache
    dwindows, dw, db = linear_backward(dout, linear)         # (..., N, N, 9*C)
    return windows_backward(dwindows, cut), dw, db
