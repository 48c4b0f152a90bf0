"""Dropout (Srivastava et al. 2014), its mask a hash of the image's key and the element's index in the (T, C) array."""
import numpy as np

from .keys import fold_key, hash32


def keep_mask(shape, rate, key):
    """0 with probability rate, else 1 / (1 - rate), which keeps the mean.  key uint32 (...) -> shape (..., T, C)"""
    places = np.arange(shape[-2] * shape[-1], dtype=np.uint32).reshape(shape[-2:])  # (T, C)
    bits = hash32(fold_key(key, 0)[..., None, None] + places * np.uint32(0x9E3779B1))  # (..., T, C)
    return (bits >= np.uint32(rate * 2 ** 32)) / (1 - rate)


def dropout_forward(x, rate, key):
    """out = x * keep_mask.  x (..., T, C), rate in [0, 1), key uint32 (...), one for each image -> (..., T, C)"""
    if rate == 0:
        return x, (None,)
    mask = keep_mask(x.shape, rate, key).astype(x.dtype)     # (..., T, C)
    return x * mask, (mask,)


def dropout_backward(dout, cache):
    """dx = dout * keep_mask: a dropped entry has no influence on the loss."""
    mask, = cache
    return dout if mask is None else dout * mask
