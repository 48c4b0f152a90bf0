"""Convolution: a linear layer on every 3 x 3 window, or on every second one."""
from .linear import linear_backward, linear_forward
from .windows import windows_backward, windows_forward

WINDOW = 3  # pixels along a side


def convolution_forward(x, w, b, stride):
    """out = windows(x) w + b.  x (..., A, A, C), w (9*C, O), its rows ordered (y, x, c), b (O,) -> (..., N, N, O)

    stride 1 keeps height and width, N = A; 2 halves them.
    """
    windows, unfold = windows_forward(x, WINDOW, stride)     # (..., N, N, 9*C)
    out, linear = linear_forward(windows, w, b)              # (..., N, N, O)
    return out, (unfold, linear)


def convolution_backward(dout, cache):
    """The steps in reverse: dx of a pixel sums the gradients of all windows that contain it."""
    unfold, linear = cache
    dwindows, dw, db = linear_backward(dout, linear)         # (..., N, N, 9*C), (9*C, O), (O,)
    dx = windows_backward(dwindows, unfold)                  # (..., A, A, C)
    return dx, dw, db
