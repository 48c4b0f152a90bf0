"""Arrays that begin at a cache line: a vector of 64 bytes that straddles two lines takes two accesses."""
import numpy as np

LINE = 16  # float32 numbers of a cache line


def whole_lines(size):
    """The numbers of the cache lines that `size` numbers take"""
    return size + -size % LINE


def lines(size):
    """A vector of `size` float32 numbers with undefined values, at the start of a cache line."""
    buffer = np.empty(size + LINE, np.float32)
    first = -buffer.ctypes.data // 4 % LINE
    return buffer[first:first + size]
