"""Memory for one image's activations: taken piece by piece, given back all at once.

An allocation costs a page fault for each 4 KiB that it touches first; memory that is used again for every image is
mapped already, and mostly still in the cache. Each thread has its own arena. Images of one model take the same pieces in
the same order, so a piece's array is made for the first of them and handed out again: making it costs as much as a small
kernel's call.
"""
import math
import threading

import numpy as np

LINE = 16  # float32 numbers of a cache line
LARGE = 2 ** 20  # numbers: from 4 MiB on NumPy asks the system for large pages, which need fewer address look-ups
MOST = 4096  # arrays of scratch that are remembered


class Room:
    """A buffer that pieces are taken from, one behind the other."""

    def __init__(self, size=0, buffer=None):
        """buffer: the one to take from, float32, its first number at the beginning of a line; else one is made."""
        self.buffer = lines(size) if buffer is None else buffer
        self.pieces, self.ends, self.count = [], [], 0       # those that the image before took; how many this one has

    def take(self, *shape):
        """An array of this shape, float32, its values undefined; a C-contiguous piece at the start of a cache line."""
        if self.count < len(self.pieces) and self.pieces[self.count].shape == shape:
            self.count += 1
            return self.pieces[self.count - 1]
        del self.pieces[self.count:], self.ends[self.count:]
        start = self.ends[-1] if self.ends else 0
        end = start + math.prod(shape)
        fits = end <= self.buffer.size                       # else memory for this once; after the next emptying there is room
        self.pieces.append(self.buffer[start:end].reshape(shape) if fits else np.empty(shape, np.float32))
        self.ends.append(end + -end % LINE)
        self.count += 1
        return self.pieces[-1]

    def empty(self):
        self.count = 0
        if self.ends and self.ends[-1] > self.buffer.size:
            self.buffer = lines(self.ends[-1])
            self.pieces, self.ends = [], []


def lines(size):
    """`size` numbers, their values undefined; the first begins a cache line"""
    buffer = np.empty(size + LINE, np.float32)
    return buffer[-buffer.ctypes.data // 4 % LINE:]


class Arena:
    """`take` what must last until the image is done, `scratch` what the next sublayer may overwrite."""

    def __init__(self):
        self._image, self._buffer, self._known = Room(), lines(LARGE), {}
        self.take = self._image.take

    def scratch(self, *shapes):
        """Arrays of these shapes, which the next call gives away again: a few that stay in the nearest cache."""
        if shapes not in self._known:
            needed = sum(math.prod(shape) + LINE for shape in shapes)
            if needed > self._buffer.size or len(self._known) == MOST:
                self._buffer, self._known = lines(max(needed, self._buffer.size)), {}
            room = Room(buffer=self._buffer)
            self._known[shapes] = [room.take(*shape) for shape in shapes]
        return self._known[shapes]

    def reset(self):
        self._image.empty()


_threads = threading.local()


def arena():
    """This thread's."""
    if not hasattr(_threads, "arena"):
        _threads.arena = Arena()
    return _threads.arena
