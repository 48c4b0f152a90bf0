"""Mutation testing: the trace detects every small change of a backward that changes a gradient."""
from dataclasses import replace

import numpy as np
import pytest

from npcaption.gradcheck.mutants import FILES, in_place, mutants
from npcaption.gradcheck.whole_model import CONVOLVING, example
from npcaption.model.batch import whole
from npcaption.model.parameters import initialise
from npcaption.trace.recording import record
from npcaption.trace.slopes import slopes

CONFIG = replace(CONVOLVING, dropout=0.0)


def recording():
    batch, objectives = example(CONFIG)
    batch = whole(batch.inputs[:1], batch.ids[:1], targets={"bag": batch.targets["bag"][:1]})
    parameters = initialise(CONFIG, 0, np.float64)
    parameters.flat += 0.05 * np.random.default_rng(3).standard_normal(parameters.flat.shape)  # norms not 1 and 0
    return record(CONFIG, parameters, batch, objectives)


def differs(found, right):
    """Whether the gradient of a parameter or of the image is wrong."""
    pairs = [(found.image_gradient, right.image_gradient)]
    pairs += [(found.gradients.named[name], gradient) for name, gradient in right.gradients.named.items()]
    return not all(np.shape(a) == b.shape and np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_mutant_that_changes_a_gradient_is_detected(path):
    right, judged, missed = recording(), 0, []
    for mutant in mutants(path):
        with in_place(mutant), np.errstate(all="ignore"):
            try:
                found = recording()
                seen = not all(measured.agrees for measured in slopes(found).values())
            except Exception:                                # mismatched shapes: an obvious error
                continue
        judged += 1
        if seen != differs(found, right):
            missed.append((seen, mutant.name))
    assert missed == []
    assert judged
