"""The kernels between the pixels and the encoder, and the loss on what the encoder makes, against the textbook."""
import numpy as np
import pytest

from npcaption import layers
from npcaption.config import ModelConfig
from npcaption.kernels import embedding, stem
from tests.helpers.kernel_checks import CANARY, EPS, compiled, errors, guarded, normal, weights  # noqa: F401 (compiled is a fixture)


@pytest.mark.parametrize("size, patch", [(4, 2), (24, 8), (15, 5), (16, 16), (64, 8)])
def test_patches_of_bytes_and_of_floats_are_the_textbooks(size, patch):
    p = weights(1, proj__weight=(3 * patch * patch, 20), proj__bias=(20,), position=((size // patch) ** 2, 20))
    bytes = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    floats = np.random.default_rng(1).uniform(0, 255, (size, size, 3)).astype(np.float32)
    for image in (bytes, bytes[::-1], floats, floats.swapaxes(0, 1)):
        assert errors("patch_embed", image=image, p=p, patch_size=patch, stem=()) == {}


# At least five channels: the spread of three can be so small that it magnifies the rounding of float32 beyond 3e-6.
@pytest.mark.parametrize("size, widths, patch",
                         [(8, (5,), 1), (8, (5, 7, 7, 9), 1), (32, (16, 32, 32, 33), 2), (10, (20,), 5),
                          (64, (32, 32, 32, 64), 4)])
def test_convolutions_before_the_patches_are_the_textbooks(size, widths, patch):
    p, config = {}, ModelConfig(image_size=size, patch_size=patch, convolutions=widths)
    for i, (inputs, outputs, _) in enumerate(config.stem):
        p |= {f"conv.{i}.{name}": value for name, value in weights(
            i, weight=(9 * inputs, outputs), bias=(outputs,), norm__weight=(outputs,), norm__bias=(outputs,)).items()}
    p |= weights(1, proj__weight=(outputs * patch * patch, 20), proj__bias=(20,), position=(config.patches, 20))
    bytes = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    floats = np.random.default_rng(1).uniform(0, 255, (size, size, 3)).astype(np.float32)
    for image in (bytes, bytes[::-1], floats):
        assert errors("patch_embed", image=image, p=p, patch_size=patch, stem=config.stem) == {}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side, channels", [(1, 1), (2, 3), (5, 4), (8, 17)])
def test_windows_are_the_textbooks_and_their_gradients_come_back_to_their_pixels(side, channels, stride):
    x, n = normal(1, side, side, channels), -(-side // stride)
    exact, cache = layers.windows_forward(x, stem.WINDOW, stride)
    windows, beside = guarded(np.full((n * n, 9 * channels), np.nan), CANARY)
    stem.cut_windows(x, stride, windows)
    np.testing.assert_array_equal(windows.reshape(exact.shape), exact)
    assert (beside() == CANARY).all()
    dwindows = normal(2, n * n, 9 * channels)
    dx, beside = guarded(np.zeros(x.shape), CANARY)
    stem.add_windows(dwindows, stride, dx)
    np.testing.assert_allclose(dx, layers.windows_backward(dwindows.reshape(exact.shape), cache), rtol=0,
                               atol=9 * EPS * np.abs(dwindows).max())  # sums of nine, in another order
    assert (beside() == CANARY).all()


@pytest.mark.parametrize("size, patch", [(4, 2), (24, 8), (15, 5)])
def test_every_pixel_goes_to_the_textbooks_place_in_its_patch(size, patch):
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    pixels = image.astype(np.float32) / np.float32(127.5) - np.float32(1)
    for scale, kind in [(embedding.scale_bytes, np.uint8), (embedding.scale_floats, np.float32)]:
        x, beside = guarded(np.full(image.shape, np.nan), CANARY)
        scale(image.astype(kind), x)
        np.testing.assert_allclose(x, pixels, rtol=0, atol=EPS)  # from 0 to 2, minus 1; pixels differ by 8e-3
        assert (beside() == CANARY).all()
    exact, cache = layers.patches_forward(pixels, patch)
    patches, beside = guarded(np.full(exact.shape, np.nan), CANARY)
    embedding.cut(pixels, patch, patches)
    np.testing.assert_array_equal(patches, exact)
    assert (beside() == CANARY).all()
    dx, beside = guarded(np.full(image.shape, np.nan), CANARY)
    embedding.paste(patches, patch, dx)
    np.testing.assert_array_equal(dx, layers.patches_backward(exact, cache))
    assert (beside() == CANARY).all()


@pytest.mark.parametrize("words", [16, 33, 100])  # so many that some are wrong: all but certain answers cost eps
def test_the_words_loss_is_the_textbooks(words):
    for patches, channels in [(1, 20), (9, 33), (64, 128)]:
        p = weights(1, norm__weight=(channels,), norm__bias=(channels,), linear__weight=(channels, words),
                    linear__bias=(words,))
        held = np.random.default_rng(words).integers(0, 2, words, np.uint8)
        for scale in (1, 4):                                 # the logits then go to 10 and beyond
            scaled = p | {"linear.weight": scale * p["linear.weight"]}
            assert errors("bag_loss", source=normal(2, patches, channels), p=scaled, words=held, total=7.0) == {}


@pytest.mark.parametrize("ids", [16, 33, 1024])
def test_the_loss_beside_soft_targets_is_the_textbooks(ids):
    rng = np.random.default_rng(ids)
    for tokens, channels, kept in [(1, 20, 1), (9, 33, 16), (31, 128, 16)]:
        p = weights(1, norm__weight=(channels,), norm__bias=(channels,), linear__weight=(channels, ids),
                    linear__bias=(ids,))
        likeliest = np.argsort(rng.random((tokens, ids)), -1)[:, :kept].astype(np.uint16)
        probabilities = rng.integers(0, 40_000, likeliest.shape).astype(np.uint16)
        probabilities[tokens // 2 + 1:] = 0                  # padding
        for scale in (1, 4):
            scaled = p | {"linear.weight": scale * p["linear.weight"]}
            for counts in (None, -1.5):
                assert errors("output_soft_loss", x=normal(2, tokens, channels), p=scaled, likeliest=likeliest,
                              probabilities=probabilities, total=7.0, weights=counts and np.float64(counts)) == {}


@pytest.mark.parametrize("width", [1, 33, 1280])
def test_the_regression_of_features_is_the_textbooks(width):
    for patches, channels in [(1, 20), (9, 33), (64, 128)]:
        p = weights(1, norm__weight=(channels,), norm__bias=(channels,), linear__weight=(channels, width),
                    linear__bias=(width,))
        assert errors("feature_regression", source=normal(2, patches, channels), p=p, pooled=normal(3, width),
                      total=7.0) == {}
