"""The gradients and the gradient check."""
import doctest

import numpy as np
import pytest

from npcaption import layers
from npcaption.errors import GradientError
from npcaption.gradcheck import cases, check, cli, numeric, whole_model
from npcaption.gradcheck.numeric import TOLERANCE, numerical_gradient, relative_error
from npcaption.gradcheck.whole_model import check_model
from npcaption.model import wiring
from npcaption.model.parameters import Parameters, initialise
from tests.helpers.messages import assert_says

CASES = cases.cases()


@pytest.mark.parametrize("case", CASES, ids=[f"{case.layer}: {case.about}" for case in CASES])
def test_every_entry_of_every_argument_agrees_with_its_numerical_gradient(case):
    report = cases.check_case(case)
    assert report, report


@pytest.mark.parametrize("captions", [1, pytest.param(3, marks=pytest.mark.slow)],
                         ids=["one caption", "three weighted captions"])
@pytest.mark.parametrize("config",
                         [whole_model.SMALL, pytest.param(whole_model.CONVOLVING, marks=pytest.mark.slow),
                          whole_model.DISTILLED, whole_model.FROZEN],  # DISTILLED has all of CONVOLVING, and more
                         ids=["patches", "convolutions and bag", "distilled", "frozen features and word vectors"])
@pytest.mark.parametrize("steps", [0, pytest.param(20, marks=pytest.mark.slow)])
def test_the_whole_model_agrees_in_every_parameter_tensor_and_in_the_image(config, steps, captions):
    errors = check_model(steps, config=config, captions=captions)
    assert len(errors) == 1 + len(Parameters(config).named)
    assert {name: error for name, (_, error) in errors.items() if not error < TOLERANCE} == {}


def test_half_of_the_loss_has_half_of_the_gradients():
    errors = whole_model.check_half()
    assert len(errors) == len(Parameters(whole_model.DISTILLED).named)
    assert max(error for _, error in errors.values()) < 1e-12


def test_every_pair_of_the_textbook_has_cases():
    pairs = {name.removesuffix("_forward") for name in dir(layers) if name.endswith("_forward")}
    assert pairs == {case.layer for case in CASES}
    assert pairs == {name.removesuffix("_backward") for name in dir(layers) if name.endswith("_backward")}


def test_the_example_in_the_docstring_of_check_runs_as_printed():
    found = doctest.testmod(numeric, optionflags=doctest.ELLIPSIS)
    assert found.failed == 0 and found.attempted > 5


NORMAL = np.random.default_rng(0).standard_normal
X, W = NORMAL((2, 3)), NORMAL((3, 4))


def product_forward(x, w):
    return x @ w, (x, w)


def product_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout


def test_a_report_of_right_gradients_is_true_and_prints_a_row_for_each_argument():
    report = check(product_forward, product_backward, x=X, w=W)
    assert report and list(report.findings) == ["x", "w"]
    assert [(row.split()[0], row.split()[-1]) for row in str(report).splitlines()[1:]] == [("x", "ok"), ("w", "ok")]


def test_a_report_says_which_gradient_is_wrong_where_and_by_how_much():
    def backward(dout, cache):
        dx, dw = product_backward(dout, cache)
        dw[2, 1] *= 3
        return dx, dw

    report = check(product_forward, backward, x=X, w=W)
    assert not report
    assert report.findings["x"].error < TOLERANCE
    wrong = report.findings["w"]
    assert wrong.worst == (2, 1) and wrong.written == pytest.approx(3 * wrong.numerical)
    assert TOLERANCE < wrong.error < 0.67                    # 2 parts in 3, less beside larger gradients
    assert_says(str(report), "WRONG at (2, 1)", f"{wrong.written:.6g}", f"{wrong.numerical:.6g}")


def test_gradients_belong_to_forwards_parameters_in_any_order_of_the_arguments():
    assert check(product_forward, product_backward, w=W, x=X)


def test_arguments_of_other_types_have_no_gradient_and_other_floats_are_checked_in_float64():
    def forward(x, ids, scale, name):
        return scale * x[ids], (x, ids, scale)

    def backward(dout, cache):
        x, ids, scale = cache
        dx = np.zeros_like(x)
        np.add.at(dx, ids, scale * dout)
        return dx

    arguments = dict(x=NORMAL((4, 2)).astype(np.float32), ids=np.array([1, 1, 3]), scale=0.5, name="rows")
    assert check(forward, backward, **arguments)
    assert check(forward, lambda dout, cache: (backward(dout, cache), None, None, None), **arguments)
    assert check(forward, lambda dout, cache: [backward(dout, cache)], **arguments)


