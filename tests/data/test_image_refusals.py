"""Refusal of sources without a readable image, with reason and remedy."""
import io
import os
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from npcaption.data.images import load_image
from npcaption.errors import DataError
from npcaption.support.unreadable import reason
from tests.helpers.image_files import RAMP, save
from tests.helpers.refusals import refused


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
@pytest.mark.parametrize("name, reason, remedy", [
    ("missing.jpg", "No such file", "name"), ("folder", "folder", "the images in it"),
    ("pipe", "a pipe", "Save the image to a file"), ("loop", "symbolic", "name"),
    ("empty.jpg", "empty", "copy it again"), ("text.jpg", "text", "the image itself"),
    ("cut.png", "truncated", "copy it again"), ("cut.jpg", "truncated", "copy it again"),
    ("program.eps", "PostScript program", "PNG"), ("a\0.jpg", "null", "name"),
    ("a\ud83d.jpg", "surrogates", "name"), ("text.jpg/a.jpg", "Not a directory", "name")])
def test_an_unreadable_path_is_named_with_reason_and_remedy(tmp_path, name, reason, remedy):
    noise = Image.effect_noise((64, 64), 90)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "program.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("404: Not Found")
    for cut in tmp_path / "cut.png", tmp_path / "cut.jpg":
        cut.write_bytes(save(noise, cut).read_bytes()[:1500])
    shown = name.encode("unicode_escape").decode()
    with refused(DataError, f"{tmp_path}/{shown} cannot be read", reason, remedy):
        load_image(tmp_path / name, 8)


@pytest.mark.parametrize("head, reason, remedy", [
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", "Convert"),
    (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC", "Convert"),
    (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf", "AVIF", "Convert"),
    (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "RAW", "Export"), (b"FUJIFILMCCD-RAW 0201", "RAW", "Export"),
    (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "a video", "Save the images"),
    (b"\xff\x0a\x3a\x1f\x11", "JPEG XL", "Convert"), (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "Convert"),
    (b'<?xml version="1.0"?>\n<!-- <!-- -->\n<svg width="9">', "SVG", "Export it as PNG"),
    (b"<svg>", "SVG", "Export it as PNG"),
    (b"%PDF-1.7\n", "PDF", "as PNG"), (b"PK\3\4\x14\0", "an archive", "Unpack"),
    (b"\x1f\x8b\x08\0", "an archive", "Unpack"),
    (b"<html>404</html>", "a web page", "Download the image itself"),
    (b"\xef\xbb\xbf\r\n<!DOCTYPE html><html><svg>", "a web page", "Download the image itself"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer", "git lfs pull"),
    (b"/annex/objects/SHA256E-s1--0.jpg\n", "git-annex pointer", "git annex get"),
    (bytes(5000), "zeros", "copy it again"),
    (b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS", "._"),
    (b"\xff\xd8\xff\xe0", "damaged", "copy it again"), (b"\x89PNG\r\n\x1a\n", "damaged", "copy it again"),
    ("{\"error\": \"größer\"}".encode(), "text", "the image itself"),
    (b"\x93\xff\xfe\xfa\0", "known", "PNG")])
@pytest.mark.parametrize("way", ["path", "file"])
def test_other_files_are_recognised_by_their_first_bytes(tmp_path, head, reason, remedy, way):
    (tmp_path / "a.jpg").write_bytes(head)
    source = tmp_path / "a.jpg" if way == "path" else io.BytesIO(head)
    with refused(DataError, "cannot be read", reason, remedy):
        load_image(source, 8)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    file.chmod(0)
    with refused(DataError, "a.png", "Permission denied", "readable"):
        load_image(file, 2)


def test_permission_machine_and_memory_errors_have_their_own_remedies(tmp_path, monkeypatch):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    for error, parts in [(PermissionError(13, "Permission denied"), ["Permission denied", "readable"]),
                         (OSError(5, "Input/output error"), ["Input/output error", "again"]),
                         (MemoryError(), ["enough memory", "smaller copy"])]:
        def broken(*_):
            raise error
        monkeypatch.setattr(Image, "open", broken)
        with refused(DataError, "a.png", *parts) as caught:
            load_image(file, 2)
        assert caught.value.__cause__ is error and reason(error) in str(caught.value)


def test_an_image_without_pixels_is_refused():
    with refused(DataError, "no pixels"):
        load_image(Image.new("RGB", (0, 5)), 2)


@pytest.mark.parametrize("shape, dtype, advice", [
    ((2, 2), "uint8", "fromarray"), ((2, 2, 4), "uint8", "fromarray"), ((2, 2, 3), "float64", "255"),
    ((0, 2, 3), "uint8", ""),
    ((2, 2), "float32", "255"), ((3, 8, 8), "uint8", "transpose"), ((3, 8, 8), "float32", "transpose"),
    ((5, 8, 8, 3), "uint8", "captions()"), ((2, 2, 3), "int64", "Convert"),
    ((2, 2, 3), "bool", "Convert"), ((), "O", "Convert")])
def test_an_array_of_another_shape_or_type_is_refused_with_a_remedy(shape, dtype, advice):
    with refused(DataError, "(H, W, 3) uint8", advice):
        load_image(np.zeros(shape, dtype), 2)


def test_the_remedies_for_arrays_work():
    grey, floats = np.full((4, 4), 90, np.uint8), RAMP / 255
    assert load_image(Image.fromarray(grey), 1).tolist() == [[[90] * 3]]
    assert np.array_equal(load_image((255 * floats).round().astype("uint8"), 2), RAMP)


@pytest.mark.parametrize("source, parts", [
    (b"\xff\xd8", ["type bytes", "io.BytesIO"]), (3, ["type int"]), (None, ["type NoneType"]),
    (["a.jpg"], ["type list"]), (iter([]), ["type list_iterator"]), (io.StringIO("a"), ["text", "binary"]),
    (PurePosixPath("http://localhost/a.jpg"), ["http:/localhost/a.jpg", "URL", "Download it"]),
    ("http://localhost/a.jpg", ["http://localhost/a.jpg", "URL", "Download it"]),
    ("data:image/png;base64," + "iVBOR" * 10_000, ["data:image/png;base64,iVBORiVBOR", "...", "URL"])])
def test_other_objects_are_refused(source, parts):
    with refused(DataError, *parts) as caught:
        load_image(source, 2)
    assert len(str(caught.value)) < 600
