"""Dropout with the textbook's mask, a hash of the image's key and the element's position: no mask is stored."""
import numpy as np

from .compilation import compiled, kernel
from .simd import F1, U32, F


@compiled
def hash32(x):
    """MurmurHash3's finaliser, as in layers/keys.py; numba would widen a product of uint32 to 64 bits."""
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32((x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@kernel
def fold_key(key: U32, number: U32):
    """As in layers/keys.py, for one image."""
    return hash32(np.uint32(key ^ hash32(np.uint32(number ^ np.uint32(0x9E3779B9)))))


@kernel
def add_kept(x: F1, base: F1, key: U32, threshold: U32, scale: F, out: F1):
    """out = base + x * mask, mask scale where hash(key, place) >= threshold, else 0.  All (T*C,); base may be (0,)"""
    for i in range(x.size):
        kept = hash32(np.uint32(key + np.uint32(np.uint32(i) * np.uint32(0x9E3779B1)))) >= threshold
        value = x[i] * scale if kept else np.float32(0)
        out[i] = base[i] + value if base.size else value
