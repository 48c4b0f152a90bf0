"""Arrays that begin at a cache line: a vector of 64 bytes that straddles two lines takes two accesses."""
import numpy as np

LINE = 16  # float32 numbers of a cache line


def whole_lines(size):
    """`size`, rounded up to whole cache lines"""
    return size + -size % LINE


def lines(size, make=np.empty):
    """A vector of `size` float32 numbers at the start of a cache line.  make: np.empty or np.zeros"""
    buffer = make(size + LINE, np.float32)
    first = -buffer.ctypes.data // 4 % LINE
    return buffer[first:first + size]
