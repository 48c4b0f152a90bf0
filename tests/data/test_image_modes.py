"""Colours of loaded images: every mode becomes RGB, transparency becomes white."""
import io
import struct

import numpy as np
import pytest
from PIL import Image

from npcaption.data.images import load_image
from npcaption.errors import DataError
from npcaption.support.images import open_image
from tests.helpers.image_files import RED, WHITE, chunk, save
from tests.helpers.refusals import refused


def with_palette(transparency=None):
    image = Image.new("P", (1, 1), 1)
    image.putpalette([0, 0, 255, *RED])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


@pytest.mark.parametrize("image, pixel", [
    (Image.new("1", (1, 1), 1), WHITE),
    (Image.new("L", (1, 1), 90), [90, 90, 90]),
    (Image.new("LA", (1, 1), (0, 51)), [204, 204, 204]),                 # 51/255 of black on white
    (Image.new("RGBA", (1, 1), (255, 0, 0, 51)), [255, 204, 204]),
    (Image.new("RGBA", (1, 1), (255, 0, 0, 0)), WHITE),
    (with_palette(), RED),
    (with_palette(transparency=1), WHITE),                               # colour 1 is transparent
    (with_palette(transparency=b"\xff\x33"), [255, 204, 204]),           # an alpha per colour
    (Image.new("CMYK", (1, 1), (0, 255, 255, 0)), RED),
    (Image.new("CMYK", (1, 1), (0, 0, 0, 255)), [0, 0, 0]),
    (Image.new("YCbCr", (1, 1), (100, 128, 128)), [100, 100, 100]),
    (Image.new("HSV", (1, 1), (0, 255, 255)), RED),
    (Image.new("F", (1, 1), 0.2), [51, 51, 51]),
    (Image.new("F", (1, 1), 51.0), [51, 51, 51]),
    (Image.new("F", (1, 1), 1e9), WHITE),
    (Image.new("F", (1, 1), float("nan")), [0, 0, 0]),
    (Image.new("I", (1, 1), 257 * 90), [90, 90, 90]),
    (Image.new("I", (1, 1), 2 ** 31 - 1), WHITE),
    (Image.new("I;16", (1, 1), 257 * 90), [90, 90, 90]),
    (Image.new("I;16B", (1, 1), 65535), WHITE),
    (Image.frombytes("I;16", (1, 1), b"\x00\x66"), [102, 102, 102]),
    (Image.frombytes("I;16B", (1, 1), b"\x66\x00"), [102, 102, 102]),
    (Image.new("L", (1, 1), 90).convert("I"), [90, 90, 90]),             # 8 bits in a wider mode
    (Image.new("La", (1, 1), (0, 51)), [204, 204, 204]),
    (Image.new("RGBa", (1, 1), (51, 0, 0, 51)), [255, 204, 204]),        # red, multiplied by its alpha
    (Image.new("PA", (1, 1), (0, 0)), WHITE),
    (Image.new("RGBX", (1, 1), (255, 0, 0, 7)), RED),
], ids=lambda value: getattr(value, "mode", ""))
def test_every_mode_becomes_rgb(image, pixel):
    assert load_image(image, 1).tolist() == [[pixel]]


def test_lab_of_8_bits_becomes_rgb_up_to_rounding():
    for colour, pixel in [((255, 128, 128), WHITE), ((138, 209, 198), RED)]:
        assert np.abs(load_image(Image.new("LAB", (1, 1), colour), 1).astype(int) - pixel).max() <= 5


def test_a_16_bit_png_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257], [25700, 65535]], np.uint16)
    file = save(Image.fromarray(values), tmp_path / "a.png")
    assert load_image(file, 2)[..., 0].tolist() == [[0, 1], [100, 255]]


def test_a_transparent_grey_of_16_bits_is_white(tmp_path):
    values = np.array([[0, 257], [25700, 65535]], np.uint16)
    data = save(Image.fromarray(values), tmp_path / "a.png").read_bytes()
    file = io.BytesIO(data[:33] + chunk(b"tRNS", struct.pack(">H", 257)) + data[33:])
    assert load_image(file, 2)[..., 0].tolist() == [[0, 255], [100, 255]]


def test_a_dark_16_bit_png_stays_dark(tmp_path):
    file = save(Image.fromarray(np.full((2, 2), 255, np.uint16)), tmp_path / "a.png")
    assert load_image(file, 2).max() == 1


def tiff(values, bits, white_is_zero=False, sample_format=1):
    """Bytes of a grey, uncompressed TIFF.  values: rows of 8 pixels, as bytes"""
    tags = [(256, 8), (257, len(values)), (258, bits), (259, 1), (262, 0 if white_is_zero else 1),
            (273, 8 + 2 + 9 * 12 + 4), (277, 1), (279, len(b"".join(values))), (339, sample_format)]
    written = [struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags]
    return b"".join([struct.pack("<4sIH", b"II*\0", 8, len(tags)), *written, bytes(4), *values])


GREY = np.arange(64).reshape(8, 8) * 4      # 0 to 252


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("values, bits, sample_format", [
    ((GREY.astype("<u1")), 8, 1), ((GREY * 257).astype("<u2"), 16, 1), ((GREY / 252).astype("<f4"), 32, 3)])
def test_a_grey_tiff_can_have_white_as_0(white_is_zero, values, bits, sample_format):
    found = open_image(io.BytesIO(tiff([row.tobytes() for row in values], bits, white_is_zero, sample_format)))
    grey = GREY if bits != 32 else (GREY / 252 * 255).round()
    np.testing.assert_array_equal(np.array(found)[..., 1], 255 - grey if white_is_zero else grey)


def test_a_12_bit_tiff_is_as_bright_as_a_16_bit_one():
    bits = np.unpackbits((GREY * 16).astype(">u2").view(np.uint8), axis=-1).reshape(8, 8, 16)[..., 4:]
    rows = [row.tobytes() for row in np.packbits(bits.reshape(8, -1), axis=-1)]
    found = np.array(open_image(io.BytesIO(tiff(rows, 12))), int)[..., 0]
    assert np.abs(found - GREY).max() <= 1 and found.max() > 245


@pytest.mark.parametrize("values", [np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8), GREY.astype(np.int32) - 99])
def test_negative_values_are_refused(values):
    with refused(DataError, "negative values", "8 bits"):
        load_image(Image.fromarray(values), 2)


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    file = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    assert np.abs(load_image(file, 1).astype(int) - RED).max() <= 3


def test_transparency_becomes_white_in_images_of_any_height():
    image = np.random.default_rng(0).integers(0, 256, (600, 3, 4), np.uint8)
    alpha = image[..., 3:] / 255
    exact = image[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.array(open_image(Image.fromarray(image))) - exact).max() <= 1
