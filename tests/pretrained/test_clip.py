"""CLIP's image encoder: tokens equal to transformers' and open_clip's, for every naming and container."""
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npcaption.errors import DataError, PretrainedError
from npcaption.pretrained.clip import Clip, name_of
from npcaption.pretrained.encoders import load_encoder
from npcaption.pretrained.preprocessing import BATCH
from tests.helpers import clip_files
from tests.helpers.clip_files import NAMINGS, as_openai_file, draw, pixels, shapes, write_safetensors
from tests.helpers.references import reference
from tests.helpers.refusals import refused

GOLDEN = Path(__file__).parents[1] / "fixtures" / "clip_tiny.npz"
TOLERANCE = 1e-5    # relative to the largest value: float32 sums in another order
SHA256 = 64 * "0"


def error(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.float32
    return np.abs(found - expected).max() / np.abs(expected).max()


def clip(tensors, activation="quick_gelu", path="clip.safetensors"):
    return Clip(tensors, path, SHA256, activation)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("naming", NAMINGS)
def test_tokens_equal_transformers_golden_numbers(naming, activation, golden):
    """From tests/campaigns/make_clip_golden.py: transformers is not needed here."""
    encoder = clip(NAMINGS[naming](draw(shapes())), activation)
    assert error(encoder.forward(pixels()), golden[activation]) < TOLERANCE


def test_the_two_activations_differ_by_more_than_the_tolerance(golden):
    assert error(golden["gelu"], golden["quick_gelu"]) > 100 * TOLERANCE


def test_half_precision_is_computed_in_single():
    file = as_openai_file(draw(shapes()))
    whole = {name: value.astype(np.float32) for name, value in file.items()
             if name not in ("input_resolution", "context_length", "vocab_size")}
    assert file["visual.conv1.weight"].dtype == np.float16
    np.testing.assert_array_equal(clip(file, None).forward(pixels()), clip(whole).forward(pixels()))


def test_every_tensor_counts():
    weights = draw(shapes(blocks=1))
    plain = clip(weights).forward(pixels())
    for name in weights:
        if "post_layernorm" not in name and "k_proj.bias" not in name:  # a key bias shifts all scores of a row equally
            other = weights | {name: weights[name] + np.linspace(0, 1, weights[name].size,
                                                                 dtype=np.float32).reshape(weights[name].shape)}
            assert error(clip(other).forward(pixels()), plain) > 100 * TOLERANCE, name


def test_large_numbers_pass_quick_gelu():
    weights = draw(shapes(blocks=1))
    weights["encoder.layers.0.mlp.fc1.bias"] += np.float32(1000) * np.sign(weights["encoder.layers.0.mlp.fc1.bias"])
    assert np.isfinite(clip(weights).forward(pixels())).all()


@pytest.mark.slow
@pytest.mark.parametrize("channels, patch, grid, image_size", [
    (768, 32, 7, 224), (768, 16, 14, 224), (1024, 14, 16, 224), (1024, 14, 24, 336)])
def test_sizes_follow_from_the_shapes(channels, patch, grid, image_size):
    encoder = clip(NAMINGS["open_clip"](draw(shapes(channels, 1, patch, grid))))
    assert encoder.grid == (grid, grid) and encoder.image_size == image_size and encoder.class_token
    assert encoder.shape == (grid * grid + 1, channels) and str(image_size) in encoder.preprocessing
    assert encoder.preprocess(Image.new("RGB", (300, 200))).shape == (image_size, image_size, 3)
    tokens = encoder.forward(pixels(1, image_size))
    assert tokens.shape == (1, *encoder.shape) and np.isfinite(tokens).all()


def test_names_are_the_usual_ones_of_the_models():
    assert name_of(768, 12, 32, 224, "quick_gelu") == "CLIP ViT-B/32 (QuickGELU)"
    assert name_of(768, 12, 16, 224, "gelu") == "CLIP ViT-B/16 (GELU)"
    assert name_of(1024, 24, 14, 336, "quick_gelu") == "CLIP ViT-L/14@336 (QuickGELU)"
    assert clip(draw(shapes())).name == "CLIP ViT-128x2/8@24 (QuickGELU)"


def test_tokens_do_not_depend_on_the_batch(tmp_path):
    encoder, rng = clip(draw(shapes())), np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)) for _ in range(BATCH + 1)]
    images[3].save(tmp_path / "3.png")
    found = encoder.tokens(tmp_path / "3.png" if i == 3 else image for i, image in enumerate(images))
    assert found.shape == (BATCH + 1, 10, 128) and found.dtype == np.float32
    for image, tokens in zip(images, found, strict=True):
        assert error(encoder.forward(encoder.preprocess(image)[None])[0], tokens) < TOLERANCE
    assert encoder.tokens([]).shape == (0, 10, 128)


