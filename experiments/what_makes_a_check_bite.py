"""Weakened gradient checks: number of wrong backwards that escape if one part of the check is weaker.

    OPENBLAS_NUM_THREADS=1 python -m experiments.what_makes_a_check_bite    writes docs/logs/weak-checks.csv

The mutants of the layers (npcaption/gradcheck/mutants.py) run in the cases of their layer
(npcaption/gradcheck/cases.py). Only mutants with gradients of the right shapes and wrong numbers count: any check finds
the mutants that raise.
"""
import csv
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from npcaption import layers
from npcaption.gradcheck.cases import cases
from npcaption.gradcheck.contract import copied, float_arrays
from npcaption.gradcheck.mutants import FILES, in_place, mutants
from npcaption.gradcheck.numeric import TOLERANCE, numerical_gradients, projection, relative_error
from npcaption.support.progress import progress

LOG = Path(__file__).resolve().parents[1] / "docs" / "logs" / "weak-checks.csv"


NOISE = 1e-9  # rounding of a numerical slope: below it a backward that gives 0 is right


class Check(NamedTuple):
    """Strength of a check."""
    random_dout: bool = True        # else ones: the gradient of out.sum()
    filled_g: bool = True           # else zeros: then = equals +=
    plain: bool = False             # norm weights 1, biases 0, as at initialisation
    first_case: bool = False        # only the first case of a layer
    tolerance: float = TOLERANCE


WEAKER = {
    "dout = 1": Check(random_dout=False),
    "g begins with 0": Check(filled_g=False),
    "norm weights 1, biases 0": Check(plain=True),
    "these three together": Check(random_dout=False, filled_g=False, plain=True),
    "one case a layer": Check(first_case=True),
    "tolerance 1e-2": Check(tolerance=1e-2),
}


def plain(layer, arguments):
    """The arguments with norms and biases as at initialisation"""
    def at_start(name, value):
        if name.endswith("norm.weight") or (layer, name) == ("layernorm", "w"):
            return np.ones_like(value)
        return np.zeros_like(value) if name.endswith("bias") or name == "b" else value

    made = {name: value if name == "p" else at_start(name, value) for name, value in arguments.items()}
    return made | ({"p": {name: at_start(name, value) for name, value in made["p"].items()}} if "p" in made else {})


def prepared(layer, check, known):
    """[(arguments, dout, numerical gradients)] of a layer's cases, computed once, as no mutant changes a forward."""
    same = layer, check.random_dout, check.plain
    if same not in known:
        known[same] = []
        forward = getattr(layers, f"{layer}_forward")
        for case in (case for case in cases() if case.layer == layer):
            arguments = plain(layer, case.arguments) if check.plain else case.arguments
            dout = projection(forward(**arguments)[0])
            dout = dout if check.random_dout else np.ones_like(dout)
            known[same].append((arguments, dout, numerical_gradients(forward, copied(arguments), dout)))
    return known[same][:1] if check.first_case else known[same]


def written(layer, arguments, dout, filled_g):
    """{argument: gradient} of the layer's present backward. ValueError if a shape is wrong."""
    arguments, dout = copied(arguments), np.array(dout)
    _, cache = getattr(layers, f"{layer}_forward")(**arguments)
    rng, p = np.random.default_rng(1), arguments.get("p")
    before = {name: filled_g * rng.standard_normal(value.shape) for name, value in (p or {}).items()}
    g = copied(before)
    returned = getattr(layers, f"{layer}_backward")(dout, cache, *([] if p is None else [g]))
    returned = [dx for dx in (returned if isinstance(returned, (tuple, list)) else [returned]) if dx is not None]
    inputs = [name for name in float_arrays(arguments) if name in arguments]
    found = dict(zip(inputs, returned, strict=True)) | {f"p[{name}]": g[name] - before[name] for name in g}
    for name, x in float_arrays(arguments).items():
        if np.shape(found[name]) != x.shape:
            raise ValueError(f"The gradient of {name} has shape {np.shape(found[name])}.")
    return found


def error(numerical, found):
    """Largest difference, relative to the largest gradient; 0 if it is noise"""
    return 0 if np.abs(numerical - found).max() < NOISE else relative_error(numerical, found)


def verdict(layer, check, known):
    """ "right" or "wrong" numbers; "raises" if a case raises or has another shape"""
    try:
        with np.errstate(all="ignore"):
            for arguments, dout, numerical in prepared(layer, check, known):
                found = written(layer, arguments, dout, check.filled_g)
                if not all(error(numerical[name], found[name]) < check.tolerance for name in numerical):
                    return "wrong"
    except NameError:
        raise                                                # a defect of the operator, not of the mutant
    except Exception:
        return "raises"
    return "right"


def main():
    known, rows, verdicts = {}, [], Counter()
    found = [mutant for path in FILES if path.parent.name == "layers" for mutant in mutants(path)]
    for mutant in progress(found, len(found), "mutants", "mutants"):
        layer = mutant.function.removesuffix("_backward")
        if (layer, True, False) not in known:                # before the first mutant of a layer is in place
            for check in [Check(), *WEAKER.values()]:
                if verdict(layer, check, known) != "right":
                    sys.exit(f"{layer} is wrong without any change, by {check}")
        with in_place(mutant):
            judged = verdict(layer, Check(), known)
            verdicts[judged] += 1
            if judged == "wrong":
                rows.append((mutant.name, *(verdict(layer, check, known) for check in WEAKER.values())))
    with LOG.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("backward", *WEAKER))
        writer.writerows(rows)
    print(f"{len(found)} mutants of the layers: " + ", ".join(f"{n} {judged}" for judged, n in verdicts.items()))
    for number, name in enumerate(WEAKER, 1):
        print(f"{name:<28}{sum(row[number] == 'right' for row in rows):>5} of {len(rows)} wrong ones escape")


if __name__ == "__main__":
    main()
