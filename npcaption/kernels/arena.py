"""Memory for one image's activations: taken piece by piece, given back all at once.

An allocation costs a page fault for each 4 KiB that it touches first; memory that is used again for every image is mapped
already, and mostly still in the cache. Each thread has its own arena.
"""
import math
import threading

import numpy as np

LINE = 16  # float32 numbers of a cache line


class Arena:
    """`take` rooms, then `reset` when nothing taken is needed any more."""

    def __init__(self):
        self.room, self.used, self.wanted = np.empty(0, np.float32), 0, 0

    def take(self, *shape):
        """An array of this shape, float32, its values undefined; a C-contiguous piece at the start of a cache line."""
        size = math.prod(shape)
        start, end = self.used, self.used + size
        self.wanted += size + LINE
        if end > self.room.size:
            return np.empty(shape, np.float32)               # this once; after the next reset there is room
        self.used = end + -end % LINE
        return self.room[start:end].reshape(shape)

    def reset(self):
        if self.wanted > self.room.size:
            self.room = np.empty(self.wanted + LINE, np.float32)
            self.room = self.room[-self.room.ctypes.data // 4 % LINE:]  # so that its first number begins a line
        self.used = self.wanted = 0


_threads = threading.local()


def arena():
    """This thread's."""
    if not hasattr(_threads, "arena"):
        _threads.arena = Arena()
    return _threads.arena
