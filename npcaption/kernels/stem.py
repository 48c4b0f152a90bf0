"""One convolution of the stem with its norm, GELU and residual as one call; see the textbook's stem.py and convolution.py.

x (S, S, C), out (N*N, O), N = ceil(S / stride); windows (N*N, 9*C), slope and xhat (N*N, O), rstd (N*N,).
"""
import numpy as np

from .compilation import compiled, kernel
from .gelu import gelu_backward, gelu_forward
from .layernorm import layernorm_backward, layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2, F3, I

SIZE = 3


@compiled
def reach(i, n, side, stride):
    """Window i: its first row and column in x, and which of its SIZE columns lie within the image, first and last + 1"""
    top, left = i // n * stride - SIZE // 2, i % n * stride - SIZE // 2
    return top, left, max(0, -left), min(SIZE, side - left)


@compiled
def cut_windows(x, stride, windows):
    """windows[i] = the window of x around pixel (stride * row, stride * column), zeros beyond the edge"""
    side, channels = x.shape[0], x.shape[2]
    n, pixels = (side + stride - 1) // stride, x.reshape(-1)
    for i in range(n * n):
        top, left, first, last = reach(i, n, side, stride)
        window = windows[i]
        if top < 0 or top + SIZE > side or last - first < SIZE:
            window[:] = 0
        for y in range(max(0, -top), min(SIZE, side - top)):  # the columns of a row lie side by side
            run = (last - first) * channels
            source = pixels[((top + y) * side + left + first) * channels:][:run]
            place = window[(y * SIZE + first) * channels:][:run]
            for j in range(run):
                place[j] = source[j]


@compiled
def cut_windows_backward(dwindows, stride, dx):
    """Adds into dx: each pixel collects from its windows."""
    side, channels = dx.shape[0], dx.shape[2]
    n, dpixels = (side + stride - 1) // stride, dx.reshape(-1)
    for i in range(n * n):
        top, left, first, last = reach(i, n, side, stride)
        dwindow = dwindows[i]
        for y in range(max(0, -top), min(SIZE, side - top)):
            run = (last - first) * channels
            dsource = dpixels[((top + y) * side + left + first) * channels:][:run]
            dplace = dwindow[(y * SIZE + first) * channels:][:run]
            for j in range(run):
                dsource[j] += dplace[j]


@kernel(F3, F1, F1, F1, F1, I, F2, F2, F1, F2, F2)
def stem_block_forward(x, panels, b, norm_w, norm_b, stride, windows, xhat, rstd, slope, out):
    """With stride 1, x is added to what comes out."""
    cut_windows(x, stride, windows)
    multiply(windows, panels, b, out[:0], out)
    layernorm_forward(out, norm_w, norm_b, xhat, rstd, slope)
    gelu_forward(slope.reshape(-1), out.reshape(-1))
    if stride == 1:
        pixels, numbers = x.reshape(-1), out.reshape(-1)
        for j in range(numbers.size):
            numbers[j] += pixels[j]


@kernel(F2, F1, F1, I, F2, F2, F1, F2, F2, F2, F3, F2, F1, F1, F1, F1)
def stem_block_backward(dout, transposed, norm_w, stride, windows, xhat, rstd, slope, dmixed, dwindows, dx, dw, db, dnorm_w,
                        dnorm_b, nothing):
    """dout becomes the gradient of what the norm gave; dx is (0, 0, 0) where the pixels' is not wanted."""
    if dx.size:
        dpixels, numbers = dx.reshape(-1), dout.reshape(-1)
        for j in range(dpixels.size):
            dpixels[j] = numbers[j] if stride == 1 else np.float32(0)
    gelu_backward(dout.reshape(-1), slope.reshape(-1))
    dmixed[:] = 0                                            # no residual path goes round the norm
    layernorm_backward(dout, xhat, rstd, norm_w, dnorm_w, dnorm_b, dmixed)
    accumulate(windows, dmixed, dw, db)
    if dx.size:
        multiply(dmixed, transposed, nothing, dmixed[:0], dwindows)
        cut_windows_backward(dwindows, stride, dx)
