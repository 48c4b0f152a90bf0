"""Each kernel against NumPy or the textbook, in float64 on the same float32 numbers."""
import numpy as np
import pytest

from npcaption import kernels, layers
from npcaption.kernels import compilation, dropout, exponential, gelu, layernorm, matmul, target
from npcaption.kernels.sublayers import NO_MATRIX, NO_VECTOR
from npcaption.layers import adamw
from npcaption.layers.dropout import keep_mask
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

# ------------------------------------------------------------------------------------------------------- products
# Each of `depth` multiply-adds rounds the sum so far, by at most eps / 2 of it. Of terms with random signs the sum
# after k is about sqrt(k) max|a| max|b| or smaller, and the roundings' signs are random, too: together they come to
# about eps / 2 sqrt(1 + 2 + ... + depth) = 0.35 eps depth, times max|a| max|b|, which for normal numbers is itself some
# ten times their typical product. Bias and residual add one rounding each, of at most eps / 2 of the result.

def product_tolerance(a, b, exact):
    return 0.5 * EPS * a.shape[-1] * np.abs(a).max() * np.abs(b).max() + EPS * np.abs(exact).max()


ROWS = [*range(1, 18), 47]
DEPTHS, COLUMNS = [1, 3, 50, 128], [1, 7, 31, 32, 33, 53, 100]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_product_is_numpys_and_nothing_around_it_is_read_or_written(depth, columns):
    w = normal(1, depth, columns)
    matrix = packed(w)
    for rows in ROWS:
        x, bias, residual = normal(rows, rows, depth), normal(2, columns), 10 * normal(3, rows, columns)
        for b, r in [(NO_VECTOR, NO_MATRIX), (bias, NO_MATRIX), (NO_VECTOR, residual), (bias, residual)]:
            out, around = guarded(np.full((rows, columns), np.nan), CANARY)
            matmul.multiply(guarded(x)[0], matrix.panels, guarded(b)[0] if b.size else b,
                                       guarded(r)[0] if r.size else r, out)
            exact = x.astype(float) @ w + (b if b.size else 0) + (r if r.size else 0)
            assert_close(out, exact, product_tolerance(x, w, exact))
            assert (around() == CANARY).all()


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_product_with_a_transposed_weight_matrix_is_numpys(depth, columns):
    w = normal(1, depth, columns)
    matrix = packed(w)
    for rows in ROWS:
        dy = normal(rows, rows, columns)
        out, around = guarded(np.full((rows, depth), np.nan), CANARY)
        matmul.multiply(guarded(dy)[0], matrix.transposed, NO_VECTOR, NO_MATRIX, out)
        exact = dy.astype(float) @ w.T
        assert_close(out, exact, product_tolerance(dy, w, exact))
        assert (around() == CANARY).all()


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("inputs", DEPTHS)
def test_the_gradient_of_a_weight_matrix_is_added_to_what_is_there(inputs, columns):
    for rows in ROWS:
        x, dy = normal(rows, rows, inputs), normal(1, rows, columns)
        for with_bias in (True, False):
            dw, around_dw = guarded(normal(2, inputs, columns), CANARY)
            db, around_db = guarded(normal(3, columns), CANARY)
            exact_dw, exact_db = dw + x.T.astype(float) @ dy, db + dy.sum(0, dtype=float)
            before = db.copy()
            matmul.accumulate(guarded(x)[0], guarded(dy)[0], dw, db if with_bias else NO_VECTOR)
            assert_close(dw, exact_dw, product_tolerance(x.T, dy, exact_dw))
            assert_close(db, exact_db if with_bias else before, product_tolerance(np.ones((1, rows)), dy, exact_db))
            assert (around_dw() == CANARY).all() and (around_db() == CANARY).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 32), (5, 33), (50, 31), (33, 100), (128, 53)])
def test_panels_hold_the_matrix_columns_first_to_last_and_zeros_behind_them(shape):
    w = normal(0, *shape)
    for matrix, which in [(w, 0), (w.T, 1)]:
        sizes = [guarded(np.full(matmul.panels_size(*s), np.nan), CANARY) for s in (w.shape, w.shape[::-1])]
        kernels.pack_weight(w, sizes[0][0], sizes[1][0])
        panels, around = sizes[which]
        depth, columns = matrix.shape
        whole = panels.reshape(-1, depth, target.COLUMNS).swapaxes(0, 1).reshape(depth, -1)
        np.testing.assert_array_equal(whole[:, :columns], matrix)
        assert not whole[:, columns:].any() and whole.shape[1] - columns < target.COLUMNS
        assert (around() == CANARY).all()


# --------------------------------------------------------------------------------------------- functions of one number

