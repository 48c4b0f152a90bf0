"""Augmentation: its effect on pixels, the truth of captions, and repeatability."""
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from npcaption.data.augmentation import DRAWS, augment, sided
from npcaption.data.batches import NO_VIEWS, Views, encode_captions, epoch_batches
from npcaption.data.dataset import Split
from npcaption.tokenizers import CharTokenizer
from tests.helpers.resampling import resize

rng = np.random.default_rng(0)
MIDDLE = np.full(DRAWS, 0.5)


def smooth_image(size=32):
    """Smooth colours: any crop is close to its resized version."""
    y, x = np.mgrid[:size, :size] / size
    return np.stack([255 * x, 255 * y, 127 + 100 * np.sin(3 * x + 2 * y)], -1).astype(np.uint8)


def test_no_augmentation_returns_the_image():
    np.testing.assert_array_equal(augment(smooth_image(), rng.random(DRAWS), False, 0.0, 0.0), smooth_image())


def test_mirroring_swaps_left_and_right():
    np.testing.assert_array_equal(augment(smooth_image(), MIDDLE, True, 0.0, 0.0), smooth_image()[:, ::-1])


def test_a_crop_stretches_the_drawn_box_to_the_whole_image():
    for _ in range(5):
        draws = rng.random(DRAWS)
        found = augment(smooth_image(64), draws, False, 0.4, 0.0).astype(int)
        width, height = 64 * (1 - 0.4 * draws[:2])
        left, top = (64 - width) * draws[2], (64 - height) * draws[3]
        centres = (np.arange(64) + 0.5) / 64
        y, x = np.meshgrid(top + centres * height, left + centres * width, indexing="ij")
        assert np.abs(found[..., 0] - 255 / 64 * (x - 0.5))[4:-4, 4:-4].max() < 6
        assert np.abs(found[..., 1] - 255 / 64 * (y - 0.5))[4:-4, 4:-4].max() < 6


@pytest.mark.parametrize("size", [1, 2, 3, 16, 33, 64])
@pytest.mark.parametrize("crop", [0.1, 0.3, 0.95])
def test_a_crops_pixels_are_those_of_two_integer_passes_in_every_pillow(size, crop):
    image = rng.integers(0, 256, (size, size, 3), np.uint8)
    for draws in [*rng.random((3, DRAWS)), np.zeros(DRAWS), np.ones(DRAWS), np.array([1, 0.25, 1, 0, 0, 0, 0])]:
        width, height = size * (1 - crop * draws[:2])
        left, top = (size - width) * draws[2], (size - height) * draws[3]
        np.testing.assert_array_equal(augment(image, draws, False, crop, 0.0),
                                      resize(image, size, (left, top, left + width, top + height)))


@pytest.mark.parametrize("draw, enhance", [(4, ImageEnhance.Brightness), (6, ImageEnhance.Color)])
@pytest.mark.parametrize("where", [0.0, 0.3, 1.0])
def test_brightness_and_saturation_are_pillows(draw, enhance, where):
    draws = MIDDLE.copy()
    draws[draw] = where
    factor = 1 + 0.4 * (2 * where - 1)
    exact = np.asarray(enhance(Image.fromarray(smooth_image())).enhance(factor)).astype(int)
    assert np.abs(augment(smooth_image(), draws, False, 0.0, 0.4) - exact).max() <= 2


def test_contrast_scales_differences_from_middle_grey():
    image, draws = smooth_image() // 2 + 64, MIDDLE.copy()
    for draws[5], factor in [(0.0, 0.6), (0.5, 1.0), (1.0, 1.4)]:
        found = augment(image, draws, False, 0.0, 0.4).astype(float)
        assert np.abs(found - (127.5 + factor * (image - 127.5))).max() <= 1


def test_draws_of_one_half_change_no_colour():
    assert np.abs(augment(smooth_image(), MIDDLE, False, 0.0, 0.4).astype(int) - smooth_image()).max() <= 1


@pytest.mark.parametrize("text, names_a_side", [
    ("a dog on the left", True), ("A Dog On The Left .", True), ("he turns right,", True), ("the leftmost man", True),
    ("right-hand traffic", True), ("a bright dog", False), ("lefty throws", False), ("a dog upright", False),
    ("", False)])
def test_captions_that_name_a_side_are_recognised(text, names_a_side):
    assert sided(text) == names_a_side


TEXTS = [("on the left", "a dog"), ("a cat",), ("right",), ("two men", "a man to the right", "men")] * 6
TOKENIZER = CharTokenizer.build([text for texts in TEXTS for text in texts])
IMAGES = rng.integers(0, 256, (len(TEXTS), 8, 8, 3), np.uint8)
SEQUENCES = encode_captions(Split(IMAGES, TEXTS, []), TOKENIZER, 24)


def batches(views, epoch=0, done=0, seed=0, threads=0):
    return list(epoch_batches(IMAGES, SEQUENCES, 4, "random", seed, epoch, done, views, threads))


def test_images_with_sided_captions_are_never_mirrored_and_others_half_of_the_time():
    mirrored = {True: [], False: []}
    for epoch in range(40):
        for batch, plain in zip(batches(Views(True, 0.0, 0.0), epoch), batches(NO_VIEWS, epoch)):
            for image, original, row in zip(batch.inputs, plain.inputs, batch.ids[:, 0]):
                is_mirrored = not np.array_equal(image, original)
                assert not is_mirrored or np.array_equal(image, original[:, ::-1])
                mirrored[sided(TOKENIZER.decode(row))].append(is_mirrored)
    assert len(mirrored[True]) > 100 and not any(mirrored[True])
    assert np.mean(mirrored[False]) == pytest.approx(0.5, abs=0.06)


def test_augmentation_does_not_change_order_and_captions():
    for batch, plain in zip(batches(Views(True, 0.2, 0.2)), batches(NO_VIEWS)):
        np.testing.assert_array_equal(batch.ids, plain.ids)


def test_seed_and_epoch_repeat_the_views_from_any_batch_on():
    views = Views(True, 0.3, 0.2)
    whole, later = batches(views), batches(views, done=2)
    for batch, again in zip(whole[2:], later, strict=True):
        np.testing.assert_array_equal(batch.inputs, again.inputs)
        np.testing.assert_array_equal(batch.ids, again.ids)
    assert not np.array_equal(whole[0].inputs, batches(views, epoch=1)[0].inputs)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_made_ahead_are_the_same_in_the_same_order(threads):
    views = Views(True, 0.3, 0.2)
    for batch, again in zip(batches(views), batches(views, threads=threads), strict=True):
        np.testing.assert_array_equal(batch.inputs, again.inputs)
        np.testing.assert_array_equal(batch.ids, again.ids)
