"""Arena: memory for one image's activations, allocated piece by piece, freed all at once.

A fresh allocation costs a page fault for each 4 KiB at first touch. Memory reused for every image is already mapped,
and mostly still in the cache. Each thread has its own arena. All images of a model take the same pieces in the same
order, so the arena keeps the arrays and returns them again: making an array costs as much as a small kernel's call.
"""
import math
import threading

import numpy as np

from ..support.lines import lines, whole_lines

LARGE = 2 ** 20  # numbers: from 4 MiB on, NumPy asks for large pages, which need fewer address look-ups
MOST = 4096  # maximum number of remembered scratch lists


class Room:
    """A buffer for pieces, one after another."""

    def __init__(self, size=0, buffer=None):
        """buffer: float32, beginning at a cache line; by default a new one of `size` numbers"""
        self.buffer = lines(size) if buffer is None else buffer
        self.pieces, self.ends, self.count = [], [], 0       # the last image's pieces; how many this image has

    def take(self, *shape):
        """A float32 array of this shape, C-contiguous, at the start of a cache line, with undefined values."""
        if self.count < len(self.pieces) and self.pieces[self.count].shape == shape:
            self.count += 1
            return self.pieces[self.count - 1]
        del self.pieces[self.count:], self.ends[self.count:]
        start = self.ends[-1] if self.ends else 0
        end = start + math.prod(shape)
        fits = end <= self.buffer.size                       # else a new array; `empty` then enlarges the buffer
        self.pieces.append(self.buffer[start:end].reshape(shape) if fits else np.empty(shape, np.float32))
        self.ends.append(whole_lines(end))
        self.count += 1
        return self.pieces[-1]

    def empty(self):
        self.count = 0
        if self.ends and self.ends[-1] > self.buffer.size:
            self.buffer = lines(self.ends[-1])
            self.pieces, self.ends = [], []


class Arena:
    """A thread's memory: `take` for arrays that last until the image is done, `scratch` for one sublayer's arrays."""

    def __init__(self):
        self._image, self._buffer, self._known = Room(), lines(LARGE), {}
        self.take = self._image.take

    def scratch(self, *shapes):
        """Arrays of these shapes, valid until the next call: all calls share a few that stay in the nearest cache."""
        if shapes not in self._known:
            needed = sum(whole_lines(math.prod(shape)) for shape in shapes)
            if needed > self._buffer.size or len(self._known) == MOST:
                self._buffer, self._known = lines(max(needed, self._buffer.size)), {}
            room = Room(buffer=self._buffer)
            self._known[shapes] = [room.take(*shape) for shape in shapes]
        return self._known[shapes]

    def reset(self):
        self._image.empty()


_threads = threading.local()


def arena():
    """This thread's Arena."""
    if not hasattr(_threads, "arena"):
        _threads.arena = Arena()
    return _threads.arena
