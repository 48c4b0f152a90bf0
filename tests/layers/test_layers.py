"""The forward of each layer; test_gradcheck.py checks the gradients."""
import math
from importlib import import_module

import numpy as np
import pytest

from npcaption import layers
from npcaption.tokenizers import PADDING

rng = np.random.default_rng(0)


def test_erf_is_right_to_the_precision_of_the_dtype():
    x = np.concatenate([np.linspace(-7, 7, 4001), np.logspace(-300, 0, 200), rng.standard_normal(2000)])
    exact = np.array([math.erf(v) for v in x])
    nonzero = exact != 0
    assert np.max(np.abs(layers.erf(x) - exact)[nonzero] / np.abs(exact[nonzero])) < 8e-16
    x32 = x[np.abs(x) > 1e-30].astype(np.float32)
    exact = np.array([math.erf(v) for v in x32.astype(np.float64)])
    assert np.max(np.abs(layers.erf(x32) - exact)[exact != 0] / np.abs(exact[exact != 0])) < 5e-7
    assert layers.erf(x32).dtype == np.float32


def test_erf_of_infinities_zeros_and_nan():
    found = layers.erf(np.array([np.inf, -np.inf, 0.0, -0.0, np.nan]))
    np.testing.assert_array_equal(found, [1, -1, 0, 0, np.nan])


def test_erf_does_not_depend_on_the_block_size():
    x = rng.standard_normal(40000)
    np.testing.assert_array_equal(layers.erf(x)[30000:], layers.erf(x[30000:]))


def test_gelu_is_x_for_large_x_and_0_for_very_negative_x():
    out, _ = layers.gelu_forward(np.array([-40.0, 0.0, 40.0]))
    np.testing.assert_allclose(out, [0, 0, 40], atol=1e-12)


def test_layernorm_gives_rows_of_mean_0_and_variance_1():
    out, _ = layers.layernorm_forward(3 + 7 * rng.standard_normal((5, 400)), np.ones(400), np.zeros(400))
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(out.var(-1), 1, rtol=1e-5)


def test_attention_of_equal_keys_is_the_mean_of_the_values():
    v = rng.standard_normal((1, 5, 4))
    out, _ = layers.attention_forward(rng.standard_normal((1, 3, 4)), np.ones((1, 5, 4)), v, causal=False)
    np.testing.assert_allclose(out, np.broadcast_to(v.mean(-2, keepdims=True), out.shape))


def test_causal_attention_does_not_see_later_tokens():
    q, k, v = rng.standard_normal((3, 2, 6, 4))
    before, _ = layers.attention_forward(q, k, v, causal=True)
    k[:, 4:], v[:, 4:] = 9, 9
    after, _ = layers.attention_forward(q, k, v, causal=True)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert np.abs(before[:, 4:] - after[:, 4:]).min() > 0


def test_attention_survives_scores_that_would_overflow_exp():
    q = np.full((1, 2, 4), 1e4, np.float32)
    out, _ = layers.attention_forward(q, q, q, causal=False)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("tokens, sources", [(1, 1), (3, 3), (2, 5)])
def test_the_first_token_of_causal_attention_sees_the_surplus_sources_and_its_own(tokens, sources):
    q, kv = rng.standard_normal((tokens, 4)), rng.standard_normal((2, sources, 4))
    att = layers.attention_map(layers.attention_forward(q, *kv, causal=True)[1])
    np.testing.assert_array_equal(att > 0, np.arange(sources) <= sources - tokens + np.arange(tokens)[:, None])
    np.testing.assert_allclose(att.sum(-1), 1)


@pytest.mark.parametrize("tokens, sources", [(4, 3), (2, 1)])
def test_causal_attention_with_fewer_sources_than_tokens_is_refused(tokens, sources):
    q, kv = rng.standard_normal((1, tokens, 4)), rng.standard_normal((1, sources, 4))
    with pytest.raises(ValueError, match=f"{tokens} tokens to {sources} sources.*at least as many sources as tokens"):
        layers.attention_forward(q, kv, kv, causal=True)
    assert np.isfinite(layers.attention_forward(q, kv, kv, causal=False)[0]).all()


