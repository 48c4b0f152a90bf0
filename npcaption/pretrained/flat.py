"""Flat arrays over a mapped file: views, except copies of bfloat16 and foreign byte order."""
import mmap

import numpy as np

from .opening import Unreadable

BFLOAT16 = "bfloat16"                       # NumPy lacks the type; converted to float32 exactly


def mapped(file):
    """Map an open file as a read-only buffer. Its arrays keep it alive; pages are read on use."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def itemsize(kind):
    """Bytes per number.  kind: NumPy's code, such as "f4", or BFLOAT16"""
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


def flat_array(buffer, start, count, kind, order="<"):
    """`count` numbers from byte `start` -> (count,) read-only, in native byte order

    order: "<" little-endian, ">" big-endian.  ValueError if the buffer is too short.
    """
    if start < 0 or count < 0 or start + count * itemsize(kind) > len(buffer):
        raise ValueError(f"{count:,} numbers at byte {start:,} reach beyond the end")
    stored = np.dtype({BFLOAT16: "u2", "?": "u1"}.get(kind, kind)).newbyteorder(order)
    flat = np.frombuffer(buffer, stored, count, start) if count else np.empty(0, stored)
    if kind == BFLOAT16:
        flat = np.left_shift(flat, 16, dtype=np.uint32).view(np.float32)  # the upper half of a float32
    elif kind == "?":
        if flat.max(initial=0) > 1:
            raise Unreadable("a boolean is neither 0 nor 1")
        flat = flat.view(bool)
    if not flat.dtype.isnative:
        flat = flat.astype(flat.dtype.newbyteorder("="))
    flat.flags.writeable = False
    return flat
