"""CLIP weights: only exactly the tensors of an image encoder are accepted."""
import numpy as np
import pytest

from npcaption.errors import PretrainedError
from npcaption.pretrained import clip_weights
from tests.helpers.clip_files import NAMINGS, as_open_clip, draw, shapes
from tests.helpers.refusals import refused

WEIGHTS = draw(shapes(64, 1, 4, 2))
BLOCK = "visual.transformer.resblocks.0."


def read(tensors):
    return clip_weights.read(tensors, "clip.safetensors")


def changed(name, value):
    found = as_open_clip(WEIGHTS)
    assert name in found
    return found | {name: value}


@pytest.mark.parametrize("prefix", ["", "module.", "model.vision_tower."])
@pytest.mark.parametrize("naming", NAMINGS)
def test_any_prefix_of_the_names_is_found(naming, prefix):
    found = read({prefix + name: value for name, value in NAMINGS[naming](WEIGHTS).items()})
    np.testing.assert_array_equal(found.embedding["class_token"], WEIGHTS["embeddings.class_embedding"])
    np.testing.assert_array_equal(found.blocks[0]["mlp.up.weight"], WEIGHTS["encoder.layers.0.mlp.fc1.weight"].T)


def test_the_weights_are_a_copy_in_float32():
    """A mapped file can be overwritten."""
    tensors = {name: value.astype(np.float64) for name, value in as_open_clip(WEIGHTS).items()}
    found = read(tensors)
    for tensor in [*found.embedding.values(), *found.blocks[0].values()]:
        assert tensor.dtype == np.float32 and not any(np.shares_memory(tensor, value) for value in tensors.values())


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_missing_tensor_is_named(naming):
    whole = NAMINGS[naming](WEIGHTS)
    for name in [name for name in whole if "mlp" in name or "ln_pre" in name or "layrnorm" in name]:
        with refused(PretrainedError, "clip.safetensors lacks", f"tensor {name}.", "image encoder of a CLIP",
                     "ViT-B-32.pt by OpenAI", "openai/clip"):
            read({other: value for other, value in whole.items() if other != name})


def test_a_missing_block_is_named():
    two = as_open_clip(draw(shapes(64, 3, 4, 2)))
    with refused(PretrainedError, "lacks", "visual.transformer.resblocks.1.ln_1.weight"):
        read({name: value for name, value in two.items() if "resblocks.1." not in name})


@pytest.mark.parametrize("name, shape, named", [
    ("visual.class_embedding", (63,), "position"), ("visual.class_embedding", (), "visual.class_embedding"),
    ("visual.positional_embedding", (5, 63), "position"), ("visual.conv1.weight", (64, 3, 4, 5), "visual.conv1.weight"),
    ("visual.conv1.weight", (64, 12, 2, 2), "visual.conv1.weight"),
    ("visual.conv1.weight", (64, 48), "visual.conv1.weight"),
    ("visual.ln_pre.weight", (1,), "norm.weight"), (f"{BLOCK}ln_1.bias", (64, 1), "attention.norm.bias of block 0"),
    (f"{BLOCK}attn.in_proj_weight", (64, 64), "attention.qkv.weight of block 0"),
    (f"{BLOCK}attn.out_proj.weight", (64, 32), "attention.proj.weight of block 0"),
    (f"{BLOCK}mlp.c_fc.weight", (64, 256), "mlp.up.weight of block 0"),
    (f"{BLOCK}mlp.c_proj.weight", (256, 64), "mlp.down.weight of block 0")])
def test_a_tensor_of_another_shape_is_named(name, shape, named):
    with refused(PretrainedError, "clip.safetensors", f"has {named} ", "shape (", "image encoder of a CLIP"):
        read(changed(name, np.ones(shape, np.float32)))


def test_parts_of_the_queries_keys_and_values_must_fit_each_other():
    tensors = WEIGHTS | {"encoder.layers.0.self_attn.k_proj.weight": np.ones((64, 32), np.float32)}
    with refused(PretrainedError, "self_attn.q_proj.weight", "keys and values", "(64, 32)"):
        read(tensors)


@pytest.mark.parametrize("positions", [1, 4, 7])
def test_patches_must_be_a_square(positions):
    with refused(PretrainedError, f"1 blocks and {positions - 1} patches", "square"):
        read(changed("visual.positional_embedding", np.ones((positions, 64), np.float32)))


def test_a_model_without_blocks_is_refused():
    with refused(PretrainedError, "has 0 blocks"):
        read({name: value for name, value in as_open_clip(WEIGHTS).items() if "visual.transformer" not in name})


@pytest.mark.parametrize("extra", [f"{BLOCK}ls_1.gamma", "visual.attn_pool.query", f"{BLOCK}attn.ln_q.weight"])
def test_an_unexpected_tensor_is_refused(extra):
    with refused(PretrainedError, f"tensor {extra}", "not part of CLIP's image encoder"):
        read(as_open_clip(WEIGHTS) | {extra: np.ones(64, np.float32)})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    value = WEIGHTS["encoder.layers.0.mlp.fc1.weight"].copy()
    value[3, 5] = bad
    with refused(PretrainedError, f"{BLOCK}mlp.c_fc.weight", "not finite", "Download it again"):
        read(changed(f"{BLOCK}mlp.c_fc.weight", value))


def test_integer_weights_are_refused():
    with refused(PretrainedError, f"{BLOCK}ln_1.weight", "(64,) int8"):
        read(changed(f"{BLOCK}ln_1.weight", np.ones(64, np.int8)))


@pytest.mark.parametrize("tensors, count", [({}, "no"), ({"conv1.weight": np.ones((64, 3, 7, 7))}, "no"),
                                            (as_open_clip(WEIGHTS) | {f"b.{k}": v for k, v in WEIGHTS.items()}, 2)])
def test_there_must_be_exactly_one_image_encoder(tensors, count):
    with refused(PretrainedError, f"clip.safetensors holds {count} CLIP image encoders"):
        read(tensors)
