"""The stages of a check. Only the first failure is reported; later stages presuppose the earlier ones."""
from typing import NamedTuple

import numpy as np

from .. import layers
from ..gradcheck.numeric import TOLERANCE, numerical_gradient, numerical_gradients, relative_error
from . import cases, others
from .diagnose import causes, where
from .knowledge import shown
from .run import Failed, Run, as_parts, called
from .stub import UNWRITTEN
from .words import capital


class Verdict(NamedTuple):
    state: str                  # "right", "unwritten" or "wrong"
    lines: list                 # the report
    causes: list = []           # the sentences in it that name a cause


def examine(exercise, offered, path=""):
    """Verdict on the functions of a student's file.  offered: its names; path: the file, for line numbers"""
    right = []
    for name in exercise.functions:
        if not callable(offered.get(name)):
            message = f"There is no function {name}. Define it under this name."
            return Verdict("wrong", [message], [message])
        try:
            with np.errstate(all="ignore"):
                if name in others.CHECKS:
                    others.CHECKS[name](offered[name], lambda *given: called(path, *given))
                else:
                    examine_pair(name, offered, path)
        except Failed as failed:
            if UNWRITTEN in failed.lines[0]:
                return Verdict("unwritten", [*right, f"{name}: {UNWRITTEN}."])
            return Verdict("wrong", [*right, f"{name}: {failed.lines[0]}", *failed.lines[1:]], failed.causes)
        right.append(f"{name}: right.")
    return Verdict("right", right)


def examine_pair(name, offered, path):
    layer = name.removesuffix("_backward")
    forward, backward = offered.get(f"{layer}_forward") or getattr(layers, f"{layer}_forward"), offered[name]

    def run(case, dout=None):
        return Run(layer, forward, backward, case, dout, lambda *given: called(path, *given))

    first = run(cases.random(layer))
    first.require_contract()
    runs, on_paper = [first], cases.paper(layer)
    if on_paper:
        runs.append(run(*on_paper))
        runs[-1].require_contract()
    require_right(runs)
    for case in cases.traps(layer):
        trap = run(case)
        try:
            trap.require_contract()
            require_right([trap])
        except Failed as failed:
            failed.lines[0] = f"right so far; in the case \"{case.about}\" {failed.lines[0]}"
            failed.lines += [line for line in trap.shapes() if line not in failed.lines]
            raise
    require_dtype(run(narrowed(cases.random(layer)), dout=1))


def require_right(runs):
    """Failed, with the worst entry and its cause, unless all numbers of all runs are right."""
    rows, found, wrong, before = [], [], set(), []
    first = runs[0]
    for n, known in first.knowledge().items():
        error = relative_error(known.true, first.found[n])
        if error < TOLERANCE:
            rows.append(f"    {shown(n)}  right" + f", to {error:.0e}" * bool(error))
            continue
        wrong.add(n)
        sentences = causes(first.found[n], known)
        if n.startswith("p[") and sentences == ["it is zero everywhere"]:
            sentences = ["nothing was added to it"]
        rows.append(f"    {shown(n)}  WRONG {worst(first, n, known.true)}")
        lines = [f"        {capital(sentence)}." for sentence in sentences or where(first.found[n], known)]
        rows += lines if not sentences or lines != before else ["        The same."]
        before = lines
        found += [f"{shown(n)}: {sentence}" for sentence in sentences]
    for other in runs[1:]:
        numeric = numerical_gradients(getattr(layers, f"{other.layer}_forward"), other.case.arguments, other.dout)
        differ = [n for n, dx in numeric.items() if relative_error(dx, other.found[n]) >= TOLERANCE]
        wrong |= set(differ)
        if differ:
            given = {**other.case.arguments, "dout": other.dout}
            rows.append("    On paper: " + ", ".join(f"{n} = {listed(a)}" for n, a in given.items()
                                                     if isinstance(a, (np.ndarray, np.floating)) and np.any(a)))
        for n in differ:
            rows += [f"        {shown(n)}  yours      {listed(other.found[n])}",
                     f"        {'':<{len(shown(n))}}  numerical  {listed(numeric[n])}"]
    if wrong:
        raise Failed("the gradient is wrong" if len(wrong) == 1 else "the gradients are wrong", rows, found)


def worst(run, n, true):
    """The entry with the largest difference, and its numerical gradient."""
    got = run.found[n]
    index = np.unravel_index(np.abs(got - true).argmax(), true.shape)
    bad = int((np.abs(got - true) > TOLERANCE * np.abs(true).max()).sum())
    x = run.case.arguments["p"][n[2:-1]] if n.startswith("p[") else run.case.arguments[n]
    forward = getattr(layers, f"{run.layer}_forward")
    slope = numerical_gradient(lambda: float((forward(**run.case.arguments)[0] * run.dout).sum()), x, [index])[0]
    where = f"{shown(n)}[{', '.join(map(str, map(int, index)))}]"
    return f"in {bad} of {true.size} entries; the worst, {where}: yours {got[index]:+.6g}, numerical {slope:+.6g}"


def listed(x):
    rounded = np.round(np.squeeze(x), 4)
    return str(rounded.astype(int).tolist() if np.all(rounded == rounded.astype(int)) else rounded.tolist())


def narrowed(case):
    """The case in float32."""
    def narrow(value):
        if isinstance(value, dict):
            return {n: narrow(entry) for n, entry in value.items()}
        return value.astype(np.float32) if getattr(value, "dtype", None) == np.float64 else value
    return case._replace(arguments=narrow(case.arguments))


def require_dtype(run):
    if np.ndim(run.out) == 0:
        run.dout = 1.0                                       # as in training
    returned, into_g = run.call(1)
    for n, part in [*zip(map(shown, run.names), as_parts(returned, run.names)),
                    *((f'g["{n}"]', after) for n, (_, after) in into_g.items())]:
        if part.dtype != np.float32:
            message = (f"right in float64; with float32 arrays {n} comes back as {part.dtype}. Training needs float32: "
                       f"a float64 array made inside, or a number such as np.sqrt(2), promotes the result")
            raise Failed(message, (), [message])
