"""Memory for one image's activations: taken piece by piece, given back all at once.

An allocation costs a page fault for each 4 KiB that it touches first; memory that is used again for every image is
mapped already, and mostly still in the cache. Each thread has its own arena.
"""
import math
import threading

import numpy as np

LINE = 16  # float32 numbers of a cache line
LARGE = 2 ** 20  # numbers: from 4 MiB on NumPy asks the system for large pages, which need fewer address look-ups


class Room:
    """A buffer that pieces are taken from, one behind the other."""

    def __init__(self, size=0):
        self.buffer, self.used, self.wanted = np.empty(0, np.float32), 0, size
        self.empty()

    def take(self, *shape):
        """An array of this shape, float32, its values undefined; a C-contiguous piece at the start of a cache line."""
        size = math.prod(shape)
        start, end = self.used, self.used + size
        self.wanted += size + LINE
        if end > self.buffer.size:
            return np.empty(shape, np.float32)               # this once; after the next emptying there is room
        self.used = end + -end % LINE
        return self.buffer[start:end].reshape(shape)

    def empty(self):
        if self.wanted > self.buffer.size:
            self.buffer = np.empty(self.wanted + LINE, np.float32)
            self.buffer = self.buffer[-self.buffer.ctypes.data // 4 % LINE:]  # its first number begins a line
        self.used = self.wanted = 0


class Arena:
    """`take` what must last until the image is done, `scratch` what the next sublayer may overwrite."""

    def __init__(self):
        self._image, self._sublayer = Room(), Room(LARGE)
        self.take = self._image.take

    def scratch(self, *shapes):
        """Arrays of these shapes, which the next call gives away again: a few that stay in the nearest cache."""
        self._sublayer.empty()
        return [self._sublayer.take(*shape) for shape in shapes]

    def reset(self):
        self._image.empty()


_threads = threading.local()


def arena():
    """This thread's."""
    if not hasattr(_threads, "arena"):
        _threads.arena = Arena()
    return _threads.arena
