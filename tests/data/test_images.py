"""Any image -> (size, size, 3) uint8."""
import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from threading import Barrier

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from npcaption.data.images import load_image
from npcaption.errors import ConfigError, DataError
from npcaption.support.images import LIMIT, max_pixels, open_image, set_max_pixels
from npcaption.support.unreadable import reason
from tests.helpers.resampling import resize

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


@pytest.mark.parametrize("height, width", [
    (300, 20), (301, 128), (97, 41), (20, 300), (128, 301), (41, 97), (64, 64), (16, 16),
    (1, 50), (50, 1), (1, 1), (5, 7), (3, 2)])
@pytest.mark.parametrize("size", [16, 33])
def test_pixels_are_those_of_two_passes_in_integers_whatever_pillow_does(height, width, size):
    """Pillow 13 begins with the height of tall images, which rounds otherwise."""
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(load_image(image, size), resize(image, size))


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


def test_a_photograph_is_turned_as_its_xmp_says_where_exif_is_silent(tmp_path):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    jpeg = io.BytesIO()
    Image.fromarray(RAMP).save(jpeg, "JPEG", quality=100, subsampling=0)
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    plain, at = jpeg.getvalue(), 4 + int.from_bytes(jpeg.getvalue()[4:6], "big")     # behind the first segment
    marker = b"\xff\xe1" + struct.pack(">H", len(segment) + 2)
    (tmp_path / "a.jpg").write_bytes(plain[:at] + marker + segment + plain[at:])
    save(Image.fromarray(RAMP), tmp_path / "a.png", pnginfo=text)
    save(Image.fromarray(RAMP), tmp_path / "a.webp", lossless=True, xmp=xmp)
    for name in "a.jpg", "a.png", "a.webp":
        assert np.abs(load_image(tmp_path / name, 2).astype(int) - np.rot90(RAMP, -1)).max() <= 3
    exif = Image.Exif()
    exif[0x0112] = 1
    assert np.array_equal(load_image(save(Image.fromarray(RAMP), tmp_path / "b.png", pnginfo=text, exif=exif), 2), RAMP)


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
    (Image.frombytes("I;16", (1, 1), b"\x00\x66"), [102, 102, 102]),
    (Image.frombytes("I;16B", (1, 1), b"\x66\x00"), [102, 102, 102]),
    (Image.new("L", (1, 1), 90).convert("I"), [90, 90, 90]),             # 8 bits, in a mode that could hold more
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


def test_a_16_bit_png_is_scaled_and_not_clipped(tmp_path):
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
    """The bytes of a grey image as a TIFF, without compression.  values: its rows as bytes, 8 pixels each"""
    tags = [(256, 8), (257, len(values)), (258, bits), (259, 1), (262, 0 if white_is_zero else 1),
            (273, 8 + 2 + 9 * 12 + 4), (277, 1), (279, len(b"".join(values))), (339, sample_format)]
    written = [struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags]
    return b"".join([struct.pack("<4sIH", b"II*\0", 8, len(tags)), *written, bytes(4), *values])


GREY = np.arange(64).reshape(8, 8) * 4      # 0 to 252


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("values, bits, sample_format", [
    ((GREY.astype("<u1")), 8, 1), ((GREY * 257).astype("<u2"), 16, 1), ((GREY / 252).astype("<f4"), 32, 3)])
def test_a_grey_tiff_says_whether_white_is_0(white_is_zero, values, bits, sample_format):
    found = open_image(io.BytesIO(tiff([row.tobytes() for row in values], bits, white_is_zero, sample_format)))
    grey = GREY if bits != 32 else (GREY / 252 * 255).round()
    np.testing.assert_array_equal(np.array(found)[..., 1], 255 - grey if white_is_zero else grey)