def test_an_unreadable_image_is_an_error(tmp_path):
    with refused(DataError, "gone.jpg", "No such file"):
        clip(draw(shapes())).tokens([Image.new("RGB", (9, 9)), tmp_path / "gone.jpg"])


# ------------------------------------------------------------------------------------------ against the libraries

@pytest.fixture(scope="module")
def base32():
    """Weights of a whole ViT-B/32, rounded to half precision, and pixels of two images"""
    weights = draw(shapes(768, 12, 32, 7))
    return {name: value.astype(np.float16).astype(np.float32) for name, value in weights.items()}, pixels(2, 224)


@pytest.fixture(scope="module", params=["quick_gelu", "gelu"])
def transformers_tokens(request, base32):
    """(activation, transformers' tokens before the last norm, the model)"""
    transformers, weights = reference("transformers"), base32[0]
    torch = reference("torch")
    model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(hidden_act=request.param)).eval()
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == shapes(768, 12, 32, 7)
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    with torch.no_grad():
        tokens = model(torch.tensor(base32[1].transpose(0, 3, 1, 2).copy())).last_hidden_state.numpy()
    return request.param, tokens, model


@pytest.mark.slow
def test_tokens_of_a_base_model_equal_transformers(base32, transformers_tokens, tmp_path):
    """In save_pretrained's folder config.json states the activation."""
    activation, expected, model = transformers_tokens
    model.save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path / "model.safetensors")
    assert encoder.name == f"CLIP ViT-B/32 ({'QuickGELU' if activation == 'quick_gelu' else 'GELU'})"
    assert error(encoder.forward(base32[1]), expected) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_of_a_base_model_equals_transformers(naming, base32, transformers_tokens, tmp_path):
    activation, expected, _ = transformers_tokens
    file = write_safetensors(tmp_path / "model.safetensors", NAMINGS[naming](base32[0]))
    assert error(load_encoder(file, activation).forward(base32[1]), expected) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("model_name, quick", [("ViT-B-32-quickgelu", True), ("ViT-B-32", False)])
def test_tokens_of_a_base_model_equal_open_clip(model_name, quick, base32, tmp_path):
    """open_clip's names and configuration, as in its files on the hub"""
    torch, open_clip = reference("torch"), reference("open_clip")
    model = open_clip.create_model(model_name, pretrained=None).eval()
    visual = {name: torch.tensor(value) for name, value in clip_files.as_openai(base32[0]).items()}
    assert model.visual.load_state_dict(visual, strict=False).missing_keys == ["proj"]
    with torch.no_grad():
        x = model.visual._embeds(torch.tensor(base32[1].transpose(0, 3, 1, 2).copy()))
        expected = model.visual.transformer(x).numpy()
    file = write_safetensors(tmp_path / "open_clip_model.safetensors",
                             {name: value.numpy() for name, value in model.state_dict().items()})
    settings = {"model_cfg": open_clip.get_model_config(model_name), "preprocess_cfg": model.visual.preprocess_cfg}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    encoder = load_encoder(file)
    assert ("QuickGELU" in encoder.name) == quick and error(encoder.forward(base32[1]), expected) < TOLERANCE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # OpenAI's file is a script
@pytest.mark.parametrize("container", ["zip", "legacy", "script"])
def test_files_of_torch_equal_transformers(container, base32, transformers_tokens, tmp_path):
    """OpenAI's file is a script, with matrices in half precision and its input_resolution."""
    torch = reference("torch")
    activation, expected, _ = transformers_tokens
    tensors = {name: torch.tensor(value) for name, value in as_openai_file(base32[0]).items()}
    file, openais = tmp_path / "ViT-B-32.pt", container == "script"
    if openais:
        torch.jit.save(torch.jit.script(module_of(torch, tensors)), file)
    else:
        torch.save({name: value for name, value in tensors.items() if name.startswith("visual.")}, file,
                   _use_new_zipfile_serialization=container == "zip")
    if openais and activation == "gelu":
        with refused(PretrainedError, "--activation", "gelu", "OpenAI's", "quick_gelu", "Remove the wrong one"):
            load_encoder(file, activation)
        return
    encoder = load_encoder(file, None if openais else activation)
    assert error(encoder.forward(base32[1]), expected) < TOLERANCE


def module_of(torch, tensors):
    """Scriptable module with parameters of these dotted names"""
    class Part(torch.nn.Module):
        def forward(self, x):
            return x

    root = Part()
    for name, value in tensors.items():
        *parents, own = name.split(".")
        part = root
        for parent in parents:
            if not hasattr(part, parent):
                part.add_module(parent, Part())
            part = getattr(part, parent)
        part.register_buffer(own, value)
    return root