@pytest.mark.parametrize("scalar", [float, np.float64, np.array], ids=["float", "NumPy's float", "array of no axes"])
def test_an_output_may_be_a_number_and_so_may_an_argument_that_is_an_array(scalar):
    assert check(lambda x: (scalar((x ** 3).sum()), x), lambda dout, x: 3 * dout * x ** 2, x=X)
    assert check(lambda x: (x * x * scalar(1), x), lambda dout, x: 2 * dout * x, x=np.array(0.7))


def test_a_mapping_of_parameters_is_checked_by_the_gradients_added_into_g():
    def forward(x, p):
        return x * p["scale"] + p["shift"], (x, p)

    def added(dout, cache, g):
        x, p = cache
        g["scale"] += (dout * x).sum(0)
        g["shift"] += dout.sum(0)
        return dout * p["scale"]

    def assigned(dout, cache, g):
        dx = added(dout, cache, g)
        g["shift"] = dout.sum(0)
        return dx

    arguments = dict(x=X, p={"scale": NORMAL(3), "shift": NORMAL(3)})
    assert list(check(forward, added, **arguments).findings) == ["x", "p[scale]", "p[shift]"]
    assert check(forward, added, **arguments)
    found = check(forward, assigned, **arguments).findings
    assert found["p[shift]"].error > 0.1 > TOLERANCE > found["p[scale]"].error
    with pytest.raises(GradientError, match="scale, bias in g; p has scale, shift"):
        check(forward, lambda dout, cache, g: g.update(bias=g.pop("shift")), **arguments | {"x": np.arange(3)})
    with pytest.raises(GradientError, match=r"p\[shift\] has shape \(2, 3\).* p\[shift\] has \(3,\)"):
        check(forward, lambda dout, cache, g: g.update(shift=g["shift"] + dout),
              **arguments | {"x": np.ones((2, 3), int)})


def broken(change):
    """A changed backward of the product."""
    def backward(dout, cache):
        x, w = cache
        return change(dout, x, w, *product_backward(dout, cache))
    return backward


def writing(array, dx, dw):
    array *= 2
    return dx, dw


@pytest.mark.parametrize("change, said", [
    (lambda dout, x, w, dx, dw: dx, r"returned 1 gradient for 2 float arrays \(x, w\)"),
    (lambda dout, x, w, dx, dw: (dx, dw, dw), "returned 3 gradients for 2 float arrays"),
    (lambda dout, x, w, dx, dw: (dx, dw.T), r"of w has shape \(4, 3\).* w has \(3, 4\)"),
    (lambda dout, x, w, dx, dw: (0.0, dw), r"of x has shape \(\).* x has \(2, 3\)"),
    (lambda dout, x, w, dx, dw: (dx, dw.astype(np.float32)), "of w has type float32.* w has float64"),
    (lambda dout, x, w, dx, dw: (dx, dw / (np.arange(12) != 5).reshape(3, 4)), r"of w is not finite at \(1, 1\)"),
    (lambda dout, x, w, dx, dw: writing(x, dx, dw), "backward wrote to x"),
    (lambda dout, x, w, dx, dw: writing(w, dx, dw), "backward wrote to w"),
    (lambda dout, x, w, dx, dw: writing(dout, dx, dw), "backward wrote to dout"),
], ids=["too few", "too many", "transposed", "no shape", "another type", "not finite", "x", "w", "dout"])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_backward_that_breaks_the_contract_is_refused_with_a_sentence(change, said):
    x, w = X.copy(), W.copy()
    with pytest.raises(GradientError, match=said):
        check(product_forward, broken(change), x=x, w=w)
    np.testing.assert_array_equal(x, X)                      # the caller's arrays are restored
    np.testing.assert_array_equal(w, W)


def test_a_backward_that_changes_its_cache_is_refused():
    def forward(x):
        return x * x, [x.copy()]

    def doubling(dout, cache):
        cache[0] *= 2
        return dout * cache[0]

    with pytest.raises(GradientError, match="same dout and cache, backward returned another gradient of x.*cache"):
        check(forward, doubling, x=X)
    with pytest.raises(GradientError, match="same dout and cache, backward raised IndexError: pop from empty list"):
        check(forward, lambda dout, cache: 2 * dout * cache.pop(), x=X)


def test_a_backward_that_reads_state_of_the_last_forward_is_refused():
    last = {}

    def forward(x):
        last["x"] = x.copy()
        return x * x, ()

    with pytest.raises(GradientError, match="forward had run on other arguments.* another gradient of x"):
        check(forward, lambda dout, cache: 2 * dout * last["x"], x=X)


