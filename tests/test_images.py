"""Any image -> (size, size, 3) uint8."""
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from npcaption.data.images import load_image
from npcaption.errors import DataError

RAMP = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3) * 20        # (2, 2, 3), every value another
RED, WHITE = [255, 0, 0], [255, 255, 255]


def save(image, file, **options):
    image.save(file, **options)
    return file


def test_an_array_of_the_right_size_passes_unchanged():
    assert np.array_equal(load_image(RAMP, 2), RAMP)


def test_a_path_a_pil_image_and_an_array_give_the_same_pixels(tmp_path):
    image = Image.effect_noise((50, 30), 90).convert("RGB")
    file = save(image, tmp_path / "a.png")
    expected = load_image(np.asarray(image), 16)
    assert expected.shape == (16, 16, 3) and expected.dtype == np.uint8
    for source in file, str(file), image:
        assert np.array_equal(load_image(source, 16), expected)


def test_a_photograph_is_squashed_not_cropped():
    halves = np.zeros((10, 40, 3), np.uint8)
    halves[:, 20:] = 200
    assert load_image(halves, 2).tolist() == [[[29] * 3, [171] * 3]] * 2     # 200/7 and 200 * 6/7: a triangle


def test_shrinking_averages_so_that_fine_stripes_do_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 254
    assert np.all(np.abs(load_image(stripes, 8).astype(int) - 127) <= 8)


@pytest.mark.parametrize("orientation, pixels", [
    (1, RAMP), (2, RAMP[:, ::-1]), (3, RAMP[::-1, ::-1]), (4, RAMP[::-1]), (5, RAMP.swapaxes(0, 1)),
    (6, np.rot90(RAMP, -1)), (7, RAMP[::-1, ::-1].swapaxes(0, 1)), (8, np.rot90(RAMP))])
def test_a_photograph_is_turned_as_its_exif_says(tmp_path, orientation, pixels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(load_image(save(Image.fromarray(RAMP), tmp_path / "a.png", exif=exif), 2), pixels)


def test_damaged_exif_does_not_spoil_a_photograph(tmp_path):
    file = save(Image.fromarray(RAMP), tmp_path / "a.png", exif=b"neither big-endian nor little-endian")
    with pytest.raises(SyntaxError):
        Image.open(file).getexif()
    assert np.array_equal(load_image(file, 2), RAMP)


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
    (with_palette(transparency=1), WHITE),                               # the transparent colour is number 1
    (with_palette(transparency=b"\xff\x33"), [255, 204, 204]),           # an alpha for each colour
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
], ids=lambda value: getattr(value, "mode", ""))
def test_every_mode_becomes_rgb(image, pixel):
    assert load_image(image, 1).tolist() == [[pixel]]


def test_a_16_bit_png_is_scaled_and_not_clipped(tmp_path):
    values = np.array([[0, 257], [25700, 65535]], np.uint16)
    file = save(Image.fromarray(values), tmp_path / "a.png")
    assert load_image(file, 2)[..., 0].tolist() == [[0, 1], [100, 255]]


def test_a_single_pixel_fills_the_square(tmp_path):
    for name in "a.png", "a.gif", "a.bmp":
        file = save(Image.new("RGB", (1, 1), "red"), tmp_path / name)
        assert load_image(file, 3).tolist() == [[RED] * 3] * 3


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    file = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    assert np.abs(load_image(file, 1).astype(int) - RED).max() <= 3


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    file = save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(file, 1).tolist() == [[RED]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
@pytest.mark.parametrize("name, reason", [
    ("missing.jpg", "No such file"), ("folder", "it is a folder"), ("pipe", "a pipe"), ("loop", "symbolic"),
    ("empty.jpg", "empty or damaged"),
    ("text.jpg", "format is not known"), ("cut.png", "truncated"), ("cut.jpg", "truncated"),
    ("program.eps", "PostScript program"), ("a\0.jpg", "null"), ("a\ud83d.jpg", "surrogates")])
def test_what_cannot_be_read_is_told_with_its_path(tmp_path, name, reason):
    noise = Image.effect_noise((64, 64), 90)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "program.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    for cut in tmp_path / "cut.png", tmp_path / "cut.jpg":
        cut.write_bytes(save(noise, cut).read_bytes()[:1500])
    shown = name.encode("unicode_escape").decode().replace("\\", r"\\")
    with pytest.raises(DataError, match=f"{tmp_path}/{shown} cannot be read as an image: .*{reason}") as caught:
        load_image(tmp_path / name, 8)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("side", [4, 9])             # Pillow itself warns of the first and refuses the second
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, side):
    file = save(Image.new("RGB", (side, side)), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings(), pytest.raises(DataError, match="a.png cannot be .* decompression bomb"):
        warnings.simplefilter("error")
        load_image(file, 2)


def test_pillows_warnings_do_not_leak(tmp_path):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(file, 2).shape == (2, 2, 3)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(DataError, match="no pixels"):
        load_image(Image.new("RGB", (0, 5)), 2)


@pytest.mark.parametrize("shape, dtype", [((2, 2), "uint8"), ((2, 2, 3), "float64"), ((0, 2, 3), "uint8")])
def test_an_array_of_another_kind_is_refused(shape, dtype):
    with pytest.raises(DataError, match=r"must be \(H, W, 3\) uint8"):
        load_image(np.zeros(shape, dtype), 2)
