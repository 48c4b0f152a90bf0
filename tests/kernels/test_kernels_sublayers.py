"""The engine's sublayers against the textbook's, in float64 on the same float32 numbers."""
import ast
import inspect
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from npcaption import kernels, layers
from npcaption.gradcheck.numeric import relative_error
from npcaption.kernels import attention, cross_entropy, matmul
from npcaption.model import memory, wiring
from npcaption.model.engines import NumbaEngine, NumpyEngine
from tests.helpers.kernel_checks import (  # noqa: F401 (compiled is a fixture)
    CANARY,
    EPS,
    TOLERANCE,
    assert_close,
    attention_weights,
    compiled,
    errors,
    guarded,
    normal,
    packed,
    prepared,
    weights,
)

PAIRS = ["bag_loss", "patch_embed", "feature_embed", "token_embed", "self_attention", "cross_attention", "mlp",
         "output", "output_loss", "output_soft_loss", "feature_regression"]
SUBLAYERS = "sublayers.py", "distillation.py"


def wired():
    """Every X of `layers.X` in the wiring: what it asks of an engine's module"""
    for module in (memory, wiring):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "layers":
                yield node.attr


def parameters(function):
    """Names, kinds and defaults; not the kernels' types"""
    found = inspect.signature(getattr(function, "py_func", function)).parameters.values()
    return [parameter.replace(annotation=parameter.empty) for parameter in found]


@pytest.mark.parametrize("name",
                         sorted({*wired(), *(f"{pair}_{way}" for pair in PAIRS for way in ("forward", "backward"))}))
def test_the_engine_offers_the_textbooks_sublayers_with_the_same_signatures(name):
    assert parameters(getattr(kernels, name)) == parameters(getattr(layers, name))


def test_both_engines_have_the_same_methods_with_the_same_signatures():
    def methods(engine):
        return {name: parameters(method) for name, method in vars(engine).items()
                if inspect.isfunction(method) and not name.startswith("_")}
    assert methods(NumpyEngine) == methods(NumbaEngine) and {"encode", "step", "update"} <= set(methods(NumpyEngine))


@pytest.mark.parametrize("module", [layers, kernels], ids=["layers", "kernels"])
def test_no_two_functions_of_an_engine_have_one_name(module):
    files = {path.name: ast.parse(path.read_text()).body for path in Path(module.__file__).parent.glob("*.py")}
    functions = [(node.name, file) for file, body in files.items() for node in body
                 if isinstance(node, ast.FunctionDef)]
    assert {name for name, n in Counter(name for name, _ in functions).items() if n > 1} == set()
    if module is kernels:                                    # a compiled X is called fused_X, an X is a sublayer's
        pairs = {(name, file) for name, file in functions if name.endswith(("_forward", "_backward", "_step"))}
        assert {(name, file) for name, file in pairs if name.startswith("fused_") == (file in SUBLAYERS)} == set()


def test_the_engine_offers_no_other_pairs():
    offered = {name for name in dir(kernels) if name.endswith(("_forward", "_backward"))}
    assert offered == {f"{pair}_{way}" for pair in PAIRS for way in ("forward", "backward")}


WIDTHS = [(6, 6), (20, 4), (33, 3), (96, 2), (128, 4)]       # channels, heads


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("channels, heads", WIDTHS)
def test_self_attention_is_the_textbooks(channels, heads, causal, rate):
    p = attention_weights(channels, qkv__weight=3)
    for tokens in (1, 2, 7, 47, 48, 49, 97):
        assert errors("self_attention", x=normal(tokens, tokens, channels), p=p, heads=heads, causal=causal, rate=rate,
                      key=np.uint32(5)) == {}, tokens


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("channels, heads", WIDTHS)
def test_cross_attention_is_the_textbooks(channels, heads, rate):
    p = attention_weights(channels, q__weight=1, kv__weight=2)
    for tokens, sources in [(1, 1), (1, 64), (7, 1), (8, 9), (47, 64), (48, 65), (49, 31), (100, 33)]:
        assert errors("cross_attention", x=normal(tokens, tokens, channels), source=normal(2, sources, channels), p=p,
                      heads=heads, rate=rate, key=np.uint32(5)) == {}, (tokens, sources)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("channels, hidden", [(5, 1), (6, 5), (20, 30), (33, 100), (128, 512)])
def test_the_mlp_is_the_textbooks(channels, hidden, rate):
    p = weights(1, norm__weight=(channels,), norm__bias=(channels,), up__weight=(channels, hidden), up__bias=(hidden,),
                down__weight=(hidden, channels), down__bias=(channels,))
    for tokens in (1, 2, 7, 47, 64):
        assert errors("mlp", x=normal(tokens, tokens, channels), p=p, rate=rate, key=np.uint32(5)) == {}, tokens


