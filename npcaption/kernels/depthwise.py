"""Convolutions of the frozen EfficientNet-Lite encoder, channels last, ReLU6 included. Forward only.

x (A, A, C) and out (N, N, C), N = ceil(A / stride); w (K, K, C), one K x K filter for each channel; b (C,).
"""
import numpy as np

from .compilation import compiled, kernel
from .matmul import BYTES, product
from .simd import F1, F2, F3, I, address, maximum, minimum
from .target import COLUMNS

ZERO, SIX = np.float32(0), np.float32(6)
BAND = 64  # rows of a pointwise product that stay in the nearest cache until all columns are done


@compiled
def relu6(numbers):
    for j in range(numbers.size):
        numbers[j] = minimum(maximum(numbers[j], ZERO), SIX)


@kernel
def fused_pointwise(x: F2, panels: F1, b: F1, out: F2):
    """out = relu6(x w + b).  x (M, C), panels of w (C, O), b (O,), out (M, O)"""
    rows, depth = x.shape
    columns, numbers = out.shape[1], out.reshape(-1)
    for i in range(0, rows, BAND):
        band = min(BAND, rows - i)
        product(address(x, i * depth), BYTES * depth, BYTES, address(panels, 0), BYTES * COLUMNS,
                BYTES * COLUMNS * depth, depth, address(out, i * columns), BYTES * columns, band, columns,
                address(b, 0), 0)
        relu6(numbers[i * columns:][:band * columns])


@kernel
def fused_depthwise(x: F3, w: F3, b: F1, stride: I, out: F3):
    """out = relu6(depthwise convolution of x with w, plus b), padded as TensorFlow's "SAME".

    There are (N - 1) stride + K - A zeros along a side, half of them before x, the odd one after it; none is stored.
    """
    side, channels = x.shape[0], x.shape[2]
    n, taps = out.shape[0], w.shape[0]                       # taps along a side of the filter
    before = max((n - 1) * stride + taps - side, 0) // 2
    pixels, filters, results = x.reshape(-1), w.reshape(-1), out.reshape(-1)
    for i in range(n * n):
        top, left = i // n * stride - before, i % n * stride - before
        first, last = max(0, -left), min(taps, side - left)  # the filter's columns within the image
        result = results[i * channels:][:channels]
        for j in range(channels):
            result[j] = b[j]
        for y in range(max(0, -top), min(taps, side - top)):
            for k in range(first, last):
                pixel = pixels[((top + y) * side + left + k) * channels:][:channels]
                tap = filters[(y * taps + k) * channels:][:channels]
                for j in range(channels):
                    result[j] += pixel[j] * tap[j]
        relu6(result)
