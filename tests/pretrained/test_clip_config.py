"""Activation and heads of a CLIP come from its JSON file, or are asked for; they are never guessed."""
import json

import numpy as np
import pytest

from npcaption.errors import PretrainedError
from npcaption.pretrained.clip_config import MEAN, STD, facts

OPENAIS = {"input_resolution": np.array(224)}
VISION = {"hidden_size": 768, "num_attention_heads": 12, "layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"}
WHOLE = {"model_type": "clip", "vision_config": VISION}
OPEN_CLIP = {"model_cfg": {"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12, "width": 768,
                                                            "patch_size": 32}},
             "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}


@pytest.fixture
def beside(tmp_path):
    """beside(config.json's settings, open_clip_config.json's, ...) -> the facts of weights beside them"""
    def write(hugging_face=None, open_clip=None, processor=None, tensors=(), width=768, activation=None):
        for name, settings in (("config.json", hugging_face), ("open_clip_config.json", open_clip),
                               ("preprocessor_config.json", processor)):
            if settings is not None:
                (tmp_path / name).write_text(settings if isinstance(settings, str) else json.dumps(settings))
        return facts(tmp_path / "model.safetensors", tensors, width, activation)
    return write


def changed(settings, *path, **values):
    """A copy of nested settings in which the mapping at the path has other values."""
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


def test_a_file_of_openais_is_always_quick(beside):
    assert beside(tensors=OPENAIS) == ("quick_gelu", 12)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_an_argument_is_enough(activation, beside):
    assert beside(activation=activation, width=1024) == (activation, 16)


@pytest.mark.parametrize("settings", [None, {"architecture": "vit_base_patch32_clip_224"}, {"model_type": "siglip"}])
def test_an_activation_that_nothing_states_is_asked_for(settings, beside):
    with pytest.raises(PretrainedError, match=r"model\.safetensors does not tell its activation, .* Give --activation"):
        beside(hugging_face=settings)


@pytest.mark.parametrize("given, told", [
    (dict(hugging_face=WHOLE, activation="gelu"), "--activation says activation gelu, but .*config.json says quick"),
    (dict(open_clip=OPEN_CLIP, activation="quick_gelu"), "--activation says .* quick_gelu, but .*open_clip_con.* gelu"),
    (dict(hugging_face=WHOLE, open_clip=OPEN_CLIP), "config.json says activation quick_gelu, but .*open_clip_config"),
    (dict(tensors=OPENAIS, activation="gelu"), "--activation says activation gelu, but .* OpenAI's, says quick_gelu"),
    (dict(tensors=OPENAIS, open_clip=OPEN_CLIP), "OpenAI's, says activation quick_gelu, but .*open_clip_config.json")])
def test_statements_that_contradict_each_other_are_refused(given, told, beside):
    with pytest.raises(PretrainedError, match=f"{told}.*Remove the wrong one"):
        beside(**given)


def test_statements_that_agree_are_accepted(beside):
    quick = changed(OPEN_CLIP, "model_cfg", quick_gelu=True)
    found = beside(WHOLE, quick, {"image_mean": MEAN, "image_std": STD}, OPENAIS, activation="quick_gelu")
    assert found == ("quick_gelu", 12)


@pytest.mark.parametrize("given", [dict(activation="relu"),
                                   dict(hugging_face=changed(WHOLE, "vision_config", hidden_act="relu")),
                                   dict(hugging_face=changed(WHOLE, "vision_config", hidden_act=["relu"]))])
def test_another_activation_is_refused(given, beside):
    with pytest.raises(PretrainedError, match="says activation '.*relu.*'; npcaption knows quick_gelu and gelu"):
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
def test_what_npcaption_would_compute_otherwise_is_refused(given, key, beside):
    with pytest.raises(PretrainedError, match=f"_?config.json has {key} .*, but .* is needed here"):
        beside(**given, activation=None if "processor" not in given else "gelu")


def test_another_form_of_the_activation_is_refused(beside):
    with pytest.raises(PretrainedError, match="act_kwargs"):
        beside(open_clip=changed(OPEN_CLIP, "model_cfg", "vision_cfg", act_kwargs={"approximate": "tanh"}))


def test_heads_are_of_64_channels_unless_a_file_says_otherwise(beside):
    assert beside(activation="gelu", width=512).heads == 8
    wide = changed(OPEN_CLIP, "model_cfg", "vision_cfg", width=1280, head_width=80)
    assert beside(open_clip=wide, width=1280).heads == 16


def test_heads_of_a_wide_model_are_never_guessed(beside):
    """ViT-H/14 is 1,280 channels wide and has 16 heads of 80: 20 of 64 would give other tokens and no error."""
    with pytest.raises(PretrainedError, match="1280 channels but does not tell its number of heads. Put its "):
        beside(activation="gelu", width=1280)


@pytest.mark.parametrize("given, told", [
    (dict(hugging_face=changed(WHOLE, "vision_config", num_attention_heads=7)), "which 7 heads cannot share"),
    (dict(hugging_face=changed(WHOLE, "vision_config", num_attention_heads=0)), "num_attention_heads 0; it must be"),
    (dict(hugging_face=changed(WHOLE, "vision_config", num_attention_heads="12")), "must be a positive whole number"),
    (dict(hugging_face=WHOLE, open_clip={"model_cfg": {"quick_gelu": True, "vision_cfg": {"head_width": 32}}}),
     "different numbers of heads"),
    (dict(activation="gelu", width=32), "32 channels, which 0 heads cannot share"),
    (dict(hugging_face="{"), "config.json is not JSON, or damaged. Download it again"),
    (dict(hugging_face="\ud800".encode("utf-16", "surrogatepass").decode("latin-1")), "config.json is not JSON"),
    (dict(hugging_face="[1]"), "config.json holds no settings of a model")])
def test_a_file_of_nonsense_is_refused(given, told, beside):
    with pytest.raises(PretrainedError, match=told):
        beside(**given)
