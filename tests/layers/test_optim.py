"""AdamW, clipping and the schedule."""
import numpy as np
import pytest

from npcaption.config import ModelConfig
from npcaption.layers.adamw import AdamW, adamw, clip
from npcaption.model.parameters import Parameters, decay_of
from npcaption.training.schedule import learning_rate_at


def step(p, g, decay=0.0, steps=1, learning_rate=0.1):
    m, v = np.zeros_like(p), np.zeros_like(p)
    for i in range(1, steps + 1):
        adamw(p, g(p), m, v, np.full_like(p, decay), i, AdamW(learning_rate))
    return p


def test_the_first_step_has_the_length_of_the_learning_rate_for_any_gradient():
    p = step(np.zeros(3), lambda p: np.array([1e-3, -5.0, 1e3]))
    np.testing.assert_allclose(p, [-0.1, 0.1, -0.1], rtol=1e-4)


def test_decay_is_decoupled_and_shrinks_parameters_without_a_gradient():
    np.testing.assert_allclose(step(np.array([2.0]), lambda p: np.zeros(1), decay=0.5), [2.0 * (1 - 0.1 * 0.5)])


def test_adamw_finds_the_minimum_of_a_quadratic():
    p = step(np.array([3.0, -2.0]), lambda p: 2 * (p - 1), steps=800, learning_rate=0.05)
    np.testing.assert_allclose(p, [1, 1], atol=1e-3)


def test_clipping_shortens_a_long_gradient_and_leaves_a_short_one():
    g = np.array([3.0, 4.0])
    assert clip(g, 10) == 5
    np.testing.assert_array_equal(g, [3, 4])
    assert clip(g, 1) == 5
    np.testing.assert_allclose(g, [0.6, 0.8])


def test_an_infinite_limit_never_clips():
    g = np.array([1e10, 1.0])
    clip(g, float("inf"))
    np.testing.assert_array_equal(g, [1e10, 1])


def test_matrices_decay_and_vectors_embeddings_and_positions_do_not():
    config = ModelConfig(vocabulary=9, channels=8, heads=2, hidden=8, encoder_blocks=1, decoder_blocks=1)
    parameters, decay = Parameters(config), Parameters(config)
    decay.flat[:] = decay_of(parameters, 0.1, "matrices")
    decayed = {name for name, view in decay.named.items() if view.any()}
    assert decayed == {name for name, view in decay.named.items() if view.ndim == 2} - {
        "patch_embed.position", "token_embed.weight", "token_embed.position"}
    assert (decay_of(parameters, 0.1, "all") == np.float32(0.1)).all()


def test_the_learning_rate_climbs_to_its_peak_then_falls_along_half_a_cosine_to_zero():
    rates = [learning_rate_at(step, 101, 1.0, 10, "cosine") for step in range(1, 102)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[10] == 1 and np.diff(rates[10:]).max() < 0
    assert rates[10 + 45] == pytest.approx(0.5, abs=0.02)
    assert rates[-1] < 1e-3


def test_a_constant_learning_rate_stays_constant():
    assert {learning_rate_at(step, 100, 0.3, 0, "constant") for step in (1, 50, 100)} == {0.3}
