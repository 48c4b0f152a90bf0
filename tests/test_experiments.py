"""The experiments: what their logs in docs/logs say is what they find."""
import csv

import numpy as np
import pytest

from docs.lessons.page import ROOT
from experiments import what_makes_a_check_bite as bite
from experiments import wrong_gradients_train as wrong
from npcaption.gradcheck.mutants import FILES, in_place, mutants


def logged(path):
    with path.open(newline="") as file:
        return {row.pop("backward"): row for row in csv.DictReader(file)}


def mutants_of(function):
    return [mutant for path in FILES for mutant in mutants(path) if mutant.function == function]


def test_the_check_as_it_is_finds_nothing_wrong_with_the_textbook():
    checks = [bite.Check(), *bite.WEAKER.values()]
    assert [bite.verdict("layernorm", check, {}) for check in checks] == ["right"] * 7


@pytest.mark.slow
def test_the_log_of_weak_checks_is_what_is_found_of_layernorm():
    known, log, found = {}, logged(bite.LOG), {}

    def verdict(check):
        return bite.verdict("layernorm", check, known)

    for check in [bite.Check(), *bite.WEAKER.values()]:
        assert verdict(check) == "right"                     # and the numerical gradients are known
    for mutant in mutants_of("layernorm_backward"):
        with in_place(mutant):
            if verdict(bite.Check()) == "wrong":
                found[mutant.name] = {name: verdict(check) for name, check in bite.WEAKER.items()}
    assert found == {name: row for name, row in log.items() if name.startswith("layernorm_backward")}
    assert sum(row["norm weights 1, biases 0"] == "right" for row in found.values()) == 8


@pytest.mark.slow
def test_the_log_of_wrong_gradients_is_what_is_found_of_gelu():
    log, batch = logged(wrong.LOG), wrong.example()
    losses, _ = wrong.train(batch, wrong.STEPS)
    right, found = wrong.train(batch, 1)[1], {wrong.RIGHT: (losses[0], losses[-1])}
    for mutant in mutants_of("gelu_backward"):
        with in_place(mutant):
            if ends := wrong.outcome(batch, right):
                found[mutant.name] = ends
    assert found.keys() == {name for name in log if name.startswith(("gelu_backward", wrong.RIGHT))}
    for name, (first, last) in found.items():                # 80 steps make much of the last bits of another machine
        assert first == pytest.approx(float(log[name]["first"]), rel=1e-5)
        assert last == pytest.approx(float(log[name]["last"]), rel=0.2)


def test_a_summary_counts():
    lines = list(wrong.summary(2.0, 0.1, np.array([0.05, 0.11, 0.15, 0.9, 1.95])))
    assert [int(line.split()[0]) for line in lines[1:]] == [4, 4, 3, 2, 1] and "2.000 -> 0.1000" in lines[0]


def test_the_logs_are_in_the_documents():
    assert {path.parent for path in (bite.LOG, wrong.LOG)} == {ROOT / "docs" / "logs"}
