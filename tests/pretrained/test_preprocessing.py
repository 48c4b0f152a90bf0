"""Preprocessing: torchvision's pixels, bit for bit."""
import numpy as np
import pytest
from PIL import Image

from npcaption.errors import DataError
from npcaption.pretrained.clip_config import MEAN, STD
from npcaption.pretrained.preprocessing import (
    BATCH,
    batches,
    center_crop,
    cropped_square,
    normalise,
    resize_shorter_side,
)
from tests.helpers.references import reference
from tests.helpers.refusals import refused


def wave_image(width, height):
    """A smooth wave, a ramp and a checkerboard."""
    y, x = np.mgrid[:height, :width]
    colours = 127 + 127 * np.sin(x / 7 + y / 11), 255 * x / width, 255 * ((x // 9 + y // 9) % 2)
    return Image.fromarray(np.stack(colours, -1).astype(np.uint8))


def transform(size):
    """Transforms of OpenAI's repository"""
    t = reference("torchvision.transforms")
    return t.Compose([t.Resize(size, interpolation=t.InterpolationMode.BICUBIC), t.CenterCrop(size), t.ToTensor(),
                      t.Normalize(MEAN, STD)])


def test_three_hundred_sizes_give_torchvisions_pixels_bit_for_bit():
    expected, rng = transform(224), np.random.default_rng(0)
    for width, height in rng.integers(40, 700, (300, 2)):
        image = wave_image(width, height)
        found = cropped_square(image, 224, MEAN, STD)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected(image).numpy().transpose(1, 2, 0), f"{width} x {height}")


@pytest.mark.parametrize("size", [(224, 224), (448, 448), (224, 225), (226, 224), (1, 1), (1, 100), (500, 5)])
def test_squares_and_thin_images_give_torchvisions_pixels(size):
    image = wave_image(*size)
    np.testing.assert_array_equal(cropped_square(image, 224, MEAN, STD),
                                  transform(224)(image).numpy().transpose(1, 2, 0))


@pytest.mark.parametrize("before, after", [((500, 375), (298, 224)), ((375, 500), (224, 298)), ((224, 300), (224, 300)),
                                           ((100, 100), (224, 224)), ((3, 2), (336, 224)), ((640, 427), (335, 224))])
def test_the_longer_side_is_rounded_down(before, after):
    assert resize_shorter_side(Image.new("RGB", before), 224).size == after


@pytest.mark.parametrize("length, offset", [(224, 0), (225, 0), (226, 1), (227, 2), (229, 2), (300, 38)])
def test_an_odd_margin_has_its_even_half_before_the_crop(length, offset):
    columns = np.zeros((224, length, 3), np.uint8)
    columns[..., 0] = np.minimum(np.arange(length), 255)
    found = np.asarray(center_crop(Image.fromarray(columns), 224))
    assert found.shape == (224, 224, 3) and found[0, 0, 0] == offset
    upright = Image.fromarray(columns.swapaxes(0, 1))
    assert np.asarray(center_crop(upright, 224))[0, 0, 0] == offset


def test_colours_are_normalised_each_by_its_own_mean_and_std():
    found = normalise(Image.new("RGB", (2, 1), (255, 0, 51)), (0.5, 0.25, 0.2), (0.5, 0.5, 0.1))
    np.testing.assert_allclose(found, [[[1, -0.5, 0]] * 2], atol=1e-7)


def test_a_file_and_its_image_give_the_same_pixels(tmp_path):
    image = wave_image(300, 200)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(cropped_square(tmp_path / "a.png", 24, MEAN, STD),
                                  cropped_square(image, 24, MEAN, STD))


def test_a_file_is_turned_upright_and_transparency_is_white(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6                                         # turn by 90 degrees
    wave_image(300, 200).save(tmp_path / "a.png", exif=exif)
    upright = wave_image(300, 200).transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(cropped_square(tmp_path / "a.png", 24, MEAN, STD),
                                  cropped_square(upright, 24, MEAN, STD))
    np.testing.assert_array_equal(cropped_square(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), 24, MEAN, STD),
                                  cropped_square(Image.new("RGB", (9, 9), "white"), 24, MEAN, STD))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    with refused(DataError, "a.jpg cannot be read", "save it"):
        cropped_square(tmp_path / "a.jpg", 24, MEAN, STD)


def test_a_huge_file_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    wave_image(40, 30).save(tmp_path / "a.png")
    monkeypatch.setenv("NPCAPTION_MAX_PIXELS", "1000")
    with refused(DataError, "a.png", "1,200 pixels", "1,000", "NPCAPTION_MAX_PIXELS"):
        cropped_square(tmp_path / "a.png", 24, MEAN, STD)


@pytest.mark.parametrize("size", [(150, 1), (1, 151), (450, 2), (2, 451)])
def test_a_very_long_image_is_cropped_before_the_resize(size, monkeypatch):
    image, sizes, resize = wave_image(*size), [], Image.Image.resize
    expected = transform(224)(image).numpy().transpose(1, 2, 0)
    monkeypatch.setattr(Image.Image, "resize",
                        lambda image, size, *rest: sizes.append(size) or resize(image, size, *rest))
    np.testing.assert_array_equal(cropped_square(image, 224, MEAN, STD), expected)
    assert max(sizes[0]) <= 224 * 101


def test_batches_are_lazy():
    asked = []
    found = batches((asked.append(i) or i for i in range(2 * BATCH + 1)), lambda i: np.full((2, 2, 3), i))
    assert next(found).shape == (BATCH, 2, 2, 3) and len(asked) == BATCH
    assert [batch[0, 0, 0, 0] for batch in found] == [BATCH, 2 * BATCH]
    assert list(batches([], None)) == []
