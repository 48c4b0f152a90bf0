"""One block of the stem as one call: convolution, norm, GELU and residual; see layers/stem.py, layers/convolution.py.

x (A, A, C), out (N*N, O), N = ceil(A / stride); windows (N*N, 9*C), slope and mixed (N*N, O), means and rstd (N*N,).
"""
import numpy as np

from .compilation import compiled, kernel
from .gelu import fused_gelu_backward, fused_gelu_forward
from .layernorm import fused_layernorm_backward, fused_layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2, F3, I

WINDOW = 3  # pixels along a side


@compiled
def reach(i, n, side, stride):
    """Window i -> its first row and column in x, and the range of its columns within the image: first, last + 1"""
    top, left = i // n * stride - WINDOW // 2, i % n * stride - WINDOW // 2
    return top, left, max(0, -left), min(WINDOW, side - left)


@compiled
def cut_windows(x, stride, windows):
    """windows[i] = the window of x around pixel (stride * row, stride * column), zeros beyond the edge"""
    side, channels = x.shape[0], x.shape[2]
    n, pixels = (side + stride - 1) // stride, x.reshape(-1)
    for i in range(n * n):
        top, left, first, last = reach(i, n, side, stride)
        window = windows[i]
        if top < 0 or top + WINDOW > side or last - first < WINDOW:
            window[:] = 0
        for y in range(max(0, -top), min(WINDOW, side - top)):  # the columns of a row are contiguous
            run = (last - first) * channels
            source = pixels[((top + y) * side + left + first) * channels:][:run]
            place = window[(y * WINDOW + first) * channels:][:run]
            for j in range(run):
                place[j] = source[j]


@compiled
def add_windows(dwindows, stride, dx):
    """Add into dx: each pixel sums the gradients of its windows."""
    side, channels = dx.shape[0], dx.shape[2]
    n, dpixels = (side + stride - 1) // stride, dx.reshape(-1)
    for i in range(n * n):
        top, left, first, last = reach(i, n, side, stride)
        dwindow = dwindows[i]
        for y in range(max(0, -top), min(WINDOW, side - top)):
            run = (last - first) * channels
            dsource = dpixels[((top + y) * side + left + first) * channels:][:run]
            dplace = dwindow[(y * WINDOW + first) * channels:][:run]
            for j in range(run):
                dsource[j] += dplace[j]


@kernel
def fused_stem_block_forward(
        x: F3, panels: F1, b: F1, norm_w: F1, norm_b: F1, stride: I,
        windows: F2, mixed: F2, means: F1, rstd: F1, slope: F2, out: F2):
    """With stride 1, out = x + the branch."""
    cut_windows(x, stride, windows)
    multiply(windows, panels, b, out[:0], mixed)
    fused_layernorm_forward(mixed, norm_w, norm_b, means, rstd, slope)
    fused_gelu_forward(slope.reshape(-1), out.reshape(-1))
    if stride == 1:
        pixels, numbers = x.reshape(-1), out.reshape(-1)
        for j in range(numbers.size):
            numbers[j] += pixels[j]


@kernel
def fused_stem_block_backward(
        dout: F2, transposed: F1, norm_w: F1, stride: I,
        windows: F2, mixed: F2, means: F1, rstd: F1, slope: F2, dmixed: F2, dwindows: F2,
        dx: F3, dw: F2, db: F1, dnorm_w: F1, dnorm_b: F1, nothing: F1):
    """dout becomes the gradient of the norm's output; dx is (0, 0, 0) if the pixels need no gradient."""
    if dx.size:
        dpixels, numbers = dx.reshape(-1), dout.reshape(-1)
        for j in range(dpixels.size):
            dpixels[j] = numbers[j] if stride == 1 else np.float32(0)
    fused_gelu_backward(dout.reshape(-1), slope.reshape(-1))
    dmixed[:] = 0                                            # the norm has no residual path
    fused_layernorm_backward(dout, mixed, means, rstd, norm_w, dnorm_w, dnorm_b, dmixed)
    accumulate(windows, dmixed, dw, db)
    if dx.size:
        multiply(dmixed, transposed, nothing, dmixed[:0], dwindows)
        add_windows(dwindows, stride, dx)
