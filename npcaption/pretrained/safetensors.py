"""Reader of safetensors files: a JSON header, then the numbers, mapped without a copy.

    8 bytes     N, the header's length, little-endian
    N bytes     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [start, stop]}, ...}, and "__metadata__"
    the rest    the numbers; offsets count from here, without gaps

Source: the format's specification in the repository huggingface/safetensors.
"""
import json
import math

from .flat import BFLOAT16, flat_array, itemsize
from .opening import Unreadable

PREFIX = 8                                  # bytes of the header's length
MAX_HEADER = 100_000_000                    # bytes, the format's own limit
MAX_DIMENSIONS = 32
KINDS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": BFLOAT16, "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
         "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?"}


def is_safetensors(buffer):
    """Whether the first bytes are a safetensors file's: the ninth opens the header."""
    return buffer[PREFIX:PREFIX + 1] == b"{"


def read_safetensors(buffer):
    """Read a mapped file -> {name: array, read-only}.  Unreadable or ValueError if any byte is unaccounted for"""
    length = int.from_bytes(buffer[:PREFIX], "little")
    data = PREFIX + length                                   # first byte of the numbers
    if length > MAX_HEADER:
        raise Unreadable(f"its header is stated as {length:,} bytes; the format allows {MAX_HEADER:,}")
    if data > len(buffer):
        raise Unreadable(f"its header is stated as {length:,} bytes, but the file has {len(buffer):,}: it is truncated")
    header = json.loads(buffer[PREFIX:data].decode(), object_pairs_hook=distinct)
    header.pop("__metadata__", None)
    entries = sorted((*checked(name, entry), name) for name, entry in header.items())
    end = 0
    for start, stop, name in entries:
        if start != end:
            raise Unreadable(f"tensor {name!r} begins at byte {start:,} of the data; the previous one ends at {end:,}")
        end = stop
    if data + end != len(buffer):
        raise Unreadable(f"its header describes {data + end:,} bytes, but the file has {len(buffer):,} bytes")
    return {name: array(buffer, data, **entry) for name, entry in header.items()}


def distinct(pairs):
    """Pairs of a JSON object -> dict.  Unreadable for a duplicate name: it would hide a tensor"""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("its header has a duplicate name")
    return found


def checked(name, entry):
    """Check a tensor's entry -> its offsets, start and stop"""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Unreadable(f"the header's entry of tensor {name!r} is not a dtype, a shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in KINDS:
        raise Unreadable(f"tensor {name!r} has the type {str(dtype)[:20]!r}, missing in NumPy",
                         f"Convert it to one of {', '.join(KINDS)}.")
    if not whole(shape) or len(shape) > MAX_DIMENSIONS or not whole(offsets) or len(offsets) != 2:
        raise Unreadable(f"the shape or the offsets of tensor {name!r} are not whole numbers from 0 up")
    start, stop = offsets
    if math.prod(shape) * itemsize(KINDS[dtype]) != stop - start:
        raise Unreadable(f"tensor {name!r} of shape {shape} and type {dtype} does not fit its {stop - start:,} bytes")
    return start, stop


def whole(numbers):
    """Whether numbers is a list of valid lengths or positions."""
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < 2 ** 63 for n in numbers)


def array(buffer, data, dtype, shape, data_offsets):
    """Array of a header's entry.  data: first byte of the numbers"""
    return flat_array(buffer, data + data_offsets[0], math.prod(shape), KINDS[dtype]).reshape(shape)