def test_exp_of_what_is_not_positive_is_right_to_7e_8_and_to_4e_6_of_itself():
    @compilation.compiled
    def exp(x, out):
        for i in range(x.size):
            out[i] = exponential.exp_of_negative(x[i])

    x = np.concatenate([np.linspace(-87, 0, 400_001), -np.logspace(-30, 0, 1000),
                        -np.log(2) * np.arange(0.5, 125, 0.5)])
    x = x.astype(np.float32)
    out = np.empty_like(x)
    exp(x, out)
    exact = np.exp(x.astype(float))
    # Before the whole part is split off, x log2(e) is rounded: to eps / 2 of itself, an error of exp that grows with x.
    # Seen: 1.3e-7; at x = -87 this bound is 1e-5.
    assert np.max(np.abs(out - exact) / exact / np.maximum(1, np.abs(x))) < 1.4e-7
    assert np.max(np.abs(out - exact) / exact) < 4e-6        # seen: 3.9e-6
    assert np.max(np.abs(out - exact)) < 7e-8                # seen: 6.7e-8
    assert out[x == 0].tolist() == [1.0] * (x == 0).sum()
    ends = np.array([np.nan, -np.inf, -1e30, -100], np.float32)
    out = np.empty_like(ends)
    exp(ends, out)
    assert np.isnan(out[0]) and (0 <= out[1:]).all() and (out[1:] < 2e-38).all()


def test_gelu_and_its_slope_are_the_textbooks():
    small = np.linspace(2 ** -10, 2 ** -5, 400_001)          # here the slope's errors are largest
    grid = np.concatenate([np.linspace(-12, 12, 400_001), small, -small, np.logspace(-30, 4, 2000),
                           -np.logspace(-30, 4, 2000)])
    for x in [grid.astype(np.float32), *(normal(size, size) for size in range(1, 40))]:
        exact, cache = layers.gelu_forward(x.astype(float))
        slope = layers.gelu_backward(np.ones(x.size), cache)
        (wide, around), (out, around_out) = guarded(x, CANARY), guarded(np.full(x.size, np.nan), CANARY)
        gelu.fused_gelu_forward(wide, out)
        assert np.max(np.abs(out - exact) / np.maximum(1, np.abs(exact))) < 1.25e-7  # seen: 1.17e-7
        assert np.max(np.abs(wide - slope)) < 1.7e-7         # seen: 1.65e-7
        assert (around() == CANARY).all() and (around_out() == CANARY).all()
        dout, around = guarded(normal(1, x.size), CANARY)
        expected = dout * wide
        gelu.fused_gelu_backward(dout, wide)
        np.testing.assert_array_equal(dout, expected)
        assert (around() == CANARY).all()


# ------------------------------------------------------------------------------------------------------------ norms

@pytest.mark.parametrize("channels", [1, 2, 7, 16, 20, 33, 100, 128])
def test_layernorm_and_its_gradients_are_the_textbooks(channels):
    for rows, scale, shift in [(1, 1, 0), (3, 1, 10), (17, 1e-2, 0), (47, 30, -5)]:
        x, w, b = scale * normal(rows, rows, channels) + np.float32(shift), normal(1, channels), normal(2, channels)
        means, rstd, out, again = *np.empty((2, rows), np.float32), np.empty_like(x), np.empty_like(x)
        layernorm.fused_layernorm_forward(x, w, b, means, rstd, out)
        layernorm.fused_layernorm_again(x, w, b, means, rstd, again)
        exact, cache = layers.layernorm_forward(*(a.astype(float) for a in (x, w, b)))
        # The mean is right to eps of the numbers that it is of; divided by a small spread, this is more.
        rounding = 4 * EPS * (1 + np.abs(x).max(-1) * rstd)[:, None]  # (rows, 1)
        largest = max(1, np.abs(cache[0]).max())             # of xhat
        for found in out, again:
            assert_close(found, exact, rounding * (np.abs(w).max() * largest + np.abs(b).max()))

        dout, around = normal(3, rows, channels), normal(4, rows, channels)
        dw, db = normal(5, channels), normal(6, channels)
        exact_dx, exact_dw, exact_db = layers.layernorm_backward(dout.astype(float), cache)
        exact_dw, exact_db = exact_dw + dw, exact_db + db
        dx = around.copy()
        layernorm.fused_layernorm_backward(dout, x, means, rstd, w, dw, db, dx)
        cancels = rstd[:, None] * np.abs(dout * w).max() * largest ** 2  # the size of what dx is a difference of
        assert_close(dx, around + exact_dx, rounding * (cancels + np.abs(around)))
        assert_close(dw, exact_dw, rounding.max() * rows ** 0.5 * np.abs(dout).max() * largest)
        assert_close(db, exact_db, 4 * EPS * rows ** 0.5 * np.abs(dout).max())


# ---------------------------------------------------------------------------------------------------------- dropout

