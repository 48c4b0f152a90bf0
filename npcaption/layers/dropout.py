"""Dropout (Srivastava et al. 2014), its mask a function of a key and a place.

A random generator hands out its numbers in order, so two engines that visit the batch differently would draw different
masks. Here the bit of each element is a hash of the image's key and the element's place in that image's (T, C) array.
"""
import numpy as np


def hash32(x):
    """MurmurHash3's finaliser (Appleby 2011, public domain): every input bit changes every output bit.  uint32 (...)"""
    with np.errstate(over="ignore"):                         # products are modulo 2^32, as meant
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def fold_key(key, number):
    """The key of one part (a step, an image, a sublayer) of what `key` stands for.  uint32 (...) and integers (...)"""
    apart = hash32(np.asarray(number, np.uint32) ^ np.uint32(0x9E3779B9))  # else number 0 would leave the key as it is
    return hash32(np.asarray(key, np.uint32) ^ apart)


def keep_mask(shape, rate, key):
    """0 with probability rate, else 1 / (1 - rate), so that the mean stays.  key uint32 (...) -> shape (..., T, C)"""
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
    """dx = dout * keep_mask: what was dropped could not matter."""
    mask, = cache
    return dout if mask is None else dout * mask
