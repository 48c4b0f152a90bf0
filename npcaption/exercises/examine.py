"""The stages of a check. The first that fails is the only thing that is said; the later ones presuppose it."""
import traceback
from typing import NamedTuple

import numpy as np

from .. import layers
from ..gradcheck.numeric import TOLERANCE, numerical_gradient, numerical_gradients, relative_error
from . import cases, others
from .diagnose import causes, shape_causes, where
from .guard import Guard, same
from .knowledge import knowledge, shown
from .stub import UNWRITTEN


class Verdict(NamedTuple):
    state: str                  # "right", "unwritten" or "wrong"
    lines: list                 # what is said
    causes: list = []           # of these the sentences that name a cause


class Failed(Exception):
    """A stage that fails, with what is to be said."""

    def __init__(self, first, rows=(), causes=()):
        super().__init__(first)
        self.lines, self.causes = [first, *rows], list(causes)


def examine(exercise, offered, path=""):
    """Verdict on the functions of a student's file.  offered: its names; path: the file, for its line numbers"""
    for name in exercise.functions:
        if not callable(offered.get(name)):
            return Verdict("wrong", [f"There is no function {name}. Write it under this name."], [f"no function {name}"])
        try:
            with np.errstate(all="ignore"):
                if name in others.CHECKS:
                    others.CHECKS[name](offered[name], lambda *given: called(path, *given))
                else:
                    examine_pair(name, offered, path)
        except Failed as failed:
            if UNWRITTEN in failed.lines[0]:
                return Verdict("unwritten", [f"{name}: {UNWRITTEN}."])
            return Verdict("wrong", [f"{name}: {failed.lines[0]}", *failed.lines[1:]], failed.causes)
    return Verdict("right", [f"{name}: right." for name in exercise.functions])


def called(path, function, *arguments):
    """Call a student's function.  Failed with the line of the student's file if it raises"""
    try:
        return function(*arguments)
    except NotImplementedError:
        raise Failed(UNWRITTEN) from None
    except MemoryError as error:
        raise Failed(f"it asks for too much memory ({error or 'none left'})", at(error, path), ["memory"]) from None
    except Exception as error:
        said = f"it raises {type(error).__name__}: {error}"
        raise Failed(said, at(error, path), [said]) from None


