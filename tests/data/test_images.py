"""Image loading: any source -> (size, size, 3) uint8."""
import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from npcaption.data.images import load_image
from npcaption.support.images import open_image
from tests.helpers.image_files import RAMP, RED, save
from tests.helpers.resampling import resize


def test_an_array_of_the_right_size_is_unchanged():
    assert np.array_equal(load_image(RAMP, 2), RAMP)


def test_a_path_a_pil_image_and_an_array_give_the_same_pixels(tmp_path):
    image = Image.effect_noise((50, 30), 90).convert("RGB")
    file = save(image, tmp_path / "a.png")
    expected = load_image(np.asarray(image), 16)
    assert expected.shape == (16, 16, 3) and expected.dtype == np.uint8
    for source in file, str(file), image:
        assert np.array_equal(load_image(source, 16), expected)


def test_an_image_is_squashed_not_cropped():
    halves = np.zeros((10, 40, 3), np.uint8)
    halves[:, 20:] = 200
    assert load_image(halves, 2).tolist() == [[[29] * 3, [171] * 3]] * 2     # 200/7 and 200 * 6/7: a triangle filter


@pytest.mark.parametrize("height, width", [
    (300, 20), (301, 128), (97, 41), (20, 300), (128, 301), (41, 97), (64, 64), (16, 16),
    (1, 50), (50, 1), (1, 1), (5, 7), (3, 2)])
@pytest.mark.parametrize("size", [16, 33])
def test_pixels_are_those_of_two_integer_passes_in_every_pillow(height, width, size):
    """Pillow 13 begins with the height of tall images, with another rounding."""
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(load_image(image, size), resize(image, size))


def test_shrinking_averages_fine_stripes_without_aliasing():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 254
    assert np.all(np.abs(load_image(stripes, 8).astype(int) - 127) <= 8)


@pytest.mark.parametrize("orientation, pixels", [
    (1, RAMP), (2, RAMP[:, ::-1]), (3, RAMP[::-1, ::-1]), (4, RAMP[::-1]), (5, RAMP.swapaxes(0, 1)),
    (6, np.rot90(RAMP, -1)), (7, RAMP[::-1, ::-1].swapaxes(0, 1)), (8, np.rot90(RAMP))])
def test_exif_orientation_is_applied(tmp_path, orientation, pixels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(load_image(save(Image.fromarray(RAMP), tmp_path / "a.png", exif=exif), 2), pixels)


def test_xmp_orientation_is_applied_without_exif_orientation(tmp_path):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    jpeg = io.BytesIO()
    Image.fromarray(RAMP).save(jpeg, "JPEG", quality=100, subsampling=0)
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    plain, at = jpeg.getvalue(), 4 + int.from_bytes(jpeg.getvalue()[4:6], "big")     # after the first segment
    marker = b"\xff\xe1" + struct.pack(">H", len(segment) + 2)
    (tmp_path / "a.jpg").write_bytes(plain[:at] + marker + segment + plain[at:])
    save(Image.fromarray(RAMP), tmp_path / "a.png", pnginfo=text)
    save(Image.fromarray(RAMP), tmp_path / "a.webp", lossless=True, xmp=xmp)
    for name in "a.jpg", "a.png", "a.webp":
        assert np.abs(load_image(tmp_path / name, 2).astype(int) - np.rot90(RAMP, -1)).max() <= 3
    exif = Image.Exif()
    exif[0x0112] = 1
    assert np.array_equal(load_image(save(Image.fromarray(RAMP), tmp_path / "b.png", pnginfo=text, exif=exif), 2), RAMP)


def test_damaged_exif_is_ignored(tmp_path):
    file = save(Image.fromarray(RAMP), tmp_path / "a.png", exif=b"neither big-endian nor little-endian")
    with pytest.raises(SyntaxError):
        Image.open(file).getexif()
    assert np.array_equal(load_image(file, 2), RAMP)


def test_a_single_pixel_fills_the_square(tmp_path):
    for name in "a.png", "a.gif", "a.bmp":
        file = save(Image.new("RGB", (1, 1), "red"), tmp_path / name)
        assert load_image(file, 3).tolist() == [[RED] * 3] * 3


@pytest.mark.parametrize("name, options", [
    ("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {}), ("a.mpo", {"quality": 100})])
def test_an_animation_or_multi_page_file_gives_its_first_frame(tmp_path, name, options):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = save(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], **options)
    assert np.abs(load_image(file, 1).astype(int) - RED).max() <= 3


def test_an_open_file_is_read_from_its_beginning_and_stays_open(tmp_path):
    path = save(Image.fromarray(RAMP), tmp_path / "a.png")
    with open(path, "rb") as file:
        file.read(20)
        assert np.array_equal(load_image(file, 2), RAMP) and not file.closed
    assert np.array_equal(load_image(io.BytesIO(path.read_bytes()), 2), RAMP)


def test_exif_orientation_of_a_pil_image_is_applied_to_a_copy(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(save(Image.fromarray(RAMP), tmp_path / "a.png", exif=exif)) as image:
        assert np.array_equal(load_image(image, 2), RAMP[::-1, ::-1])
        assert np.array_equal(np.array(image), RAMP)


@pytest.mark.parametrize("name", [
    "a.png", "a.jpg", "a.gif", "a.webp", "a.tif", "a.bmp", "a.ico", "a.mpo", "a.jp2", "a.icns"])
def test_an_image_can_be_used_after_its_file_is_closed(tmp_path, name):
    if name == "a.jp2" and not features.check("jpg_2000"):
        pytest.skip("this Pillow was built without JPEG 2000")
    image = open_image(save(Image.new("RGB", (64, 64), "red"), tmp_path / name))
    (tmp_path / name).unlink()
    assert image.mode == "RGB" and np.abs(np.array(image.resize((3, 3))).astype(int) - RED).max() <= 3
