"""read_tensors against PyTorch's reading of small files, kept as fixtures; and refusals of other files."""
import gzip
import mmap
import os
import zipfile

import numpy as np
import pytest

from npcaption.errors import PretrainedError
from npcaption.pretrained.tensors import read_tensors
from tests.helpers.refusals import refused
from tests.pretrained.files import FIXTURES, refusal


def expected(kind):
    with np.load(FIXTURES / "expected.npz") as arrays:
        return {name.removeprefix(f"{kind}/"): arrays[name] for name in arrays if name.startswith(f"{kind}/")}


@pytest.mark.parametrize("name, kind", [
    ("zip.pt", "mixture"), ("legacy.pth", "mixture"), ("checkpoint.pth", "mixture"), ("mixture.safetensors", "mixture"),
    ("scripted.pt", "module"), ("traced.pt", "module")])
def test_every_tensor_has_pytorchs_bits_type_and_shape(name, kind):
    found, exact = read_tensors(FIXTURES / name), expected(kind)
    assert found.keys() == exact.keys()
    for key, array in found.items():
        assert (key, array.dtype, array.shape) == (key, exact[key].dtype, exact[key].shape)
        assert array.tobytes() == exact[key].tobytes()
        assert not array.flags.writeable and (array.flags.aligned or name.endswith(".safetensors"))


def test_the_fixtures_hold_difficult_tensors():
    """Non-contiguous views, 0-d and empty tensors, and bfloat16 beyond float16's range"""
    found = read_tensors(FIXTURES / "zip.pt")
    assert not found["transposed"].flags.c_contiguous and not found["sliced"].flags.c_contiguous
    assert found["steps"].shape == found["scalar"].shape == () and found["empty"].shape == (0, 4)
    assert found["brain"].dtype == np.float32 and not (found["brain"].view(np.uint32) & 0xffff).any()


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pth", "mixture.safetensors", "traced.pt"])
def test_formats_are_recognised_by_content_not_name(tmp_path, name):
    path = tmp_path / "weights.bin"
    path.write_bytes((FIXTURES / name).read_bytes())
    assert read_tensors(str(path)).keys() == read_tensors(FIXTURES / name).keys()


@pytest.mark.parametrize("name", ["zip.pt", "mixture.safetensors"])
def test_aligned_tensors_are_mapped_not_copied(name):
    found = read_tensors(FIXTURES / name)["visual.norm.weight"]
    while hasattr(found, "base"):
        found = found.base
    assert type(getattr(found, "obj", found)) is mmap.mmap


FOREIGN = [(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 605157884\n", "Git LFS pointer"),
           (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", "web page"), (b"\n <html>", "web page"),
           (b"\x89PNG\r\n\x1a\n" + bytes(99), "image"), (b"\xff\xd8\xff\xe0" + bytes(99), "image"),
           (bytes(1000), "zeros"),
           (gzip.compress(b"weights"), "archive"), (b"\x80\x04N.", "pickle"), (b"\x93NUMPY\x01\0", "NumPy array"),
           (b"\x89HDF\r\n\x1a\n", "HDF5"), (b'{"weight_map": {}}', "JSON"), (b"", "empty"), (b"abc", "unknown"),
           (b"../../.git/annex/objects/x1/y2/SHA256E-s5", "git-annex pointer")]


@pytest.mark.parametrize("data, reason", FOREIGN, ids=[reason for _, reason in FOREIGN])
def test_other_formats_are_named(tmp_path, data, reason):
    assert reason in refusal(tmp_path, data)


def test_an_archive_of_weights_must_be_unpacked(tmp_path):
    path = tmp_path / "wheel.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("models/lite.pth", "weights")
    with refused(PretrainedError, "wheel.pt", "archive", "Unpack it"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pth", "mixture.safetensors", "scripted.pt"])
def test_every_truncation_is_refused(tmp_path, name):
    data = (FIXTURES / name).read_bytes()
    for length in range(1, len(data), 61):
        assert "weights cannot be read" in refusal(tmp_path, data[:length])


@pytest.mark.parametrize("name", ["legacy.pth", "mixture.safetensors"])
def test_a_file_with_trailing_bytes_is_refused(tmp_path, name):
    data = (FIXTURES / name).read_bytes()
    assert f"the file has {len(data) + 1:,}" in refusal(tmp_path, data + b"\0")


def test_paths_without_a_regular_file_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe") if hasattr(os, "mkfifo") else (tmp_path / "pipe").mkdir()
    for path, reason in [(tmp_path, "folder"), (tmp_path / "none.pt", "no such file"),
                         (tmp_path / "pipe", "is a pipe|is a folder"), ("a\0b", "no such file"), (None, "Pass a path")]:
        with pytest.raises(PretrainedError, match=reason) as caught:
            read_tensors(path)
        assert str(caught.value).isprintable()


def test_a_long_or_unprintable_name_is_truncated_and_escaped(tmp_path):
    with pytest.raises(PretrainedError) as caught:
        read_tensors(tmp_path / ("\x1b[2J" * 60))
    assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()
