"""Windows: overlapping squares of an image (im2col); a convolution is a linear layer on each of them."""
import numpy as np


def windows_forward(image, size, stride):
    """The window around every `stride`-th pixel, flattened as (y, x, c); zeros beyond the edge.

    image (..., A, A, C), size odd -> (..., N, N, size*size*C), N = ceil(A / stride)
    """
    side, margin = image.shape[-2], size // 2
    n = -(-side // stride)                                   # N, windows along a side
    margins = [(0, 0)] * (image.ndim - 3) + [(margin, margin)] * 2 + [(0, 0)]
    padded = np.pad(image, margins)                          # (..., A + 2 margin, A + 2 margin, C)
    out = np.empty((*image.shape[:-3], n, n, size, size, image.shape[-1]), image.dtype)  # (..., N, N, size, size, C)
    for y in range(size):
        for x in range(size):
            out[..., y, x, :] = padded[..., y:y + side:stride, x:x + side:stride, :]
    return out.reshape(*image.shape[:-3], n, n, -1), (padded.shape, side, size, stride)


def windows_backward(dout, cache):
    """A pixel's gradient is the sum over its windows. The margin is dropped: it held zeros, not pixels.

    dout (..., N, N, size*size*C) -> dimage (..., A, A, C)
    """
    padded_shape, side, size, stride = cache
    margin = size // 2
    dwindows = dout.reshape(*dout.shape[:-1], size, size, -1)  # (..., N, N, size, size, C)
    dpadded = np.zeros(padded_shape, dout.dtype)             # (..., A + 2 margin, A + 2 margin, C)
    for y in range(size):
        for x in range(size):
            dpadded[..., y:y + side:stride, x:x + side:stride, :] += dwindows[..., y, x, :]
    return dpadded[..., margin:margin + side, margin:margin + side, :]  # (..., A, A, C)
