"""The gradients, and the check itself."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npcaption import gradcheck, layers, model
from npcaption.gradcheck import TOLERANCE, check_case, check_model, numerical_gradient, relative_error

CASES = gradcheck.cases()


@pytest.mark.parametrize("case", CASES, ids=[f"{case.layer}: {case.about}" for case in CASES])
def test_every_entry_of_every_argument_agrees_with_its_numerical_gradient(case):
    errors = check_case(case)
    assert errors, "a case checks at least one argument"
    assert {name: error for name, (_, error) in errors.items() if not error < TOLERANCE} == {}


@pytest.mark.parametrize("config", [gradcheck.SMALL, gradcheck.CONVOLVING], ids=["patches", "convolutions and bag"])
@pytest.mark.parametrize("steps", [0, 20])
def test_the_whole_model_agrees_in_every_parameter_tensor_and_in_the_image(config, steps):
    errors = check_model(steps, config=config)
    assert len(errors) == 1 + len(gradcheck.Parameters(config).named)
    assert {name: error for name, (_, error) in errors.items() if not error < TOLERANCE} == {}


def test_half_of_the_loss_has_half_of_the_gradients():
    errors = gradcheck.check_half()
    assert len(errors) == len(gradcheck.Parameters(gradcheck.CONVOLVING).named)
    assert max(error for _, error in errors.values()) < 1e-12


def test_every_pair_of_the_textbook_has_cases():
    pairs = {name.removesuffix("_forward") for name in dir(layers) if name.endswith("_forward")}
    assert pairs == {case.layer for case in CASES}
    assert pairs == {name.removesuffix("_backward") for name in dir(layers) if name.endswith("_backward")}


@pytest.mark.parametrize("case", CASES, ids=[f"{case.layer}: {case.about}" for case in CASES])
def test_forward_and_backward_write_to_no_input_and_can_be_repeated(case):
    def copies(value):
        return {k: copies(v) for k, v in value.items()} if isinstance(value, dict) else np.array(value)

    def run():
        out, cache = getattr(layers, f"{case.layer}_forward")(**case.arguments)
        kept, dout, results = np.array(out), np.ones_like(out), []
        for _ in range(2):                                   # a second backward finds the cache as the first did
            g = {name: np.zeros_like(value) for name, value in case.arguments.get("p", {}).items()}
            back = getattr(layers, f"{case.layer}_backward")(dout, cache, *([g] if g else []))
            back = back if isinstance(back, tuple) else (back,)
            results.append([np.array(array) for array in [*back, *g.values()] if array is not None])
        np.testing.assert_array_equal(out, kept)
        np.testing.assert_array_equal(dout, np.ones_like(out))
        return results

    before = copies(case.arguments)
    first, second = run()
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)
    for name, value in case.arguments.items():
        for x, y in zip(value.values(), before[name].values()) if isinstance(value, dict) else [(value, before[name])]:
            np.testing.assert_array_equal(x, y)


def test_the_numerical_gradient_is_right_for_a_known_function():
    x = np.linspace(-1, 2, 6).reshape(2, 3)
    entries = list(np.ndindex(x.shape))
    found = numerical_gradient(lambda: float(np.exp(x).sum()), x, entries)
    np.testing.assert_allclose(found, np.exp(x).ravel(), rtol=1e-10)


def test_the_relative_error_of_a_flipped_sign_is_two_and_of_nothing_is_zero():
    assert relative_error(np.array([1.0, -2.0]), np.array([-1.0, 2.0])) == 2
    assert relative_error(np.zeros(3), np.zeros(3)) == 0


def test_the_command_prints_a_row_for_each_argument_and_exits_0(capsys):
    assert gradcheck.main(["--layer", "attention"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["attention", "q"], ["attention", "k"], ["attention", "v"]]
    assert all(line.endswith("ok") for line in lines[1:4])


def test_the_command_exits_1_and_says_where_when_a_backward_is_wrong(monkeypatch, capsys):
    right = layers.layernorm_backward
    monkeypatch.setattr(layers, "layernorm_backward", lambda dout, cache: (-right(dout, cache)[0], *right(dout, cache)[1:]))
    assert gradcheck.main(["--layer", "layernorm"]) == 1
    assert "WRONG" in capsys.readouterr().out.splitlines()[1]


def test_the_command_calls_a_gradient_that_is_not_a_number_wrong(monkeypatch, capsys):
    right = layers.layernorm_backward
    monkeypatch.setattr(layers, "layernorm_backward", lambda dout, cache: (right(dout, cache)[0] * np.nan, *right(dout, cache)[1:]))
    assert gradcheck.main(["--layer", "layernorm"]) == 1


def test_the_models_check_notices_a_path_that_does_not_reach_the_encoder(monkeypatch):
    right = layers.cross_attention_backward
    monkeypatch.setattr(layers, "cross_attention_backward",
                        lambda dout, cache, g: (right(dout, cache, g)[0], np.zeros_like(cache[2][0])))
    errors = check_model(0, entries=1)
    assert errors["encoder.0.mlp.up.weight"][1] > 0.1
    assert errors["output.linear.weight"][1] < TOLERANCE


def test_the_command_works_where_python_leaves_out_docstrings():
    done = subprocess.run([sys.executable, "-OO", "-m", "npcaption.gradcheck", "--layer", "gelu"], capture_output=True,
                          text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0 and "All gradients agree" in done.stdout, done.stderr


def test_the_wiring_does_not_know_whether_there_is_a_batch():
    config = gradcheck.CONVOLVING
    p, g = gradcheck.initialise(config, 0, dtype=np.float64), [gradcheck.Parameters(config, np.float64) for _ in range(2)]
    rng = np.random.default_rng(1)
    image, ids, words = rng.uniform(0, 255, (3, 16, 16, 3)), rng.integers(1, 11, (3, 9)), rng.integers(0, 2, (3, 7))
    keys, total = layers.fold_key(0, np.arange(3)), 24

    together, cache = model.loss_forward(layers, config, p.sublayer, image, ids[:, :-1], ids[:, 1:], total, 0.1, keys,
                                         words, 3)
    dimage = model.loss_backward(layers, (1.0, 0.3), cache, g[0].sublayer)
    apart = 0
    for i in range(3):
        losses, cache = model.loss_forward(layers, config, p.sublayer, image[i], ids[i, :-1], ids[i, 1:], total, 0.1,
                                           keys[i], words[i], 3)
        found = model.loss_backward(layers, (1.0, 0.3), cache, g[1].sublayer)
        np.testing.assert_allclose(found, dimage[i], rtol=1e-9, atol=1e-15)
        apart = apart + np.array(losses)
    assert apart == pytest.approx(together, rel=1e-12)
    np.testing.assert_allclose(g[1].flat, g[0].flat, rtol=1e-9, atol=1e-14)
