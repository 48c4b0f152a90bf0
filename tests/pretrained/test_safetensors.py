"""Safetensors: every byte of a file belongs to exactly one tensor, or the file is refused."""
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npcaption.pretrained.tensors import read_tensors
from tests.pretrained.files import refusal

ROOT = Path(__file__).parents[2]
DATA = np.arange(4, dtype="<f4").tobytes()                   # numbers of tensors a and b below


def packed(header, data=DATA):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start, stop, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def both(a, b):
    return {"__metadata__": {"format": "pt"}, "a": a, "b": b}


def test_a_handwritten_file_is_read(tmp_path):
    """With a header of odd length, so that nothing is aligned"""
    path = tmp_path / "it"
    header = both(entry(8, 16), entry(0, 8, (2, 1)))
    text = json.dumps(header).encode() + b" "
    path.write_bytes(packed(text + b" " * (len(text) % 2 == 0)))
    found = read_tensors(path)
    assert found["a"].tolist() == [2, 3] and found["b"].tolist() == [[0], [1]]


REFUSED = {
    "a gap": (both(entry(0, 4, (1,)), entry(8, 16)), "begins at byte 8 of the data"),
    "a gap in front": (both(entry(4, 8, (1,)), entry(8, 16)), "begins at byte 4"),
    "an overlap": (both(entry(0, 8), entry(4, 16, (3,))), "begins at byte 4"),
    "the same bytes": (both(entry(0, 16, (4,)), entry(0, 16, (4,))), "begins at byte 0"),
    "too little": (both(entry(0, 4, (1,)), entry(4, 12)), "describes"),
    "too much": (both(entry(0, 8), entry(8, 1 << 40, ((1 << 38) - 2,))), "describes"),
    "too small a shape": (both(entry(0, 8, (1,)), entry(8, 16)), "does not fit its 8 bytes"),
    "too large a shape": (both(entry(0, 8, (2, 2)), entry(8, 16)), "does not fit its 8 bytes"),
    "too small a type": (both(entry(0, 8, dtype="F16"), entry(8, 16)), "does not fit its 8 bytes"),
    "float8": (both(entry(0, 8, (8,), "F8_E4M3"), entry(8, 16)), "type 'F8_E4M3'"),
    "a type other than text": (both(entry(0, 8, dtype=["F32"]), entry(8, 16)), "Convert it to one of F64"),
    "negative offsets": (both(entry(-8, 0), entry(0, 16, (4,))), "not whole numbers"),
    "offsets backwards": (both(entry(8, 0), entry(0, 16, (4,))), "does not fit"),
    "negative shapes": (both(entry(0, 8, (-1, -2)), entry(8, 16)), "not whole numbers"),
    "a fraction": (both(entry(0, 8, (2.0,)), entry(8, 16)), "not whole numbers"),
    "a boolean": (both(entry(0, 8, (True, 2)), entry(8, 16)), "not whole numbers"),
    "huge and empty": (both(entry(0, 0, (0, 2 ** 62)), entry(0, 16, (4,))), "damaged"),
    "a thousand axes": (both(entry(0, 8, [1] * 999 + [2]), entry(8, 16)), "not whole numbers"),
    "three offsets": (both(entry(0, 8) | {"data_offsets": [0, 8, 8]}, entry(8, 16)), "not whole numbers"),
    "an entry with more": (both(entry(0, 8) | {"stride": [1]}, entry(8, 16)), "entry of tensor 'a'"),
    "a number for an entry": (both(5, entry(8, 16)), "entry of tensor 'a'"),
    "a name twice": (json.dumps({"a": entry(0, 8), "A": entry(8, 16)}).replace("A", "a").encode(), "duplicate name"),
    "no JSON": (b"{'a'}", "damaged or truncated"),
    "no UTF-8": (b'{"\xff":1}', "damaged or truncated"),
    "nested without end": (b'{"a":' * 100_000, "damaged or truncated"),
}


@pytest.mark.parametrize("header, reason", REFUSED.values(), ids=REFUSED)
def test_inconsistent_headers_are_refused(tmp_path, header, reason):
    assert reason in refusal(tmp_path, packed(header))


def test_a_file_without_tensors_is_refused(tmp_path):
    assert "no tensors" in refusal(tmp_path, packed({}, b""))


def test_a_boolean_other_than_0_and_1_is_refused(tmp_path):
    assert "boolean" in refusal(tmp_path, packed({"a": entry(0, 2, (2,), "BOOL")}, b"\x01\x02"))


@pytest.mark.parametrize("length, reason", [(10 ** 8 + 1, "the format allows 100,000,000"),
                                            (2 ** 64 - 1, "the format allows"), (10 ** 8, "it is truncated")])
def test_the_headers_length_is_bounded_before_it_is_read(tmp_path, length, reason):
    assert reason in refusal(tmp_path, struct.pack("<Q", length) + b'{"a": 1}')


@pytest.mark.slow
def test_reading_a_large_file_takes_little_memory(tmp_path):
    """600 MB, a sparse file, with a header of odd length as in old files"""
    pytest.importorskip("resource")
    path = tmp_path / "large.safetensors"
    size = 600_000_000
    with open(path, "wb") as file:
        file.write(packed({"a": entry(0, size, (size // 4,))}, b""))
        file.truncate(file.tell() + size)
    code = ("import resource, sys; from npcaption.pretrained.tensors import read_tensors\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "a = read_tensors(sys.argv[1])['a']; assert a[-1] == a[0] == 0 and a.size == 150_000_000\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)")
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < size / 1024 / 20               # kB