def test_heads_split_and_merge_are_each_others_inverse():
    x = rng.standard_normal((2, 3, 8))
    parted, _ = layers.split_heads_forward(x, 4)
    assert parted.shape == (2, 4, 3, 2)
    np.testing.assert_array_equal(parted[1, 2, 0], x[1, 0, 4:6])
    np.testing.assert_array_equal(layers.merge_heads_forward(parted)[0], x)


def test_patches_are_channel_major_and_run_left_to_right_then_down():
    image = np.arange(4 * 4 * 3).reshape(4, 4, 3)
    patches, _ = layers.patches_forward(image, 2)
    assert patches.shape == (4, 12)
    by_hand = [image[y, x, c] for c in range(3) for y in (0, 1) for x in (2, 3)]  # the patch on the upper right
    np.testing.assert_array_equal(patches[1], by_hand)


def test_splitting_into_patches_and_merging_them_changes_nothing():
    image = rng.standard_normal((2, 12, 12, 3))
    np.testing.assert_array_equal(layers.patches_backward(*layers.patches_forward(image, 4)), image)


def test_cross_entropy_of_equal_logits_is_log_of_the_vocabulary():
    loss, _ = layers.cross_entropy_forward(np.zeros((2, 3, 50)), np.ones((2, 3), int), 6)
    assert loss == pytest.approx(math.log(50))


def test_cross_entropy_of_the_pieces_adds_up_to_that_of_the_batch():
    logits, targets = rng.standard_normal((4, 5, 7)), rng.integers(0, 7, (4, 5))
    total = int((targets != 0).sum())
    whole, _ = layers.cross_entropy_forward(logits, targets, total)
    parts = [layers.cross_entropy_forward(logits[i], targets[i], total)[0] for i in range(4)]
    assert sum(parts) == pytest.approx(whole)


def test_cross_entropy_ignores_padding():
    logits, targets = rng.standard_normal((1, 4, 7)), np.array([[3, 5, 0, 0]])
    before, _ = layers.cross_entropy_forward(logits, targets, 2)
    logits[0, 2:] = np.nan
    assert layers.cross_entropy_forward(logits, targets, 2)[0] == before


def test_padding_is_the_tokenizers_in_both_engines():
    for engine in ("layers", "kernels"):                     # neither imports the tokenizers
        assert import_module(f"npcaption.{engine}.cross_entropy").PADDING == PADDING


def test_dropout_drops_the_given_share_and_keeps_the_mean():
    out, _ = layers.dropout_forward(np.ones((8, 100, 100)), 0.3, layers.fold_key(5, np.arange(8)))
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert out.mean() == pytest.approx(1, abs=0.01)


def test_dropout_depends_on_the_image_not_on_its_batch():
    x, keys = np.ones((3, 4, 8)), layers.fold_key(1, np.arange(3))
    together, _ = layers.dropout_forward(x, 0.5, keys)
    alone, _ = layers.dropout_forward(x[2], 0.5, keys[2])
    np.testing.assert_array_equal(together[2], alone)


def test_dropout_masks_of_different_keys_are_independent():
    x = np.ones((1, 64, 64))
    masks = [layers.dropout_forward(x, 0.5, layers.fold_key(key, 0)[None])[0] > 0 for key in range(6)]
    alike = [np.mean(a == b) for i, a in enumerate(masks) for b in masks[:i]]
    assert max(abs(share - 0.5) for share in alike) < 0.05


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_keeps_the_dtype(dtype):
    from npcaption.gradcheck.cases import cases

    def cast(value):
        if isinstance(value, dict):
            return {name: cast(entry) for name, entry in value.items()}
        return value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value

    for case in cases():
        arguments = {name: cast(value) for name, value in case.arguments.items()}
        out, cache = getattr(layers, f"{case.layer}_forward")(**arguments)
        g = {name: np.zeros_like(value) for name, value in arguments.get("p", {}).items()}
        dout = np.ones_like(out) if isinstance(out, np.ndarray) else 1.0
        back = getattr(layers, f"{case.layer}_backward")(dout, cache, *([g] if g else []))
        found = [out, *(back if isinstance(back, tuple) else [back])]
        assert all(np.asarray(array).dtype == dtype for array in found if array is not None), case.layer