def test_keys_are_folded_as_the_textbook_folds_them():
    for key in [0, 1, 77, 2 ** 31, 2 ** 32 - 1]:
        for number in [0, 1, 13, 2 ** 31 - 1]:
            assert kernels.fold_key(np.uint32(key), number) == layers.fold_key(key, number)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_dropout_mask_is_the_textbooks_bit_for_bit(rate):
    for shape in [(1, 1), (7, 33), (64, 128)]:
        for key in layers.fold_key(3, np.arange(3)):
            mask = keep_mask(shape, rate, key).astype(np.float32)
            found = kernels.sublayers.dropped(np.ones(shape, np.float32), NO_VECTOR, rate, key)
            np.testing.assert_array_equal(found, mask)
            x, base = normal(0, *shape), normal(1, *shape)
            out, around = guarded(np.full(base.size, np.nan), CANARY)
            dropout.add_kept(x.reshape(-1), base.reshape(-1), np.uint32(kernels.fold_key(key, 0)),
                             np.uint32(rate * 2 ** 32), np.float32(1 / (1 - rate)), out)
            assert_close(out, (base + x.astype(float) * mask).reshape(-1),
                         EPS * (np.abs(base) + np.abs(x * mask)).reshape(-1))
            assert (around() == CANARY).all()


# -------------------------------------------------------------------------------------------------------- the optimiser

@pytest.mark.parametrize("threads", [1, 2, 5])
def test_gradients_are_added_and_their_squares_summed(threads):
    parts = normal(0, threads, 10_001)
    for first, last in [(0, 10_001), (17, 4113), (4096, 8192), (10_000, 10_001), (5, 5)]:
        total = np.full(10_001, CANARY)
        added = parts.copy()
        kernels.add_gradients(added, total, first, last)
        assert not added[:, first:last].any() and np.array_equal(np.delete(added, range(first, last), 1),
                                                                 np.delete(parts, range(first, last), 1))
        squares = kernels.sum_of_squares(total, first, last)
        exact = parts[:, first:last].sum(0, dtype=float)
        assert_close(total[first:last], exact, threads * EPS * np.abs(parts).max() + 1e-30)
        assert squares == pytest.approx((exact ** 2).sum(), rel=1e-6)
        assert (total[:first] == CANARY).all() and (total[last:] == CANARY).all()


@pytest.mark.parametrize("workers", [2, 4, 6, 10])
def test_gradients_of_two_machines_add_up_to_the_bits_of_one_with_the_workers_of_both(workers):
    parts = np.exp(normal(0, workers, 5000)).astype(np.float32)
    whole, halves = np.empty(5000, np.float32), np.empty((2, 5000), np.float32)
    for half, part in zip(halves, np.split(parts, 2)):
        kernels.add_gradients(part.copy(), half, 0, 5000)
    kernels.add_gradients(parts.copy(), whole, 0, 5000)
    np.testing.assert_array_equal(whole, halves[0] + halves[1])
    both = np.empty(5000, np.float32)
    kernels.add_gradients(halves, both, 0, 5000)
    np.testing.assert_array_equal(whole, both)
    if workers > 2:
        assert not np.array_equal(whole, np.cumsum(parts, 0, dtype=np.float32)[-1])


@pytest.mark.parametrize("clip_norm", [1.0, np.inf])
def test_adamw_on_a_range_is_the_textbooks_with_the_gradient_clipped(clip_norm):
    size, first, last = 1003, 13, 990
    settings = adamw.AdamW(learning_rate=3e-3, beta2=0.98, clip_norm=clip_norm)
    rate, beta2 = settings.learning_rate, settings.beta2
    p, decay = normal(0, size), np.abs(normal(1, size)) / 10
    m, v = np.zeros(size, np.float32), np.zeros(size, np.float32)
    exact = [a.astype(float) for a in (p, m, v)]
    before = p.copy()
    for step in range(1, 6):
        g = normal(1 + step, size)
        slope = g.astype(float)
        norm = adamw.clip(slope, clip_norm)
        kernels.adamw(*(a[first:last] for a in (p, g, m, v, decay)), kernels.adamw_numbers(step, settings, norm))
        adamw.adamw(exact[0], slope, exact[1], exact[2], decay.astype(float), step, settings)
    # A step's update is right to a few eps of the rate, and rounding p to float32 costs eps / 2 of it each time; beta2
    # is rounded, too, and 1 - beta2 with it, to eps / (1 - beta2) of itself.
    inside = slice(first, last)
    assert_close(p[inside], exact[0][inside], 5 * (EPS * np.abs(p).max() + 20 * EPS * rate))
    assert_close(m[inside], exact[1][inside], 8 * EPS * np.abs(exact[1]).max())
    assert_close(v[inside], exact[2][inside], 4 * EPS / (1 - beta2) * np.abs(exact[2]).max())
    for array, was in [(p, before), (m, 0 * m), (v, 0 * v)]:
        np.testing.assert_array_equal(array[:first], was[:first])
        np.testing.assert_array_equal(array[last:], was[last:])
