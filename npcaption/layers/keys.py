"""Keys instead of a random generator: each random number of a mask is a hash of its key and its index.

A generator returns its numbers in order, so two engines that process a batch in different orders would draw different
masks. `fold_key` gives every step, image and sublayer a key of its own.
"""
import numpy as np


def hash32(x):
    """MurmurHash3's finaliser (Appleby 2011, public domain): every input bit influences every output bit.

    uint32 (...)
    """
    with np.errstate(over="ignore"):                         # the products are modulo 2^32 by design
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def fold_key(key, number):
    """The key of part `number` (a step, an image, a sublayer), derived from `key`.  uint32 (...) and integers (...)"""
    apart = hash32(np.asarray(number, np.uint32) ^ np.uint32(0x9E3779B9))  # else number 0 would not change the key
    return hash32(np.asarray(key, np.uint32) ^ apart)
