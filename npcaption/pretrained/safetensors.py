"""Reader of safetensors files: a JSON header, then the numbers, mapped and not copied.

    8 bytes     N, the header's length, little-endian
    N bytes     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [start, stop]}, ...}, and "__metadata__"
    the rest    the numbers; offsets count from here, and leave no gap

Source: the format's description in the repository huggingface/safetensors.
"""
import json
import math

from .flat import BFLOAT16, flat_array, itemsize
from .opening import Unreadable

PREFIX = 8                                  # bytes of the header's length
LONGEST_HEADER = 100_000_000                # bytes, the format's own limit
MOST_DIMENSIONS = 32
KINDS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": BFLOAT16, "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
         "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?"}


def is_safetensors(buffer):
    """Whether a file begins like one: its ninth byte opens the header."""
    return buffer[PREFIX:PREFIX + 1] == b"{"


def read_safetensors(buffer):
    """{name: array, read-only} of a mapped file.  Unreadable or ValueError if any byte of it is not accounted for"""
    length = int.from_bytes(buffer[:PREFIX], "little")
    data = PREFIX + length                                   # where the numbers begin
    if length > LONGEST_HEADER:
        raise Unreadable(f"its header claims {length:,} bytes, and the format allows {LONGEST_HEADER:,}")
    if data > len(buffer):
        raise Unreadable(f"its header claims {length:,} bytes, and the file has {len(buffer):,}: it is truncated")
    header = json.loads(buffer[PREFIX:data].decode(), object_pairs_hook=distinct)
    header.pop("__metadata__", None)
    entries = sorted((*checked(name, entry), name) for name, entry in header.items())
    end = 0
    for start, stop, name in entries:
        if start != end:
            raise Unreadable(f"tensor {name!r} begins at byte {start:,} of the data; the one before ends at {end:,}")
        end = stop
    if data + end != len(buffer):
        raise Unreadable(f"its header describes {data + end:,} bytes, and the file has {len(buffer):,}")
    return {name: array(buffer, data, **entry) for name, entry in header.items()}


def distinct(pairs):
    """An object of JSON -> dict; a name that stands twice would hide a tensor."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("its header holds a name twice")
    return found


def checked(name, entry):
    """The offsets of a tensor -> start, stop, once its entry is known to make sense by itself"""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Unreadable(f"the header's entry of tensor {name!r} is not a dtype, a shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in KINDS:
        raise Unreadable(f"tensor {name!r} is of the type {str(dtype)[:20]!r}, of which NumPy has none",
                         f"Convert it to one of {', '.join(KINDS)}.")
    if not whole(shape) or len(shape) > MOST_DIMENSIONS or not whole(offsets) or len(offsets) != 2:
        raise Unreadable(f"the shape or the offsets of tensor {name!r} are not whole numbers from 0 up")
    start, stop = offsets
    if math.prod(shape) * itemsize(KINDS[dtype]) != stop - start:
        raise Unreadable(f"tensor {name!r} of shape {shape} and type {dtype} does not take {stop - start:,} bytes")
    return start, stop


def whole(numbers):
    """Whether it is a list of such numbers as an index of an array can be."""
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < 2 ** 63 for n in numbers)


def array(buffer, data, dtype, shape, data_offsets):
    """A tensor of the header's entry -> array"""
    return flat_array(buffer, data + data_offsets[0], math.prod(shape), KINDS[dtype]).reshape(shape)