def test_a_tiff_of_12_bits_is_as_bright_as_one_of_16():
    bits = np.unpackbits((GREY * 16).astype(">u2").view(np.uint8), axis=-1).reshape(8, 8, 16)[..., 4:]
    rows = [row.tobytes() for row in np.packbits(bits.reshape(8, -1), axis=-1)]
    found = np.array(open_image(io.BytesIO(tiff(rows, 12))), int)[..., 0]
    assert np.abs(found - GREY).max() <= 1 and found.max() > 245


@pytest.mark.parametrize("values", [np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8), GREY.astype(np.int32) - 99])
def test_negative_values_are_no_brightness(values):
    with pytest.raises(DataError, match="has negative values.*8 bits"):
        load_image(Image.fromarray(values), 2)


def test_a_single_pixel_fills_the_square(tmp_path):
    for name in "a.png", "a.gif", "a.bmp":
        file = save(Image.new("RGB", (1, 1), "red"), tmp_path / name)
        assert load_image(file, 3).tolist() == [[RED] * 3] * 3


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    file = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    assert np.abs(load_image(file, 1).astype(int) - RED).max() <= 3


@pytest.mark.parametrize("name, options", [
    ("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {}), ("a.mpo", {"quality": 100})])
def test_an_animation_or_a_file_of_pages_gives_its_first(tmp_path, name, options):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = save(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], **options)
    assert np.abs(load_image(file, 1).astype(int) - RED).max() <= 3


def test_transparency_is_laid_on_white_in_images_of_any_height():
    image = np.random.default_rng(0).integers(0, 256, (600, 3, 4), np.uint8)
    alpha = image[..., 3:] / 255
    exact = image[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.array(open_image(Image.fromarray(image))) - exact).max() <= 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
@pytest.mark.parametrize("name, reason, remedy", [
    ("missing.jpg", "No such file", "Check its name"), ("folder", "it is a folder", "Pass the images in it"),
    ("pipe", "a pipe", "Save the image to a file"), ("loop", "symbolic", "Check its name"),
    ("empty.jpg", "it is empty", "Download or copy it again"), ("text.jpg", "it is text", "the image itself"),
    ("cut.png", "truncated", "download or copy it again"), ("cut.jpg", "truncated", "download or copy it again"),
    ("program.eps", "PostScript program", "Export it as PNG"), ("a\0.jpg", "null", "Check its name"),
    ("a\ud83d.jpg", "surrogates", "Check its name"), ("text.jpg/a.jpg", "Not a directory", "Check its name")])
def test_what_cannot_be_read_is_told_with_its_path_and_what_to_do(tmp_path, name, reason, remedy):
    noise = Image.effect_noise((64, 64), 90)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "program.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("404: Not Found")
    for cut in tmp_path / "cut.png", tmp_path / "cut.jpg":
        cut.write_bytes(save(noise, cut).read_bytes()[:1500])
    shown = name.encode("unicode_escape").decode().replace("\\", r"\\")
    sentence = f"{tmp_path}/{shown} cannot be read as an image: .*{reason}.*{remedy}"
    with pytest.raises(DataError, match=sentence) as caught:
        load_image(tmp_path / name, 8)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("head, reason, remedy", [
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image", "Convert"),
    (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC image", "Convert"),
    (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf", "an AVIF image", "Convert"),
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
    (bytes(5000), "zeros only", "copy it again"),
    (b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS metadata", r"without \._"),
    (b"\xff\xd8\xff\xe0", "damaged", "copy it again"), (b"\x89PNG\r\n\x1a\n", "damaged", "copy it again"),
    ("{\"error\": \"größer\"}".encode(), "it is text", "the image itself"),
    (b"\x93\xff\xfe\xfa\0", "unknown", "JPEG, a PNG")])
@pytest.mark.parametrize("way", ["path", "file"])
def test_what_is_no_image_is_told_by_its_first_bytes_with_what_to_do(tmp_path, head, reason, remedy, way):
    (tmp_path / "a.jpg").write_bytes(head)
    source = tmp_path / "a.jpg" if way == "path" else io.BytesIO(head)
    with pytest.raises(DataError, match=f"cannot be read as an image: .*{reason}.*[.;:] .*{remedy}"):
        load_image(source, 8)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told_so(tmp_path):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    file.chmod(0)
    with pytest.raises(DataError, match="Permission denied. Make the file readable"):
        load_image(file, 2)


def test_a_missing_permission_and_an_error_of_the_machine_have_their_own_remedies(tmp_path, monkeypatch):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    for error, sentence in [(PermissionError(13, "Permission denied"), "Permission denied. Make the file .*readable"),
                            (OSError(5, "Input/output error"), "Input/output error. This is an error of the machine"),
                            (MemoryError(), "not enough memory for it. Pass a smaller copy")]:
        def broken(*_):
            raise error
        monkeypatch.setattr(Image, "open", broken)
        with pytest.raises(DataError, match=sentence) as caught:
            load_image(file, 2)
        assert caught.value.__cause__ is error and reason(error) in str(caught.value)


# ---------------------------------------------------------------------------------------------------- how many pixels

@pytest.fixture
def ten_pixels(monkeypatch):
    """Pillow warns of images of more pixels and refuses those of more than twice as many."""
    monkeypatch.delenv(LIMIT, raising=False)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)


@pytest.mark.parametrize("shape, read", [((4, 5), True), ((21, 1), False), ((9, 9), False), ((4, 4), True)])
def test_images_are_read_up_to_the_size_that_pillow_refuses(tmp_path, ten_pixels, shape, read):
    file = save(Image.new("RGB", shape, "red"), tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if read:
            assert load_image(file, 2).tolist() == [[RED] * 2] * 2
        else:
            pixels = shape[0] * shape[1]
            with pytest.raises(DataError, match=f"it has {pixels} pixels, more than the limit of 20. Set {LIMIT}"):
                load_image(file, 2)
    assert Image.MAX_IMAGE_PIXELS == 10 and max_pixels() == 20


@pytest.mark.parametrize("limit, largest", [("81", 81), ("80", 64), ("1", 1), ("1000000", 81)])
def test_the_limit_is_raised_and_lowered_by_the_environment(tmp_path, monkeypatch, ten_pixels, limit, largest):
    monkeypatch.setenv(LIMIT, limit)
    assert max_pixels() == int(limit)
    for side in 1, 8, 9:
        file = save(Image.new("RGB", (side, side), "red"), tmp_path / "a.png")
        if side ** 2 <= largest:
            assert load_image(file, 1).tolist() == [[RED]]
        else:
            sentence = f"it has {side ** 2} pixels, more than the limit of {limit}. Set {LIMIT}"
            with pytest.raises(DataError, match=sentence):
                load_image(file, 1)


def test_the_limit_is_set_by_a_function(monkeypatch, ten_pixels):
    monkeypatch.setenv(LIMIT, "7")                           # so that it is put back at the end
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
def test_a_limit_that_is_no_number_is_refused_with_a_sentence(tmp_path, monkeypatch, bad):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    monkeypatch.setenv(LIMIT, bad)
    with pytest.raises(ConfigError, match=f"^{LIMIT} is '.*'; it must be a positive whole number") as caught:
        load_image(file, 2)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_a_small_file_that_claims_to_be_large_is_refused_before_its_pixels_take_memory(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(DataError, match="it has 3,600,000,000 pixels, more than the limit of 178,956,970"):
        load_image(tmp_path / "a.png", 2)


# ------------------------------------------------------------------------------------------------------- text of PNGs

def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunk(name, content, behind=False):
    """The bytes of a red PNG with one more chunk, before or behind its pixels"""
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
def test_a_text_that_would_fill_the_memory_is_refused_with_its_remedy(name, content):
    with pytest.raises(DataError, match="its text or its colour profile is too large. Save it without them"):
        load_image(io.BytesIO(with_chunk(name, content)), 1)


def test_many_texts_that_would_fill_the_memory_together_are_refused():
    data, text = with_chunk(b"zTXt", b"a\0\0"), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000)))
    with pytest.raises(DataError, match="its text or its colour profile is too large"):
        load_image(io.BytesIO(data[:33] + 4 * text + data[33:]), 1)


@pytest.mark.slow
def test_threads_do_not_take_each_others_settings_away(tmp_path, monkeypatch):
    """One is in a decoder while others come and go; afterwards Pillow and the warnings are as before."""
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


def test_pillows_warnings_do_not_leak(tmp_path):
    file = save(Image.new("RGB", (2, 2)), tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(file, 2).shape == (2, 2, 3)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(DataError, match="no pixels"):
        load_image(Image.new("RGB", (0, 5)), 2)


@pytest.mark.parametrize("shape, dtype, advice", [
    ((2, 2), "uint8", "fromarray"), ((2, 2, 4), "uint8", "fromarray"), ((2, 2, 3), "float64", "255"),
    ((0, 2, 3), "uint8", ""),
    ((2, 2), "float32", "255"), ((3, 8, 8), "uint8", "transpose"), ((3, 8, 8), "float32", "transpose"),
    ((5, 8, 8, 3), "uint8", r"captions\(\)"), ((2, 2, 3), "int64", "Convert"),
    ((2, 2, 3), "bool", "Convert"), ((), "O", "Convert")])
def test_an_array_of_another_kind_is_refused_with_advice(shape, dtype, advice):
    with pytest.raises(DataError, match=rf"must be \(H, W, 3\) uint8.*{advice}"):
        load_image(np.zeros(shape, dtype), 2)


def test_advice_on_arrays_helps():
    grey, floats = np.full((4, 4), 90, np.uint8), RAMP / 255
    assert load_image(Image.fromarray(grey), 1).tolist() == [[[90] * 3]]
    assert np.array_equal(load_image((255 * floats).round().astype("uint8"), 2), RAMP)


def test_an_open_file_is_read_from_its_beginning_and_stays_open(tmp_path):
    path = save(Image.fromarray(RAMP), tmp_path / "a.png")
    with open(path, "rb") as file:
        file.read(20)
        assert np.array_equal(load_image(file, 2), RAMP) and not file.closed
    assert np.array_equal(load_image(io.BytesIO(path.read_bytes()), 2), RAMP)


@pytest.mark.parametrize("source, sentence", [
    (b"\xff\xd8", "is of type bytes.*io.BytesIO"), (3, "is of type int"), (None, "is of type NoneType"),
    (["a.jpg"], "is of type list"), (iter([]), "is of type list_iterator"), (io.StringIO("a"), "open as text.*binary"),
    (PurePosixPath("http://localhost/a.jpg"), "http:/localhost/a.jpg cannot .* a URL. Download it"),
    ("http://localhost/a.jpg", "http://localhost/a.jpg cannot .* a URL. Download it"),
    ("data:image/png;base64," + "iVBOR" * 10_000, r"^data:image/png;base64,\w{270,}\.\.\. cannot .* a URL")])
def test_what_is_no_source_is_refused_with_a_sentence(source, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        load_image(source, 2)
    assert len(str(caught.value)) < 600


def test_a_pil_image_is_turned_as_its_exif_says_and_is_not_changed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(save(Image.fromarray(RAMP), tmp_path / "a.png", exif=exif)) as image:
        assert np.array_equal(load_image(image, 2), RAMP[::-1, ::-1])
        assert np.array_equal(np.array(image), RAMP)


@pytest.mark.parametrize("name", [
    "a.png", "a.jpg", "a.gif", "a.webp", "a.tif", "a.bmp", "a.ico", "a.mpo", "a.jp2", "a.icns"])
def test_an_image_can_be_used_when_its_file_is_closed(tmp_path, name):
    if name == "a.jp2" and not features.check("jpg_2000"):
        pytest.skip("this Pillow was built without JPEG 2000")
    image = open_image(save(Image.new("RGB", (64, 64), "red"), tmp_path / name))
    (tmp_path / name).unlink()
    assert image.mode == "RGB" and np.abs(np.array(image.resize((3, 3))).astype(int) - RED).max() <= 3