@pytest.mark.parametrize("forward, said", [
    (lambda x: x * 2, r"forward returned a ndarray\. .*\(out, cache\)"),
    (lambda x: (x.astype(np.float32), ()), "out has type float32"),
    (lambda x: (x.argmax(-1), ()), "out has type int64"),
    (lambda x: (np.log(-abs(x)), ()), r"out is not finite at \(0, 0\)"),
    (lambda x: (x[:0], ()), r"out is empty.* \(0, 3\)"),
    (lambda x: (np.random.standard_normal(x.shape), ()), "different out for the same arguments"),
    (lambda x: (np.add(x, 1, out=x), ()), "forward wrote to x"),
    (lambda x: (np.where(x == X, x, np.nan), ()), r"not finite near x at \(0, 0\)"),
], ids=["no cache", "float32", "integers", "not finite", "empty", "random", "writing", "not finite nearby"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_forward_that_breaks_the_contract_is_refused_with_a_sentence(forward, said):
    with pytest.raises(GradientError, match=said):
        check(forward, lambda dout, cache: np.zeros((2, 3)), x=X.copy())


def test_arguments_without_a_float_array_are_refused():
    with pytest.raises(GradientError, match=r"No argument is a float array \(ids, n\)"):
        check(lambda ids, n: (ids * 1.0, ()), lambda dout, cache: None, ids=np.arange(3), n=2)
    with pytest.raises(GradientError, match=r"x is empty.* \(0, 2\)"):
        check(lambda x: (x, ()), lambda dout, cache: dout, x=np.zeros((0, 2)))


def test_the_numerical_gradient_is_right_for_a_known_function():
    x = np.linspace(-1, 2, 6).reshape(2, 3)
    entries = list(np.ndindex(x.shape))
    found = numerical_gradient(lambda: float(np.exp(x).sum()), x, entries)
    np.testing.assert_allclose(found, np.exp(x).ravel(), rtol=1e-10)


def test_the_relative_error_of_a_flipped_sign_is_2_and_of_equal_zeros_is_0():
    assert relative_error(np.array([1.0, -2.0]), np.array([-1.0, 2.0])) == 2
    assert relative_error(np.zeros(3), np.zeros(3)) == 0


def test_the_command_prints_a_row_for_each_argument_and_exits_0(capsys):
    assert cli.main(["--layer", "attention"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["attention", "q"], ["attention", "k"], ["attention", "v"]]
    assert all(line.endswith("ok") for line in lines[1:4])


def test_the_command_exits_1_and_says_where_when_a_backward_is_wrong(monkeypatch, capsys):
    right = layers.layernorm_backward
    monkeypatch.setattr(layers, "layernorm_backward",
                        lambda dout, cache: (-right(dout, cache)[0], *right(dout, cache)[1:]))
    assert cli.main(["--layer", "layernorm"]) == 1
    assert "WRONG" in capsys.readouterr().out.splitlines()[1]


def test_the_command_calls_a_gradient_that_is_not_a_number_wrong(monkeypatch, capsys):
    right = layers.layernorm_backward
    monkeypatch.setattr(layers, "layernorm_backward",
                        lambda dout, cache: (right(dout, cache)[0] * np.nan, *right(dout, cache)[1:]))
    assert cli.main(["--layer", "layernorm"]) == 1
    assert "The gradient of x is not finite" in capsys.readouterr().out


def test_the_check_of_the_whole_model_detects_a_missing_path_to_the_encoder(monkeypatch):
    right = layers.cross_attention_backward
    monkeypatch.setattr(layers, "cross_attention_backward",
                        lambda dout, cache, g: (right(dout, cache, g)[0], np.zeros_like(cache[2][0])))
    errors = check_model(0, entries=1)
    assert errors["encoder.0.mlp.up.weight"][1] > 0.1
    assert errors["output.linear.weight"][1] < TOLERANCE


@pytest.mark.parametrize("captions", [1, 2])
def test_the_wiring_does_not_know_whether_there_is_a_batch(captions):
    config = whole_model.DISTILLED
    p, g = initialise(config, 0, dtype=np.float64), [Parameters(config, np.float64) for _ in range(2)]
    batch, objectives = whole_model.example(config, captions)

    together, cache = wiring.loss_forward(layers, config, p.sublayer, batch, objectives)
    dimage = wiring.loss_backward(layers, 1.0, cache, g[0].sublayer)
    apart = dict.fromkeys(together, 0.0)
    for i in range(3):
        losses, cache = wiring.loss_forward(layers, config, p.sublayer, batch.of(i), objectives)
        found = wiring.loss_backward(layers, 1.0, cache, g[1].sublayer)
        np.testing.assert_allclose(found, dimage[i], rtol=1e-9, atol=1e-15)
        apart = {name: apart[name] + loss for name, loss in losses.items()}
    assert apart == pytest.approx(together, rel=1e-12) and len(apart) == len(objectives) > 1
    np.testing.assert_allclose(g[1].flat, g[0].flat, rtol=1e-9, atol=1e-14)
