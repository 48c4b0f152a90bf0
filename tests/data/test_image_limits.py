"""Limits of loaded images: pixels, and texts and profiles of PNGs."""
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from npcaption.data.images import load_image
from npcaption.errors import ConfigError, DataError
from npcaption.support.images import LIMIT, max_pixels, set_max_pixels
from tests.helpers.image_files import RED, chunk, save
from tests.helpers.refusals import refused


@pytest.fixture
def ten_pixels(monkeypatch):
    """Limit of Pillow: it warns about images of more pixels and refuses more than twice as many."""
    monkeypatch.delenv(LIMIT, raising=False)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)


@pytest.mark.parametrize("shape, read", [((4, 5), True), ((21, 1), False), ((9, 9), False), ((4, 4), True)])
def test_images_are_read_up_to_pillows_limit(tmp_path, ten_pixels, shape, read):
    file = save(Image.new("RGB", shape, "red"), tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if read:
            assert load_image(file, 2).tolist() == [[RED] * 2] * 2
        else:
            pixels = shape[0] * shape[1]
            with refused(DataError, "a.png", f"{pixels} pixels", "limit of 20", LIMIT):
                load_image(file, 2)
    assert Image.MAX_IMAGE_PIXELS == 10 and max_pixels() == 20


@pytest.mark.parametrize("limit, largest", [("81", 81), ("80", 64), ("1", 1), ("1000000", 81)])
def test_the_environment_raises_and_lowers_the_limit(tmp_path, monkeypatch, ten_pixels, limit, largest):
    monkeypatch.setenv(LIMIT, limit)
    assert max_pixels() == int(limit)
    for side in 1, 8, 9:
        file = save(Image.new("RGB", (side, side), "red"), tmp_path / "a.png")
        if side ** 2 <= largest:
            assert load_image(file, 1).tolist() == [[RED]]
        else:
            with refused(DataError, "a.png", f"{side ** 2} pixels", f"limit of {limit}", LIMIT):
                load_image(file, 1)


def test_a_function_sets_the_limit(monkeypatch, ten_pixels):
    monkeypatch.setenv(LIMIT, "7")                           # restores the variable at the end
    set_max_pixels(1234)
    assert max_pixels() == 1234
    with pytest.raises(ConfigError):
        set_max_pixels(0)
    assert max_pixels() == 1234
    set_max_pixels(None)
    assert max_pixels() == 20
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert max_pixels() is None and load_image(np.zeros((2, 2, 3), np.uint8), 1).shape == (1, 1, 3)


@pytest.mark.parametrize("bad", ["0", "-5", "1e9", "200,000,000", "many", "1.5", "inf", " ", "9" * 5000, "\x1b[2J"])
def test_a_limit_other_than_a_number_is_refused(tmp_path, monkeypatch, bad):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    monkeypatch.setenv(LIMIT, bad)
    with refused(ConfigError, f"{LIMIT} is '", "positive whole number") as caught:
        load_image(file, 2)
    assert len(str(caught.value)) < 200


def test_a_small_file_with_a_huge_stated_size_is_refused_before_decoding(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with refused(DataError, "a.png", "3,600,000,000 pixels", "178,956,970"):
        load_image(tmp_path / "a.png", 2)


def with_chunk(name, content, behind=False):
    """Bytes of a red PNG with an additional chunk, before or after its pixels"""
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, "PNG")
    data = file.getvalue()
    at = data.index(b"IEND") - 4 if behind else 33
    return data[:at] + chunk(name, content) + data[at:]


LARGE = [(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 5_000_000)),
         (b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(b"x" * 5_000_000)),
         (b"tEXt", b"parameters\0" + b"x" * 5_000_000), (b"iCCP", b"icc\0\0" + zlib.compress(bytes(5_000_000)))]


@pytest.mark.parametrize("name, content", LARGE, ids=lambda value: value[:4].decode() if len(value) == 4 else "")
@pytest.mark.parametrize("behind", [False, True])
def test_a_png_with_a_large_text_or_profile_is_read(name, content, behind):
    assert PngImagePlugin.MAX_TEXT_CHUNK < 5_000_000
    before = PngImagePlugin.MAX_TEXT_CHUNK
    assert load_image(io.BytesIO(with_chunk(name, content, behind)), 1).tolist() == [[RED]]
    assert PngImagePlugin.MAX_TEXT_CHUNK == before


@pytest.mark.parametrize("name, content", [
    (b"zTXt", b"a\0\0" + zlib.compress(bytes(70_000_000))),
    (b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(70_000_000))),
    (b"iCCP", b"a\0\0" + zlib.compress(bytes(70_000_000)))])
def test_a_huge_text_or_profile_is_refused(name, content):
    with refused(DataError, "text", "colour profile", "too large", "without them"):
        load_image(io.BytesIO(with_chunk(name, content)), 1)


def test_many_texts_of_a_huge_total_are_refused():
    data, text = with_chunk(b"zTXt", b"a\0\0"), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000)))
    with refused(DataError, "text", "colour profile", "too large"):
        load_image(io.BytesIO(data[:33] + 4 * text + data[33:]), 1)


@pytest.mark.slow
def test_threads_keep_each_others_settings(tmp_path, monkeypatch):
    """Some decode while others begin and end; afterwards Pillow's settings and the warnings are unchanged."""
    monkeypatch.setenv(LIMIT, "100")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    large, small = save(Image.new("RGB", (10, 10), "red"), tmp_path / "a.png"), with_chunk(*LARGE[0])
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, list(warnings.filters)
    start = Barrier(8)

    def work(i):
        start.wait()
        return [load_image(large if (i + j) % 2 else io.BytesIO(small), 1).tolist() for j in range(20)]
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[[[RED]]] * 20] * 8
    assert (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, list(warnings.filters)) == before


def test_pillows_warnings_are_suppressed(tmp_path):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(file, 2).shape == (2, 2, 3)
