"""Pictures of attribution maps: heat, overlay, sheet, files."""
import os

import numpy as np
import pytest
from PIL import Image, ImageFont
from PIL._util import DeferredError

from npcaption.captioning.pictures import Panel, heat, overlay, save, sheet
from npcaption.errors import DataError

EVEN = np.full((16, 16), 1 / 256)


def solid(size=(160, 120), colour=(128, 128, 128)):
    return Image.new("RGB", size, colour)


def blob(y, x, side=16, width=0.12):
    """A Gaussian around (y, x), given as shares of the height and the width -> (side, side)"""
    at = (np.arange(side) + 0.5) / side
    return np.exp(-((at[:, None] - y) ** 2 + (at - x) ** 2) / 2 / width ** 2)


def brightness(image):
    return np.asarray(image.convert("L"), float)


def test_the_tile_is_brightest_where_the_map_is_highest_for_any_shape_of_the_image():
    for size in (160, 120), (90, 300):
        light = brightness(overlay(solid(size), blob(0.25, 0.75)))
        y, x = np.unravel_index(light.argmax(), light.shape)
        assert abs(y / size[1] - 0.25) < 0.05 and abs(x / size[0] - 0.75) < 0.05
        assert light.max() > 2 * light[-1, 0]


@pytest.mark.parametrize("colour", ["black", "gray", "white", "red", "blue", "yellow"])
def test_more_heat_is_brighter_on_any_image(colour):
    ramp = np.concatenate([np.zeros(24), np.arange(25)])[None] / 24      # its mean is above a quarter
    light = brightness(overlay(Image.new("RGB", (490, 10), colour), ramp))[5]
    assert (np.diff(light) >= -1).all() and light[-1] - light[0] > 80     # -1: rounding
    assert light[480] > light[420] > light[390] > light[330]


@pytest.mark.parametrize("map", [EVEN, np.zeros((8, 8)), np.full((16, 16), np.nan), np.full((128, 128), 7.0)])
def test_a_uniform_map_is_cold_everywhere(map):
    assert not heat(map).round(6).any()


def test_a_nearly_uniform_map_stays_nearly_cold():
    noise = np.random.default_rng(0).uniform(0.9, 1.1, (16, 16))
    assert heat(noise).max() < 0.15
    assert heat(blob(0.5, 0.5)).max() == 1


def test_each_map_is_scaled_by_itself():
    np.testing.assert_allclose(heat(1e-4 * blob(0.5, 0.5)), heat(blob(0.5, 0.5)), atol=1e-6)


def test_values_that_are_not_finite_count_as_0():
    clean, dirty = blob(0.5, 0.5), blob(0.5, 0.5)
    clean[0, :3], dirty[0, :3] = 0, [np.nan, np.inf, -np.inf]
    np.testing.assert_array_equal(heat(dirty), heat(clean))


def test_the_speckle_of_pixel_gradients_is_averaged_away():
    place = blob(0.3, 0.6, side=128)
    speckled = place * np.random.default_rng(0).random((128, 128)) ** 8
    assert np.corrcoef(speckled.ravel(), place.ravel())[0, 1] < 0.6
    assert np.corrcoef(heat(speckled).ravel(), heat(place).ravel())[0, 1] > 0.9


def panels(words, note=""):
    return [Panel(word, note, blob(0.5, 0.5)) for word in words]


@pytest.mark.parametrize("count, rows", [(0, 1), (1, 1), (4, 1), (5, 1), (6, 2), (9, 2), (11, 2), (12, 3), (30, 6)])
def test_a_sheet_fits_the_width_with_five_or_six_tiles_in_a_row(count, rows):
    page = np.asarray(sheet(solid((100, 100), (0, 0, 255)), "", panels(["dog"] * count)))
    assert page.shape[1] <= 1280 and page.dtype == np.uint8
    blue = (page == [0, 0, 255]).all(2)                      # only the plain image
    side = blue.any(0).sum()
    assert rows * side < page.shape[0] < rows * (side + 70) + 100


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (500, 375), (1, 1), (3000, 2)])
def test_tiles_keep_the_images_aspect_ratio(size):
    blue = (np.asarray(sheet(solid(size, (0, 0, 255)), "a dog", panels(["a", "dog"]))) == [0, 0, 255]).all(2)
    width, height = blue.any(0).sum(), blue.any(1).sum()
    assert blue.sum() == width * height
    assert abs(height - max(1, width * size[1] / size[0])) <= 1


def test_a_short_caption_makes_a_narrow_sheet_and_a_tall_image_no_tall_one():
    assert sheet(solid(), "a", panels(["a"])).width < 640
    assert sheet(solid((100, 1000)), "a", panels(["a"])).height < 640


@pytest.fixture(params=["with FreeType", "without FreeType"])
def pillow(request, monkeypatch):
    if request.param == "without FreeType":
        monkeypatch.setattr(ImageFont, "core", DeferredError(ImportError("The _imagingft C module is not installed")))


def ink(page):
    return np.argwhere((np.asarray(page) != 255).any(2))


def test_a_long_title_is_wrapped_and_a_long_word_truncated_within_the_margins(pillow):
    short = sheet(solid(), "a dog", panels(["a", "dog"]))
    page = sheet(solid(), "a dog and another dog " * 15 + "x" * 300, panels(["x" * 200, "dog"], note="y" * 200))
    assert page.width == short.width and page.height > short.height
    (top, left), (bottom, right) = ink(page).min(0), ink(page).max(0)
    assert min(left, top) >= 20 and right < page.width - 20 and bottom < page.height - 10


def test_any_text_can_be_drawn(pillow):
    for text in ["", " ", "caf\u00e9", "\u65e5\u672c", "\U0001f600", "\ud800", "\0", "two\nlines", "\u05e9"]:
        sheet(solid(), text, [Panel(text, text, EVEN)])


def test_a_sheet_shows_its_title_words_and_notes(pillow):
    def page(title, word, note):
        return np.asarray(sheet(solid(), title, [Panel(word, note, EVEN)]))

    for other in page("b", "a", "1"), page("a", "b", "1"), page("a", "a", "2"):
        assert (page("a", "a", "1") != other).any()


def test_a_picture_is_saved_in_the_format_of_its_suffix(tmp_path):
    for name, format in ("a.png", "PNG"), ("b.JPG", "JPEG"):
        save(solid(), tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.format == format and image.size == (160, 120)
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.JPG"]


@pytest.mark.parametrize("name", ["picture", "picture.docx", "picture.psd", ".png"])
def test_a_suffix_that_cannot_be_written_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name} .*suffix .*\.png"):
        save(solid(), tmp_path / name)


@pytest.mark.parametrize("name, reason", [("absent/a.png", "No such file"), ("file/a.png", "Not a directory"),
                                          ("folder.png", "Is a directory")])
def test_a_path_that_cannot_be_written_is_refused_with_the_reason(tmp_path, name, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=f"{name} could not be written .{reason}"):
        save(solid(), tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def test_an_earlier_picture_stays_whole_when_the_disk_is_full(tmp_path, monkeypatch):
    save(solid(), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(DataError, match="No space left on device"):
        save(solid(colour=(9, 9, 9)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before and os.listdir(tmp_path) == ["a.png"]
