"""A checkpoint made to do harm is refused in little memory and time; nothing in it is unpickled."""
import io
import os
import struct
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from npcaption.config import ModelConfig, TrainingConfig
from tests.campaigns.damage import members_of, npy, packed, verdict
from tests.helpers.checkpoint_files import ABSURD, assert_refused_in_little_memory, rewrite, setting


def test_pickles_are_never_loaded(path):
    ran = path.with_name("ran")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    rewrite(path, lambda arrays: arrays.update({"output.norm.bias": np.array([Evil()] * 8, object)}))
    assert_refused_in_little_memory(path, r"output.norm.bias is .*\|O")
    assert not ran.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [field.name for field in fields(ModelConfig)])
def test_a_model_that_is_absurd_is_refused_before_there_is_memory_for_it(path, name):
    data = path.read_bytes()
    for value in ABSURD:
        path.write_bytes(data)
        rewrite(path, lambda arrays: setting(arrays, "model", **{name: value}))
        assert_refused_in_little_memory(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [field.name for field in fields(TrainingConfig)])
def test_settings_of_training_that_are_absurd_are_refused_or_loaded_as_they_are(path, name):
    data = path.read_bytes()
    for value in ABSURD:
        path.write_bytes(data)
        rewrite(path, lambda arrays: setting(arrays, "training", **{name: value}))
        assert verdict(path, []) in ("refused", "another"), value


def test_a_header_that_claims_terabytes_is_refused(path):
    members = members_of(path.read_bytes())
    for shape in ["(1000000000000,)", "(8, 1000000000000)", "(-8,)", "()", "(" + "1, " * 20_000 + ")", "(" * 5000]:
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(32)
        path.write_bytes(packed(members | {"output.norm.bias.npy": member}))
        assert_refused_in_little_memory(path, "output.norm.bias is ")


def test_a_header_longer_than_its_array_or_of_another_kind_is_refused(path):
    members = members_of(path.read_bytes())
    right = members["output.norm.bias.npy"]
    for member in [b"", right[:8], right[:8] + b"\xff\xff{}", b"\x93NUMPY\x02\x00" + right[8:], b"NUMPY" + right[5:]]:
        path.write_bytes(packed(members | {"output.norm.bias.npy": member}))
        assert_refused_in_little_memory(path, "output.norm.bias is ")


def test_compressed_arrays_are_refused_unread(path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in (members_of(path.read_bytes()) | {"output.norm.bias.npy": bytes(50_000_000)}).items():
            archive.writestr(name, member)
    path.write_bytes(file.getvalue())
    assert_refused_in_little_memory(path, "not stored as np.savez does")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["output.norm.bias.npy", "output.norm.bias", "meta.npy"])
def test_an_array_that_is_there_twice_is_refused(path, name):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, npy(np.ones(8, np.float32)))
    assert_refused_in_little_memory(path, "twice")


def entries_of(data):
    """The directory of an archive: {name: the bytes of its entry}, to be changed."""
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    return {entry[42:].decode(): bytearray(b"PK\x01\x02" + entry) for entry in data[start:end].split(b"PK\x01\x02")[1:]}


def with_entries(data, entries):
    """The archive with another directory."""
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    directory = b"".join(entries)
    return data[:start] + directory + data[end:end + 12] + struct.pack("<I", len(directory)) + data[end + 16:]


def test_a_directory_that_claims_more_than_the_file_holds_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    for entry in entries.values():
        entry[20:28] = struct.pack("<II", 2 ** 32 - 2, 2 ** 32 - 2)
    path.write_bytes(with_entries(data, entries.values()))
    assert_refused_in_little_memory(path, "claim to be larger than the file")


def test_a_directory_that_lays_many_arrays_over_the_same_bytes_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    again = [entries["optimiser.m.npy"].replace(b"optimiser.m", b"optimiser.%d" % i) for i in range(9)]
    path.write_bytes(with_entries(data, [*entries.values(), *again]))
    assert_refused_in_little_memory(path, "claim to be larger than the file")


def test_an_array_that_is_said_to_go_on_after_the_end_of_the_file_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    size = len(members_of(data)["optimiser.v.npy"]) + 6000
    entries["optimiser.v.npy"][20:28] = struct.pack("<II", size, size)
    path.write_bytes(with_entries(data, entries.values()))
    assert_refused_in_little_memory(path, "it ends too early|zip bomb")


def test_an_array_that_is_said_to_lie_where_no_file_reaches_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    entry = entries["optimiser.v.npy"]
    entry[30:32], entry[42:46] = struct.pack("<H", 12), b"\xff" * 4
    entry += struct.pack("<HHQ", 1, 8, 2 ** 64 - 1)
    path.write_bytes(with_entries(data, entries.values()))
    assert_refused_in_little_memory(path)


def test_a_directory_that_hides_the_moments_in_a_comment_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    hidden = len(entries["optimiser.m.npy"]) + len(entries["optimiser.v.npy"])
    entries["output.linear.bias.npy"][32:34] = struct.pack("<H", hidden)
    path.write_bytes(with_entries(data, entries.values()))
    with zipfile.ZipFile(path) as archive:
        assert not any(name.startswith("optimiser") for name in archive.namelist())  # zipfile is taken in
    assert_refused_in_little_memory(path, "not stored as np.savez does")
