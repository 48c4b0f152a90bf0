"""Names, counts and first values of the parameters."""
import numpy as np
import pytest

from npcaption.config import ModelConfig
from npcaption.model.parameters import Parameters, components, initialise, sublayers, table


@pytest.mark.parametrize("config, counts, total", [
    (ModelConfig(image_size=64, vocabulary=70), [32_896, 395_776, 8_960, 6_144, 527_616, 9_286], 980_678),
    (ModelConfig(image_size=128, vocabulary=53), [57_472, 395_776, 6_784, 6_144, 527_616, 7_093], 1_000_885)])
def test_the_original_models_have_just_as_many_parameters(config, counts, total):
    assert list(components(config).values()) == counts
    assert Parameters(config).flat.size == total
    assert f"{total:,}" in table(config)


def test_all_parameters_are_views_of_one_buffer_and_fill_it():
    parameters = Parameters(ModelConfig(vocabulary=9))
    for i, view in enumerate(parameters.named.values()):
        view[...] = i + 1
    assert parameters.flat.min() == 1
    assert len(np.unique(parameters.flat)) == len(parameters.named)


def test_a_parameter_is_found_by_its_full_name_and_in_its_sublayer():
    parameters = Parameters(ModelConfig(vocabulary=9))
    qkv = parameters.named["encoder.1.attention.qkv.weight"]
    assert qkv is parameters.sublayer["encoder.1.attention"]["qkv.weight"]
    assert parameters.named["encoder.1.attention.qkv.weight"].shape == (128, 384)


def test_the_same_seed_gives_the_same_values_and_another_seed_others():
    config = ModelConfig(vocabulary=9)
    np.testing.assert_array_equal(initialise(config, 3).flat, initialise(config, 3).flat)
    assert (initialise(config, 3).flat != initialise(config, 4).flat).mean() > 0.9


@pytest.mark.parametrize("name, inputs", [("encoder.0.attention.qkv.weight", 128), ("decoder.1.mlp.down.weight", 512),
                                          ("decoder.1.mlp.down.bias", 512), ("patch_embed.proj.weight", 192),
                                          ("output.linear.bias", 128)])
def test_weights_and_biases_are_uniform_within_one_over_the_root_of_the_inputs(name, inputs):
    values = initialise(ModelConfig(vocabulary=99), 0).named[name]
    bound = inputs ** -0.5
    assert 0.9 * bound < np.abs(values).max() <= bound
    assert values.std() == pytest.approx(bound / 3 ** 0.5, rel=0.2)


@pytest.mark.parametrize("name, deviation", [("token_embed.weight", 1), ("token_embed.position", 1),
                                             ("patch_embed.position", 0.02)])
def test_embeddings_are_normal(name, deviation):
    values = initialise(ModelConfig(vocabulary=99), 0).named[name]
    assert values.std() == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize("name", ["token_embed.weight", "token_embed.position"])
def test_embeddings_that_are_the_outputs_weights_too_are_small_and_the_positions_do_not_drown_them(name):
    values = initialise(ModelConfig(vocabulary=99, tied=True), 0).named[name]
    assert values.std() == pytest.approx(128 ** -0.5, rel=0.05)


def test_convolutions_begin_within_one_over_the_root_of_what_a_window_holds():
    named = initialise(ModelConfig(vocabulary=9, convolutions=(16, 16), patch_size=2), 0).named
    for name, inputs in [("patch_embed.conv.0.weight", 27), ("patch_embed.conv.1.weight", 144),
                         ("patch_embed.conv.1.bias", 144)]:
        assert 0.8 * inputs ** -0.5 < np.abs(named[name]).max() <= inputs ** -0.5


def test_norms_begin_as_the_identity():
    named = initialise(ModelConfig(vocabulary=9, convolutions=(8, 8), bag=5), 0).named
    assert all((view == 1).all() for name, view in named.items() if name.endswith("norm.weight"))
    assert all((view == 0).all() for name, view in named.items() if name.endswith("norm.bias"))


def test_the_sublayers_stand_in_the_order_of_the_forward_pass():
    assert list(sublayers(ModelConfig(encoder_blocks=1, decoder_blocks=1))) == [
        "patch_embed", "encoder.0.attention", "encoder.0.mlp", "token_embed", "decoder.0.self_attention",
        "decoder.0.cross_attention", "decoder.0.mlp", "output"]
