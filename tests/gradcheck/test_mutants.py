"""Mutation testing: the gradient checks detect every small mistake in a backward."""
import pytest

from npcaption import layers
from npcaption.gradcheck.mutants import EQUIVALENT, FILES, backwards, check, judge, mutants
from npcaption.model import wiring
from npcaption.model.objectives import OBJECTIVES

BACKWARDS = [function.name for path in FILES for function in backwards(path)]


def test_every_backward_is_broken_on_purpose():
    offered = {name for module in (layers, wiring) for name in dir(module) if name.endswith("_backward")}
    offered |= {objective.backward.__name__ for objective in OBJECTIVES}
    assert set(BACKWARDS) == offered == {mutant.function for path in FILES for mutant in mutants(path)}


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKWARDS)
def test_every_unchanged_backward_is_right(name):
    assert check(name) == "right"


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_mutant_of_every_backward_is_caught(path):
    verdicts = {mutant.name: judge(mutant) for mutant in mutants(path)}
    assert verdicts
    assert [f"{verdict}  {name}" for name, verdict in verdicts.items() if verdict.isupper()] == []


@pytest.mark.slow
def test_every_mutant_that_is_listed_as_equivalent_is_made():
    assert set(EQUIVALENT) <= {mutant.name for path in FILES for mutant in mutants(path)}
