"""EfficientNet-Lite: kernels against NumPy, tokens against timm's, checks of the weights."""
import hashlib
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npcaption import kernels
from npcaption.errors import ConfigError, DataError, PretrainedError
from npcaption.pretrained import efficientnet
from npcaption.pretrained.efficientnet import EfficientNetLite, recognises
from npcaption.pretrained.encoders import load_encoder
from npcaption.pretrained.tensors import read_tensors
from tests.helpers.efficientnet_weights import EVERY, VARIANTS, formula_image, random_weights
from tests.helpers.kernel_checks import CANARY, EPS, assert_close, compiled, guarded, normal, packed  # noqa: F401
from tests.helpers.refusals import refused

FIXTURE = Path(__file__).parents[1] / "fixtures" / "efficientnet_lite.npz"
TOLERANCE = 1e-5  # relative to the largest number: sums in another order than PyTorch's, through 60 layers
weights = cache(random_weights)
LITE0 = "EfficientNet-Lite0"


# --------------------------------------------------------------------------------------------------------- kernels

def plain_depthwise(x, w, b, stride):
    """relu6(depthwise convolution) with TensorFlow's "SAME" padding, by slices.  x (A, A, C) -> (N, N, C)"""
    side, taps = len(x), len(w)
    n = -(-side // stride)
    zeros = max((n - 1) * stride + taps - side, 0)
    x = np.pad(x, ((zeros // 2, zeros - zeros // 2),) * 2 + ((0, 0),))
    reach = (n - 1) * stride + 1
    total = sum(x[i:i + reach:stride, j:j + reach:stride] * w[i, j] for i in range(taps) for j in range(taps))
    return np.clip(total + b, 0, 6)


@pytest.mark.parametrize("channels", [1, 7, 16, 50])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [3, 5])
def test_the_depthwise_convolution_is_numpys_and_nothing_around_it_is_read_or_written(taps, stride, channels):
    for side in (1, 2, 3, 4, 9, 12):
        x, w, b = 2 * normal(1, side, side, channels), normal(2, taps, taps, channels), normal(3, channels)
        n = -(-side // stride)
        out, around = guarded(np.full((n, n, channels), np.nan), CANARY)
        kernels.fused_depthwise(guarded(x)[0], guarded(w)[0], guarded(b)[0], stride, out)
        exact = plain_depthwise(x.astype(float), w, b, stride)
        assert_close(out, exact, taps ** 2 * EPS * np.abs(x).max() * np.abs(w).max())
        assert (around() == CANARY).all()


def test_a_stride_of_two_pads_an_even_side_at_its_end_only():
    x, w = np.zeros((4, 4, 1), np.float32), np.zeros((3, 3, 1), np.float32)
    x[0, 0], w[0, 0], out = 1, 1, np.empty((2, 2, 1), np.float32)
    kernels.fused_depthwise(x, w, np.zeros(1, np.float32), 2, out)
    assert out[..., 0].tolist() == [[1, 0], [0, 0]]          # padding on both sides would give zeros


@pytest.mark.parametrize("rows, depth, columns", [(1, 1, 1), (63, 16, 96), (64, 27, 32), (65, 24, 7), (200, 33, 50)])
def test_the_pointwise_convolution_is_numpys_and_nothing_around_it_is_read_or_written(rows, depth, columns):
    x, w, b = normal(1, rows, depth), normal(2, depth, columns), normal(3, columns)
    out, around = guarded(np.full((rows, columns), np.nan), CANARY)
    kernels.fused_pointwise(guarded(x)[0], packed(w).panels, guarded(b)[0], out)
    assert_close(out, np.clip(x.astype(float) @ w + b, 0, 6), depth * EPS * np.abs(x).max() * np.abs(w).max())
    assert (around() == CANARY).all()


def test_relu6_hides_no_nan():
    x = np.full((1, 1, 16), np.nan, np.float32)
    out, one = np.zeros((1, 1, 16), np.float32), np.ones((3, 3, 16), np.float32)
    kernels.fused_depthwise(x, one, np.zeros(16, np.float32), 1, out)
    assert np.isnan(out).all()


# ---------------------------------------------------------------------------------------------------------- tokens

def assert_timms(encoder, key):
    golden = np.load(FIXTURE)[f"{key}/{encoder.stage}"]      # (P, D / EVERY)
    found = encoder.forward(formula_image(encoder.image_size))
    assert found.shape == encoder.shape and found.dtype == np.float32
    assert np.abs(found[:, ::EVERY[encoder.stage]] - golden).max() < TOLERANCE * np.abs(golden).max()


@pytest.mark.parametrize("stage", efficientnet.STAGES)
@pytest.mark.parametrize("name", VARIANTS)
def test_with_random_weights_the_tokens_are_timms(name, stage):
    encoder = EfficientNetLite(weights(name), "", stage)
    assert encoder.name == name
    assert_timms(encoder, name)


@pytest.mark.parametrize("stage", efficientnet.STAGES)
def test_with_the_real_weights_the_tokens_are_timms(stage):
    path = os.environ.get("NPCAPTION_ENCODER")
    if not path:
        pytest.skip("needs an EfficientNet-Lite file, named by NPCAPTION_ENCODER")
    tensors, sha256 = read_tensors(path), hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if not recognises(tensors):
        pytest.skip(f"{path} is no EfficientNet")
    assert f"{sha256}/{stage}" in np.load(FIXTURE), f"no golden numbers for {path}, {sha256}"
    assert_timms(EfficientNetLite(tensors, sha256, stage), sha256)


def test_the_tokens_are_those_of_a_plain_numpy_depthwise_convolution(monkeypatch):
    encoder = EfficientNetLite(weights(LITE0), "")
    found = encoder.forward(formula_image(224))

    def plain(x, w, b, stride, out):
        out[:] = plain_depthwise(x, w, b, stride)
    monkeypatch.setattr(efficientnet, "fused_depthwise", plain)
    exact = encoder.forward(formula_image(224))
    assert 0 < np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


def test_grid_and_shape_follow_from_variant_and_stage():
    found = {(name[-5:], stage): (encoder.image_size, encoder.grid, encoder.shape) for name in VARIANTS
             for stage in efficientnet.STAGES for encoder in [EfficientNetLite(weights(name), "", stage)]}
    assert found["Lite0", "head"] == (224, (7, 7), (49, 1280))
    assert found["Lite1", "head"] == (240, (8, 8), (64, 1280))
    assert found["Lite2", "head"] == (260, (9, 9), (81, 1280))
    assert found["Lite2", "last"] == (260, (9, 9), (81, 352))
    assert found["Lite2", "middle"] == (260, (17, 17), (289, 120))


@pytest.fixture(scope="module")
def encoder():
    return EfficientNetLite(weights(LITE0), "", threads=2)


def images(count):
    return [Image.fromarray(np.random.default_rng(i).integers(0, 256, (40 + i, 60, 3), np.uint8)) for i in range(count)]


@pytest.mark.parametrize("stage", efficientnet.STAGES)
def test_tokens_keep_the_order_and_do_not_depend_on_threads_or_company(stage, monkeypatch):
    monkeypatch.setattr(efficientnet, "BATCH", 2)
    several = images(5)
    one, two = (EfficientNetLite(weights(LITE0), "", stage, threads) for threads in (1, 2))
    together = two.tokens(iter(several))
    assert together.shape == (5, *two.shape) and together.dtype == np.float32
    np.testing.assert_array_equal(one.tokens(several), together)
    for image, tokens in zip(several, together):
        np.testing.assert_array_equal(one.tokens([image])[0], tokens)


def test_a_path_gives_the_tokens_of_its_image(encoder, tmp_path):
    image, = images(1)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(encoder.tokens([tmp_path / "a.png"]), encoder.tokens([image]))


def test_no_images_give_no_tokens(encoder):
    assert encoder.tokens([]).shape == (0, 49, 1280)


def test_an_unreadable_image_is_named(encoder, tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    with refused(DataError, "a.jpg cannot be read"):
        encoder.tokens([*images(1), tmp_path / "a.jpg"])


def test_pixels_of_another_size_are_refused(encoder):
    with refused(DataError, "(260, 260, 3)", "EfficientNet-Lite0", "(224, 224, 3)", "Call preprocess first"):
        encoder.forward(formula_image(260))


# --------------------------------------------------------------------------------------------------- preprocessing

def test_preprocessing_is_pillows_bicubic_of_the_whole_image(encoder):
    for image in images(3):
        small = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC), float)
        found = encoder.preprocess(image)
        assert found.dtype == np.float32 and np.abs(found - (small / 127.5 - 1)).max() < 1e-6


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (3000, 40)])
def test_preprocessing_keeps_each_corner_of_the_image(encoder, size):
    for corner in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        image = Image.new("RGB", size)
        image.paste((255, 255, 255), tuple(place * (length - length // 20) for place, length in zip(corner, size))
                    + tuple(length // 20 if not place else length for place, length in zip(corner, size)))
        found = encoder.preprocess(image)
        assert found[-corner[1], -corner[0]].tolist() == [1, 1, 1]
        assert (found == 1).sum() < found.size / 100


# --------------------------------------------------------------------------------------------------------- weights

def test_only_an_efficientnets_names_are_recognised():
    assert recognises(weights(LITE0))
    assert not recognises({"conv1.weight": np.zeros((768, 3, 32, 32), np.float32)}) and not recognises({})


@pytest.mark.parametrize("change, parts", [
    ({"_bn0.bias": None}, ["no tensor _bn0.bias"]),
    ({"_conv_head.weight": None}, ["no tensor _conv_head.weight"]),
    ({"_blocks.3._depthwise_conv.weight": np.zeros((144, 1, 3, 3))},
     ["_blocks.3._depthwise_conv.weight", "(144, 1, 3, 3)", "(144, 1, 5, 5)", "Pass the file of EfficientNet-Lite0"]),
    ({"_bn1.weight": np.float32(1)}, ["_bn1.weight", "shape ()", "(1280,)"]),
    ({"_blocks.2._bn2.running_var": np.full(24, -1.0)}, ["_blocks.2._project_conv", "_blocks.2._bn2", "not finite"]),
    ({"_conv_stem.weight": np.full((32, 3, 3, 3), np.nan)}, ["_conv_stem", "_bn0", "not finite"]),
    ({"_blocks.0._se_reduce.weight": np.zeros((8, 32, 1, 1))}, ["_blocks.0._se_reduce.weight", "EfficientNet-Lite0"]),
    ({"_blocks.16._project_conv.weight": np.zeros((1, 1, 1, 1))}, ["17 blocks", "Use one of: EfficientNet-Lite0"]),
    ({"_conv_head.weight": np.zeros((1280, 384, 1, 1))}, ["16 blocks", "(1280, 384", "not supported"]),
    ({"_conv_head.weight": np.zeros(())}, ["head of shape ()", "not supported"]),
])
def test_unusable_weights_are_refused(change, parts):
    tensors = {name: value for name, value in (weights(LITE0) | change).items() if value is not None}
    with refused(PretrainedError, *parts):
        EfficientNetLite(tensors, "")


def test_half_precision_weights_are_read_too(encoder):
    halves = {name: value.astype(np.float16) for name, value in weights(LITE0).items()}
    found = EfficientNetLite(halves, "").forward(formula_image(224))
    exact = encoder.forward(formula_image(224))
    assert np.abs(found - exact).mean() < 0.05 * exact.mean()


def test_reading_the_weights_leaves_them_as_they_are():
    before = {name: value.copy() for name, value in weights(LITE0).items()}
    EfficientNetLite(weights(LITE0), "")
    assert before.keys() == weights(LITE0).keys()
    for name, value in before.items():
        np.testing.assert_array_equal(weights(LITE0)[name], value)


@pytest.fixture
def file(tmp_path):
    """Function: write float32 tensors to a safetensors file -> its path"""
    def write(tensors):
        tensors = {name: np.asarray(value, "<f4") for name, value in tensors.items()}
        ends = np.cumsum([0, *(value.nbytes for value in tensors.values())]).tolist()
        header = {name: {"dtype": "F32", "shape": value.shape, "data_offsets": [start, end]}
                  for (name, value), start, end in zip(tensors.items(), ends, ends[1:])}
        header = json.dumps(header).encode()
        (tmp_path / "lite.safetensors").write_bytes(len(header).to_bytes(8, "little") + header
                                                    + b"".join(value.tobytes() for value in tensors.values()))
        return tmp_path / "lite.safetensors"
    return write


def test_load_encoder_finds_an_efficientnet_and_its_hash(file, encoder):
    path = file(weights(LITE0))
    found = load_encoder(path)
    assert (found.name, found.sha256) == (LITE0, hashlib.sha256(path.read_bytes()).hexdigest())
    np.testing.assert_array_equal(found.tokens(images(1)), encoder.tokens(images(1)))


def test_load_encoder_names_the_file_in_its_errors(file):
    with refused(PretrainedError, "lite.safetensors", "EfficientNet", "ReLU6", "Omit --activation"):
        load_encoder(file(weights(LITE0)), "gelu")
    with refused(PretrainedError, "lite.safetensors", "no tensor _bn0.bias"):
        load_encoder(file({name: value for name, value in weights(LITE0).items() if name != "_bn0.bias"}))


def test_an_unknown_stage_is_refused():
    with refused(ConfigError, "stage is 'neck'", "head, last, middle"):
        EfficientNetLite(weights(LITE0), "", "neck")
