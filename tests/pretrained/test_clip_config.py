"""Activation and heads of a CLIP: read from its JSON files or passed, never guessed."""
import json

import numpy as np
import pytest

from npcaption.errors import PretrainedError
from npcaption.pretrained.clip_config import MEAN, STD, activation_and_heads
from tests.helpers.refusals import refused

OPENAIS = {"input_resolution": np.array(224)}
VISION = {"hidden_size": 768, "num_attention_heads": 12, "layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"}
WHOLE = {"model_type": "clip", "vision_config": VISION}
OPEN_CLIP = {"model_cfg": {"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12, "width": 768,
                                                            "patch_size": 32}},
             "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}


@pytest.fixture
def beside(tmp_path):
    """beside(config.json's settings, open_clip_config.json's, ...) -> activation and heads of weights beside them"""
    def write(hugging_face=None, open_clip=None, processor=None, tensors=(), width=768, activation=None):
        for name, settings in (("config.json", hugging_face), ("open_clip_config.json", open_clip),
                               ("preprocessor_config.json", processor)):
            if settings is not None:
                (tmp_path / name).write_text(settings if isinstance(settings, str) else json.dumps(settings))
        return activation_and_heads(tmp_path / "model.safetensors", tensors, width, activation)
    return write


def changed(settings, *path, **values):
    """Copy of nested settings with other values in the mapping at the path"""
    if path:
        return settings | {path[0]: changed(settings[path[0]], *path[1:], **values)}
    return settings | values


@pytest.mark.parametrize("settings, activation", [
    (WHOLE, "quick_gelu"), (changed(WHOLE, "vision_config", hidden_act="gelu"), "gelu"),
    (VISION | {"model_type": "clip_vision_model", "hidden_act": "gelu"}, "gelu"),
    ({"model_type": "clip", "vision_config": {"model_type": "clip_vision_model"}}, "quick_gelu")])  # the default
def test_hugging_faces_file_states_the_activation(settings, activation, beside):
    assert beside(hugging_face=settings) == (activation, 12)


@pytest.mark.parametrize("settings, activation", [
    (OPEN_CLIP, "gelu"), (changed(OPEN_CLIP, "model_cfg", quick_gelu=True), "quick_gelu"),
    (changed(OPEN_CLIP, "model_cfg", quick_gelu=False), "gelu"),
    (changed(OPEN_CLIP, "model_cfg", "vision_cfg", quick_gelu=True), "quick_gelu")])
def test_open_clips_file_states_the_activation(settings, activation, beside):
    assert beside(open_clip=settings) == (activation, 12)


def test_openais_file_always_has_quick_gelu(beside):
    assert beside(tensors=OPENAIS) == ("quick_gelu", 12)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_an_argument_is_enough(activation, beside):
    assert beside(activation=activation, width=1024) == (activation, 16)


@pytest.mark.parametrize("settings", [None, {"architecture": "vit_base_patch32_clip_224"}, {"model_type": "siglip"}])
def test_an_activation_without_any_statement_must_be_passed(settings, beside):
    with refused(PretrainedError, "model.safetensors", "activation", "config.json", "Pass --activation quick_gelu"):
        beside(hugging_face=settings)


@pytest.mark.parametrize("given, sources", [
    (dict(hugging_face=WHOLE, activation="gelu"), ["--activation", "/config.json"]),
    (dict(open_clip=OPEN_CLIP, activation="quick_gelu"), ["--activation", "open_clip_config.json"]),
    (dict(hugging_face=WHOLE, open_clip=OPEN_CLIP), ["/config.json", "open_clip_config.json"]),
    (dict(tensors=OPENAIS, activation="gelu"), ["--activation", "OpenAI's"]),
    (dict(tensors=OPENAIS, open_clip=OPEN_CLIP), ["OpenAI's", "open_clip_config.json"])])
def test_contradictory_statements_are_refused(given, sources, beside):
    with refused(PretrainedError, *sources, "activation", "gelu", "quick_gelu", "Remove the wrong one"):
        beside(**given)


