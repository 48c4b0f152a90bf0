"""The diagnosis names the cause of realistic mistakes, and never a wrong cause."""
import re

import pytest

from npcaption import layers
from npcaption.exercises.catalogue import EXERCISES
from npcaption.exercises.examine import examine
from npcaption.model import wiring

from .mistakes import FIRST, SECOND, THIRD

SYMPTOM = re.compile(r"must be \([\d, ]*\)$|it raises ")     # a shape or an exception alone is not a cause


def verdict_on(mistake):
    exercise = EXERCISES[mistake.exercise]
    own = {name: getattr(layers, name, None) or getattr(wiring, name, None) for name in exercise.functions}
    return examine(exercise, own | {mistake.function: mistake.written})


def outcome(mistake):
    """ "named", "other" or "none" """
    verdict = verdict_on(mistake)
    assert verdict.state == "wrong", mistake.cause
    found = [cause for cause in verdict.causes if not SYMPTOM.search(cause)]
    if not found:
        return "none"
    return "named" if any(re.search(mistake.says, cause) for cause in found) else "other"


def test_the_first_set_has_the_promised_size():
    assert len(FIRST) >= 100


@pytest.mark.slow
@pytest.mark.parametrize("mistakes, least", [(FIRST, 0.95), (SECOND, 0.85), (THIRD, 0.95)],
                         ids=["first", "second", "third"])
def test_causes_are_named(mistakes, least):
    outcomes = [outcome(mistake) for mistake in mistakes]
    assert outcomes.count("named") / len(outcomes) >= least
    assert outcomes.count("other") / len(outcomes) <= 0.03


def test_a_wrong_order_of_right_gradients_is_diagnosed():
    mistake = next(m for m in FIRST if m.cause == "dw and db exchanged")
    assert "in the order dx, db, dw; return dx, dw, db" in verdict_on(mistake).lines[0]