def at(error, path):
    """The last line of the student's file on the way to an error."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return [f"    {path}:{own[-1].lineno}: {own[-1].line}"] if own else []


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
            raise
    require_dtype(run(narrowed(cases.random(layer)), dout=1))


class Run:
    """One case: what the student's pair makes of it, and what was asked of it."""

    def __init__(self, layer, forward, backward, case, dout, called):
        self.layer, self.case, self.called, self.backward = layer, case, called, backward
        self.out, _ = getattr(layers, f"{layer}_forward")(**case.arguments)
        returned = called(lambda: forward(**case.arguments))
        if not isinstance(returned, tuple) or len(returned) != 2 or not np.allclose(returned[0], self.out, equal_nan=True):
            raise Failed(f"{layer}_forward gives another output than the textbook's; leave its output as it was", (),
                         ["the forward was changed"])
        self.cache = returned[1]
        if dout is None:
            dout = np.random.default_rng(1).standard_normal(np.shape(self.out)) if np.ndim(self.out) else np.float64(1.7)
            dout = np.asfortranarray(dout) if np.ndim(dout) > 1 and not case.sizes else dout
        elif np.ndim(dout) == 0 and np.ndim(self.out):
            dout = np.ones_like(self.out)
        self.dout = dout
        self.known = None
        self.names = [n for n, v in case.arguments.items() if n != "weights" and getattr(v, "dtype", dout.dtype
                      if hasattr(dout, "dtype") else None) is not None and isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        self.found = {}

    def call(self, fill):
        """-> the gradients as they were returned, and what was added into g, which begins with random numbers"""
        if "p" not in self.case.arguments:
            return self.called(self.backward, self.dout, self.cache), {}
        rng = np.random.default_rng(fill)
        before = {n: rng.standard_normal(v.shape).astype(v.dtype) for n, v in self.case.arguments["p"].items()}
        g = {n: v.copy() for n, v in before.items()}
        returned = self.called(self.backward, self.dout, self.cache, g)
        if g.keys() != before.keys():
            raise Failed(f"g must keep the names {', '.join(before)}; now it has {', '.join(map(str, g))}", (),
                         ["g has other names"])
        for n in g:
            if np.shape(g[n]) != before[n].shape:
                raise Failed(f'g["{n}"] now has shape {np.shape(g[n])}, it must be {before[n].shape}: add a gradient of '
                             "that shape", (), [f"shape of {n}"])
        return returned, {n: (before[n], np.asarray(g[n])) for n in g}

    def knowledge(self):
        if self.known is None:
            self.known = knowledge(self.layer, self.case, self.dout)
        return self.known

    def require_contract(self):
        """Number, order, shapes, finite, and nothing written to but g."""
        guard = Guard({**self.case.arguments, "dout": self.dout, "the cache": self.cache})
        returned, into_g = self.call(1)
        known, names = self.knowledge(), self.names
        parts = as_parts(returned, names)
        named = ", ".join(shown(n) for n in names)
        for n, part in zip(names, parts):
            if not isinstance(part, (np.ndarray, np.floating)):
                raise Failed(f"{shown(n)} is a {type(part).__name__}; return an array", (), ["type"])
        parts = [np.array(part) for part in parts]            # copies: they may be dout itself
        order = [next((m for m in names if np.shape(part) == known[m].true.shape and
                       relative_error(known[m].true, part) < TOLERANCE), None) for part in parts]
        if None not in order and order != names and sorted(order) == sorted(names):
            said = f"the gradients are right, but in the order {', '.join(map(shown, order))}; return {named}"
            raise Failed(said, (), [said])
        for n, part in zip(names, parts):
            if np.shape(part) != known[n].true.shape:
                said = f"{shown(n)}: {shape_causes(part, known[n])[0]}"
                raise Failed(said, (), [said])
        added = {n: after - before for n, (before, after) in into_g.items()}
        for n, part in [*zip(map(shown, names), parts), *((f'g["{n}"]', part) for n, part in added.items())]:
            if not np.isfinite(part).all():
                said = f"{n} is not finite: a division by 0, an overflow, or the logarithm of a negative number"
                raise Failed(said, (), [said])
        if wrote := guard.changed():
            said = f"it writes to {', '.join(wrote)}, which others still need; write to a copy"
            raise Failed(said, (), [said])
        again, into_again = self.call(2)
        if not all(same(a, b) for a, b in zip(parts, as_parts(again, names))):
            raise Failed("called again with the same dout and cache, it returns other gradients", (), ["not the same twice"])
        for n, (before, after) in into_g.items():
            self.require_added(n, before, after, *into_again[n])
        self.found = dict(zip(names, parts)) | {f"p[{n}]": part for n, part in added.items()}

    def require_added(self, n, before, after, before_again, after_again):
        if np.allclose(after - before, after_again - before_again, rtol=1e-9, atol=1e-9):
            return
        said = (f'g["{n}"] is replaced; other uses have added to it before: add your gradient to what is there'
                if np.allclose(after, after_again, rtol=1e-9, atol=1e-9) else
                f'what comes into g["{n}"] depends on what was in it; add your gradient to it')
        raise Failed(said, (), [said])


def as_parts(returned, names):
    """The gradients that were returned, as many as there are names."""
    named = ", ".join(shown(n) for n in names)
    if not names:
        if returned is None:
            return []
        said = "it returns something, but there is no gradient to return: integers have none"
    elif len(names) == 1 and not isinstance(returned, (tuple, list)) and returned is not None:
        return [returned]
    elif isinstance(returned, tuple) and len(returned) == len(names) > 1:
        return list(returned)
    elif returned is None:
        said = f"it returns None; return {named}"
    elif isinstance(returned, list):
        said = f"it returns a list; return {named}, as in the last line of the textbook's functions: return a, b"
    else:
        count = len(returned) if isinstance(returned, tuple) else 1
        said = (f"{len(names)} gradient{'s are' if len(names) > 1 else ' is'} asked for, {named}, in this order; "
                f"{count} came back")
    raise Failed(said, (), [said])


def require_right(runs):
    """Failed unless all numbers of all runs are right, with the worst entry and its cause."""
    rows, found, wrong = [], [], set()
    first = runs[0]
    for n, known in first.knowledge().items():
        error = relative_error(known.true, first.found[n])
        if error < TOLERANCE:
            rows.append(f"    {shown(n)}  right, to {error:.0e}")
            continue
        wrong.add(n)
        said = causes(first.found[n], known)
        if n.startswith("p[") and said == ["it is zero everywhere"]:
            said = ["nothing was added to it"]
        rows.append(f"    {shown(n)}  WRONG {worst(first, n, known.true)}")
        rows += [f"        {sentence[0].upper()}{sentence[1:]}." for sentence in said or where(first.found[n], known)]
        found += [f"{shown(n)}: {sentence}" for sentence in said]
    for other in runs[1:]:
        numeric = numerical_gradients(getattr(layers, f"{other.layer}_forward"), other.case.arguments, other.dout)
        for n, dx in numeric.items():
            if relative_error(dx, other.found[n]) >= TOLERANCE:
                wrong.add(n)
                rows += [f"    {shown(n)} on paper's numbers, {other.layer} in its lesson:",
                         f"        yours      {listed(other.found[n])}", f"        numerical  {listed(dx)}"]
    if wrong:
        raise Failed("the gradient is wrong" if len(wrong) == 1 else "the gradients are wrong", rows, found)


def worst(run, n, true):
    """Where the difference is largest, with the numerical gradient there."""
    got = run.found[n]
    index = np.unravel_index(np.abs(got - true).argmax(), true.shape)
    bad = int((np.abs(got - true) > TOLERANCE * np.abs(true).max()).sum())
    x = run.case.arguments["p"][n[2:-1]] if n.startswith("p[") else run.case.arguments[n]
    forward = getattr(layers, f"{run.layer}_forward")
    slope = numerical_gradient(lambda: float((forward(**run.case.arguments)[0] * run.dout).sum()), x, [index])[0]
    where = f"{shown(n)}[{', '.join(map(str, map(int, index)))}]"
    return f"in {bad} of {true.size} entries; the worst, {where}: yours {got[index]:+.6g}, numerical {slope:+.6g}"


def listed(x):
    return str(np.round(np.squeeze(x), 4).tolist()) if x.size <= 24 else f"{x.size} numbers"


def narrowed(case):
    """The case in float32."""
    def narrow(value):
        if isinstance(value, dict):
            return {n: narrow(entry) for n, entry in value.items()}
        return value.astype(np.float32) if getattr(value, "dtype", None) == np.float64 else value
    return case._replace(arguments=narrow(case.arguments))


def require_dtype(run):
    if np.ndim(run.out) == 0:
        run.dout = 1.0                                       # as training calls it
    returned, into_g = run.call(1)
    for n, part in [*zip(map(shown, run.names), as_parts(returned, run.names)),
                    *((f'g["{n}"]', after) for n, (_, after) in into_g.items())]:
        if part.dtype != np.float32:
            said = (f"right in float64; with float32 arrays {n} comes back as {part.dtype}. Training needs the same type: "
                    "a float64 array made inside widens all it meets")
            raise Failed(said, (), [said])