def test_statements_that_agree_are_accepted(beside):
    quick = changed(OPEN_CLIP, "model_cfg", quick_gelu=True)
    found = beside(WHOLE, quick, {"image_mean": MEAN, "image_std": STD}, OPENAIS, activation="quick_gelu")
    assert found == ("quick_gelu", 12)


@pytest.mark.parametrize("given", [dict(activation="relu"),
                                   dict(hugging_face=changed(WHOLE, "vision_config", hidden_act="relu")),
                                   dict(hugging_face=changed(WHOLE, "vision_config", hidden_act=["relu"]))])
def test_another_activation_is_refused(given, beside):
    with refused(PretrainedError, "activation", "relu", "must be quick_gelu or gelu"):
        beside(**given)


@pytest.mark.parametrize("given, key", [
    (dict(hugging_face=changed(WHOLE, "vision_config", hidden_size=1024)), "hidden_size"),
    (dict(hugging_face=changed(WHOLE, "vision_config", layer_norm_eps=1e-6)), "layer_norm_eps"),
    (dict(open_clip=changed(OPEN_CLIP, "model_cfg", "vision_cfg", width=1024)), "width"),
    (dict(open_clip=changed(OPEN_CLIP, "model_cfg", "vision_cfg", norm_kwargs={"eps": 1e-6})), "eps"),
    (dict(open_clip=changed(OPEN_CLIP, "preprocess_cfg", mean=[0.5, 0.5, 0.5])), "mean"),
    (dict(open_clip=changed(OPEN_CLIP, "preprocess_cfg", interpolation="bilinear")), "interpolation"),
    (dict(open_clip=changed(OPEN_CLIP, "preprocess_cfg", resize_mode="squash")), "resize_mode"),
    (dict(processor={"image_mean": MEAN, "image_std": [0.5, 0.5, 0.5]}), "image_std")])
def test_unsupported_settings_are_refused(given, key, beside):
    with refused(PretrainedError, "config.json", key, "need", "Put the right file beside them"):
        beside(**given, activation=None if "processor" not in given else "gelu")


def test_another_form_of_the_activation_is_refused(beside):
    with refused(PretrainedError, "open_clip_config.json", "act_kwargs", "Use other weights"):
        beside(open_clip=changed(OPEN_CLIP, "model_cfg", "vision_cfg", act_kwargs={"approximate": "tanh"}))


def test_heads_have_64_channels_by_default(beside):
    assert beside(activation="gelu", width=512).heads == 8
    wide = changed(OPEN_CLIP, "model_cfg", "vision_cfg", width=1280, head_width=80)
    assert beside(open_clip=wide, width=1280).heads == 16


def test_heads_of_a_wide_model_are_never_guessed(beside):
    """ViT-H/14 is 1,280 channels wide and has 16 heads of 80: 20 of 64 would give other tokens and no error."""
    with refused(PretrainedError, "model.safetensors", "1280 channels", "number of heads", "Put its config.json"):
        beside(activation="gelu", width=1280)


@pytest.mark.parametrize("given, parts", [
    (dict(hugging_face=changed(WHOLE, "vision_config", num_attention_heads=7)), ["768 channels", "7 heads"]),
    (dict(hugging_face=changed(WHOLE, "vision_config", num_attention_heads=0)), ["num_attention_heads 0", "must be"]),
    (dict(hugging_face=changed(WHOLE, "vision_config", num_attention_heads="12")), ["positive whole number"]),
    (dict(hugging_face=WHOLE, open_clip={"model_cfg": {"quick_gelu": True, "vision_cfg": {"head_width": 32}}}),
     ["different numbers of heads", "Remove the wrong one"]),
    (dict(activation="gelu", width=32), ["32 channels", "0 heads"]),
    (dict(hugging_face="{"), ["JSON", "Download it again"]),
    (dict(hugging_face="\ud800".encode("utf-16", "surrogatepass").decode("latin-1")), ["JSON", "Download it again"]),
    (dict(hugging_face="[1]"), ["model settings", "Download it again"])])
def test_invalid_files_are_refused(given, parts, beside):
    with refused(PretrainedError, "config.json", *parts):
        beside(**given)