@pytest.mark.parametrize("ids", [[1], [1, 5, 5, 5, 2], [3] * 9, [0, 0, 0], list(range(9))])
def test_an_id_collects_the_gradients_of_all_its_places(ids):
    for channels in (1, 20, 33):
        p = weights(1, weight=(11, channels), position=(9, channels))
        assert errors("token_embed", ids=np.array(ids), p=p) == {}


@pytest.mark.parametrize("vocabulary", [4, 11, 33, 53, 100])
def test_the_output_and_its_loss_are_the_textbooks_padding_included(vocabulary):
    for tokens, channels in [(1, 20), (9, 33), (47, 128)]:
        p = weights(1, norm__weight=(channels,), norm__bias=(channels,), linear__weight=(channels, vocabulary),
                    linear__bias=(vocabulary,))
        x = normal(tokens, tokens, channels)
        assert errors("output", x=x, p=p) == {}
        targets = np.random.default_rng(tokens).integers(0, vocabulary, tokens)
        for t in (targets, targets * 0, targets * 0 + vocabulary - 1, np.where(np.arange(tokens) < 3, targets, 0)):
            for w in (None, np.float64(-0.7), np.float64(0)):
                assert errors("output_loss", x=x, p=p, targets=t, total=2 * tokens + 1, weights=w) == {}


def test_cross_entropy_of_logits_far_apart_is_the_textbooks():
    logits, targets = 40 * normal(0, 12, 53), np.arange(12)
    logits[5] += 1e4
    exact, cache = layers.cross_entropy_forward(logits.astype(float), targets, 7)
    row_loss, kept = np.empty(12, np.float32), logits.copy()
    cross_entropy.fused_cross_entropy(kept, targets, np.float32(1 / 7), row_loss)
    assert row_loss.sum() == pytest.approx(exact, rel=1e-6)
    assert_close(kept, layers.cross_entropy_backward(1.0, cache), 1e-6 / 7)
    assert row_loss[0] == 0 and not kept[0].any()


@pytest.mark.parametrize("causal", [0, 1])
def test_attention_touches_only_the_columns_that_it_is_told(causal):
    tokens, sources, heads, size = 50, 53, 3, 11
    wide, q_at, k_at, v_at = heads * size, 3, 2, 40
    q, kv = normal(0, tokens, q_at + wide + 2), normal(1, sources, v_at + wide + 5)

    def cut(array, start):                                   # -> (H, T or S, D), float64
        return layers.split_heads_forward(array[:, start:start + wide].astype(float), heads)[0]

    def inside(array, *starts):
        mask = np.zeros(array.shape, bool)
        for start in starts:
            mask[:, start:start + wide] = True
        return mask

    inputs = [guarded(np.where(inside(a, *at), a, np.nan))[0] for a, at in [(q, [q_at]), (kv, [k_at, v_at])]]
    att, around_att = guarded(np.full((heads, tokens, sources), np.nan), CANARY)
    out, around_out = guarded(np.full((tokens, wide), np.nan), CANARY)
    panels, around_panels = guarded(np.full(matmul.panels_size(size, sources), np.nan), CANARY)
    attention.fused_attention_forward(inputs[0], q_at, inputs[1], k_at, v_at, heads, causal, att, out, panels)
    exact, cache = layers.attention_forward(cut(q, q_at), cut(kv, k_at), cut(kv, v_at), bool(causal))
    assert relative_error(layers.merge_heads_forward(exact)[0], out) < TOLERANCE

    dout = normal(2, tokens, wide)
    dq, around_dq = guarded(np.full(q.shape, CANARY), CANARY)
    dkv, around_dkv = guarded(np.full(kv.shape, CANARY), CANARY)
    datt, around_datt = guarded(np.full((attention.BLOCK, sources), np.nan), CANARY)
    attention.fused_attention_backward(guarded(dout)[0], inputs[0], q_at, inputs[1], k_at, v_at, heads, att, dq, dkv,
                                       panels, datt)
    exact = layers.attention_backward(layers.split_heads_forward(dout.astype(float), heads)[0], cache)
    for (array, start), d in zip([(dq, q_at), (dkv, k_at), (dkv, v_at)], exact):
        assert relative_error(layers.merge_heads_forward(d)[0], array[:, start:start + wide]) < TOLERANCE
    assert (dq[~inside(dq, q_at)] == CANARY).all() and (dkv[~inside(dkv, k_at, v_at)] == CANARY).all()
    for around in (around_att, around_out, around_panels, around_dq, around_dkv, around_datt):
        assert (around() == CANARY).all()


def test_attention_survives_scores_that_would_overflow_exp():
    p = attention_weights(20, qkv__weight=3)
    p["qkv.weight"] *= 300
    out, _ = kernels.self_attention_forward(normal(0, 9, 20), prepared(p), 4,
                                            True, 0.0, np.uint32(0))
    assert np.isfinite(out).all()
