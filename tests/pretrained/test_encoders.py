"""load_encoder: the encoder is recognised by its tensors."""
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from npcaption import pretrained
from npcaption.errors import PretrainedError
from npcaption.pretrained.encoders import Encoder, load_encoder
from tests.helpers.clip_files import NAMINGS, as_openai_file, draw, pixels, shapes, write_safetensors
from tests.helpers.refusals import refused


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_clip_is_recognised_by_its_names(naming, tmp_path):
    file = write_safetensors(tmp_path / "model.safetensors", NAMINGS[naming](draw(shapes())))
    encoder = load_encoder(file, "gelu")
    assert encoder.name == "CLIP ViT-128x2/8@24 (GELU)" and encoder.shape == (10, 128)
    assert encoder.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_an_encoder_implements_the_protocol(tmp_path):
    file = write_safetensors(tmp_path / "model.safetensors", as_openai_file(draw(shapes())))
    encoder = load_encoder(os.fspath(file))
    assert {name for name, kind in Encoder.__annotations__.items()
            if not isinstance(getattr(encoder, name), getattr(kind, "__origin__", kind))} == set()
    image = Image.new("RGB", (50, 40), "red")
    assert encoder.preprocess(image).shape == (encoder.image_size, encoder.image_size, 3)
    assert encoder.tokens([image]).shape == (1, *encoder.shape)
    rows, columns = encoder.grid
    assert encoder.shape[0] == rows * columns + encoder.class_token


def test_the_activation_reaches_the_encoder(tmp_path):
    file = write_safetensors(tmp_path / "model.safetensors", NAMINGS["open_clip"](draw(shapes())))
    with refused(PretrainedError, "model.safetensors", "Pass --activation quick_gelu for OpenAI's weights"):
        load_encoder(file)
    quick, exact = (load_encoder(file, activation).forward(pixels()) for activation in ("quick_gelu", "gelu"))
    assert np.abs(quick - exact).max() > 1e-3


def test_tokens_survive_the_file_being_overwritten(tmp_path):
    file = write_safetensors(tmp_path / "model.safetensors", as_openai_file(draw(shapes())))
    encoder = load_encoder(file)
    before = encoder.forward(pixels())
    file.write_bytes(bytes(file.stat().st_size))
    np.testing.assert_array_equal(encoder.forward(pixels()), before)


def test_weights_of_another_network_are_refused(tmp_path):
    file = write_safetensors(tmp_path / "resnet.safetensors", {"conv1.weight": np.ones((64, 3, 7, 7), np.float32)})
    with refused(PretrainedError, "resnet.safetensors", "no supported image encoder", "CLIP", "EfficientNet-Lite"):
        load_encoder(file)


def test_a_missing_file_is_refused(tmp_path):
    with refused(PretrainedError, "gone.pt cannot be read", "no such file"):
        load_encoder(tmp_path / "gone.pt")


def test_the_package_imports_pillow_only_with_load_encoder():
    code = ("import sys, npcaption.pretrained; before = 'PIL' in sys.modules; "
            "npcaption.pretrained.load_encoder; print(before, 'PIL' in sys.modules)")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False True\n"
    assert pretrained.load_encoder is load_encoder
    with pytest.raises(AttributeError, match="no attribute 'load_encoders'"):
        _ = pretrained.load_encoders
