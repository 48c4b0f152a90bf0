"""NaN and infinity stay visible: no kernel swallows them."""
import numpy as np
import pytest

from npcaption import kernels
from npcaption.kernels import cross_entropy, gelu, layernorm, matmul
from npcaption.kernels.sublayers import NO_MATRIX, NO_VECTOR
from tests.helpers.kernel_checks import attention_weights, compiled, normal, packed, prepared, weights  # noqa: F401 (compiled is a fixture)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_product_is_not_finite_where_numpys_is_not(bad):
    for rows, depth, columns in [(1, 3, 7), (9, 50, 33), (17, 128, 100)]:
        x, w = normal(0, rows, depth), normal(1, depth, columns)
        row, k = rows // 2, depth // 2
        x[row, k] = bad
        out = np.empty((rows, columns), np.float32)
        matmul.multiply(x, packed(w).panels, NO_VECTOR, NO_MATRIX, out)
        expected = w[k] * np.float32(bad)
        np.testing.assert_array_equal(out[row], expected)
        assert np.isfinite(np.delete(out, row, 0)).all()

        dw, db = np.zeros((depth, columns), np.float32), np.zeros(columns, np.float32)
        dy = normal(2, rows, columns)
        matmul.accumulate(x, dy, dw, db)
        np.testing.assert_array_equal(dw[k], dy[row] * np.float32(bad))
        assert np.isfinite(np.delete(dw, k, 0)).all() and np.isfinite(db).all()
        dy[row, -1], x[row, k] = bad, 1
        matmul.accumulate(x, dy, dw, db)
        assert not np.isfinite(dw[:, -1]).any() and not np.isfinite(db[-1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_norm_and_the_mlp_pass_on_what_is_not_a_number_to_its_row_alone(bad):
    x = normal(0, 9, 20)
    x[4, 7] = bad
    w, b, means, rstd, out = np.ones(20, np.float32), np.zeros(20, np.float32), *np.empty((2, 9), np.float32), x.copy()
    for norm in layernorm.fused_layernorm_forward, layernorm.fused_layernorm_again:
        norm(x, w, b, means, rstd, out)
        assert np.isnan(out[4]).all() and np.isfinite(np.delete(out, 4, 0)).all()

    p = weights(1, norm__weight=(20,), norm__bias=(20,), up__weight=(20, 30), up__bias=(30,), down__weight=(30, 20),
                down__bias=(20,))
    out, cache = kernels.mlp_forward(x, prepared(p), 0.0, np.uint32(0))
    assert np.isnan(out[4]).all() and np.isfinite(np.delete(out, 4, 0)).all()
    g = {name: np.zeros_like(w) for name, w in p.items()}
    dx = kernels.mlp_backward(normal(1, 9, 20), cache, g)
    assert np.isnan(dx[4]).all() and np.isfinite(np.delete(dx, 4, 0)).all()
    assert np.isnan(g["up.weight"]).all() and np.isnan(g["norm.weight"]).all()


def test_gelu_of_nan_is_nan_and_of_infinity_not_finite():
    for size in (3, 16, 37):
        x = normal(0, size)
        x[[0, size // 2, size - 1]] = np.nan, np.inf, -np.inf
        out = np.empty_like(x)
        gelu.fused_gelu_forward(x, out)
        assert np.isnan(out[0]) and np.isnan(x[0])
        assert out[size // 2] == np.inf and not out[size - 1] > 0
        assert np.isfinite(np.delete(out, [0, size // 2, size - 1])).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_attention_passes_on_what_is_not_a_number_to_all_who_see_it(bad):
    p = attention_weights(20, qkv__weight=3)
    packed_p = prepared(p)
    x = normal(0, 60, 20)
    x[50, 3] = bad
    for causal in (False, True):
        out, cache = kernels.self_attention_forward(x, packed_p, 4, causal, 0.0, np.uint32(0))
        assert np.isnan(out[50 if causal else 0:]).all()
        dx = kernels.self_attention_backward(normal(1, 60, 20), cache,
                                             {name: np.zeros_like(w) for name, w in p.items()})
        assert np.isnan(dx[50]).all()

    p = attention_weights(20, q__weight=1, kv__weight=2)
    packed_p = prepared(p)
    source = normal(2, 33, 20)
    source[32, 0] = bad
    out, _ = kernels.cross_attention_forward(normal(1, 9, 20), source, packed_p, 4, 0.0, np.uint32(0))
    assert np.isnan(out).all()
    out, _ = kernels.cross_attention_forward(x, normal(2, 33, 20), packed_p, 4, 0.0, np.uint32(0))
    assert np.isnan(out[50]).all() and np.isfinite(np.delete(out, 50, 0)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_loss_of_a_token_is_not_finite_when_one_of_its_logits_is_not(bad):
    for place in (0, 20, 52):
        logits, row_loss = normal(0, 5, 53), np.empty(5, np.float32)
        logits[[1, 3], place] = bad
        cross_entropy.fused_cross_entropy(logits, np.array([7, 7, 7, 0, 7]), np.float32(0.25), row_loss)
        assert np.isnan(row_loss[1]) and np.isnan(logits[1]).all()
        assert np.isfinite(np.delete(row_loss, 1)).all() and row_loss[3] == 0 and not logits[3].any()


def test_a_gradient_that_is_not_a_number_shows_in_the_norm_and_in_the_parameter():
    parts, total = normal(0, 2, 5000), np.empty(5000, np.float32)
    parts[1, 4321] = np.nan
    kernels.add_gradients(parts, total, 0, 5000)
    assert np.isnan(kernels.sum_of_squares(total, 0, 5000))
    assert np.flatnonzero(np.isnan(total)).tolist() == [4321]
    p, m, v, decay = (np.zeros(5000, np.float32) for _ in range(4))
    kernels.adamw(p, total, m, v, decay, np.array([1, 1e-3, 0.9, 0.999, 1e-8, 10, 1000], np.float32))
    assert np.flatnonzero(np.isnan(p)).tolist() == [4321]
