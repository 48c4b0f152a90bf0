"""Training with wrong gradients: train a small captioner with every mutated backward that runs.

    OPENBLAS_NUM_THREADS=1 python -m experiments.wrong_gradients_train      writes docs/logs/wrong-gradients.csv

The mutants of npcaption/gradcheck/mutants.py count if they run and change the gradient of the first step by more than
1e-4 of its largest entry. Each trains gradcheck's small model, without dropout, on eight images of noise and eight
captions, for 80 steps of AdamW at 3e-3 from the same initialisation. In that time the right gradients memorise them.
"""
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from npcaption.gradcheck.mutants import FILES, in_place, mutants
from npcaption.gradcheck.whole_model import SMALL
from npcaption.layers.adamw import AdamW
from npcaption.model import parameters
from npcaption.model.batch import whole
from npcaption.model.engines import make_engine
from npcaption.model.objectives import LIKELIHOOD
from npcaption.model.parameters import Parameters, initialise
from npcaption.support.progress import progress

LOG = Path(__file__).resolve().parents[1] / "docs" / "logs" / "wrong-gradients.csv"
MODEL = replace(SMALL, dropout=0.0)
STEPS, IMAGES, LEARNING_RATE, DIFFERENT = 80, 8, 3e-3, 1e-4
RIGHT = "the textbook's own"


def example():
    """Images of noise, and captions, some with padding"""
    rng = np.random.default_rng(0)
    ids = rng.integers(3, MODEL.vocabulary, (IMAGES, 1, MODEL.max_length))
    ids[..., 0] = 1
    for number, caption in enumerate(ids[:, 0]):
        caption[MODEL.max_length - number % 4:] = 0
    images = rng.uniform(0, 255, (IMAGES, MODEL.image_size, MODEL.image_size, 3)).astype(np.float32)
    return whole(images, ids)


def train(batch, steps):
    """-> (the loss before each step and after the last, the gradients of the last step)"""
    p, g = initialise(MODEL, 0, np.float32), Parameters(MODEL, np.float32)
    engine, objectives = make_engine("numpy", MODEL, p), [LIKELIHOOD._replace(weight=1.0)]
    m, v, decay = np.zeros_like(p.flat), np.zeros_like(p.flat), parameters.decay_of(p, 0.01, "all")
    found = []
    for step in range(1, steps + 1):
        losses, _ = engine.loss_and_gradients(batch, g, objectives)
        found.append(float(losses[LIKELIHOOD.name]))
        engine.update(g, m, v, decay, step, AdamW(LEARNING_RATE))
    gradients = g.flat.copy()
    losses, _ = engine.loss_and_gradients(batch, g, objectives)
    return [*found, float(losses[LIKELIHOOD.name])], gradients


def outcome(batch, right):
    """(first loss, last loss) of the mutant in place; None if it raises, or changes no gradient of this model"""
    try:
        with np.errstate(all="ignore"):
            gradients = train(batch, 1)[1]
            if not np.isfinite(gradients).all():
                return None
            if np.abs(gradients - right).max() <= DIFFERENT * np.abs(right).max():
                return None
            losses, _ = train(batch, STEPS)
    except UnboundLocalError:
        return None                                          # a name from a loop that this model skips
    except NameError:
        raise                                                # a defect of the operator, not of the mutant
    except Exception:
        return None
    return losses[0], losses[-1]


def summary(first, right, last):
    """Lines on the final losses.  last (N,): final losses of the mutants"""
    yield f"right gradients: {first:.3f} -> {right:.4f}"
    for what, limit in [("5 % below the start", 0.95 * first), ("below half of the start", 0.5 * first),
                        ("below twice the right end", 2 * right), ("below 1.2 times the right end", 1.2 * right),
                        ("below the right end", right)]:
        yield f"{(last < limit).sum():>5} of {len(last)} wrong ones end {what} ({limit:.4f})"


def main():
    batch = example()
    losses, _ = train(batch, STEPS)
    _, right = train(batch, 1)
    rows = [(RIGHT, losses[0], losses[-1])]
    found = [mutant for path in FILES for mutant in mutants(path)]
    for mutant in progress(found, len(found), "mutants", "mutants"):
        with in_place(mutant):
            if ends := outcome(batch, right):
                rows.append((mutant.name, *ends))
    with LOG.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("backward", "first", "last"))
        writer.writerows((name, f"{first:.6f}", f"{last:.6f}") for name, first, last in rows)
    last = np.array([last for _, _, last in rows[1:]])
    print("\n".join(summary(losses[0], losses[-1], last)))


if __name__ == "__main__":
    main()
