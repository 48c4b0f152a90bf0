"""One run of a check: the student's pair in one case, with the contract of a pair."""
import bdb
import re
import traceback

import numpy as np

from .. import layers
from ..gradcheck.numeric import TOLERANCE, relative_error
from .guard import Guard, same
from .knowledge import knowledge, shown
from .shapes import shape_causes
from .stub import UNWRITTEN
from .ways import differentiable


class Failed(Exception):
    """A failed stage, with the lines of its report."""

    def __init__(self, first, rows=(), causes=()):
        super().__init__(first)
        self.lines, self.causes = [first, *rows], list(causes)


def called(path, function, *arguments):
    """Call a student's function.  Failed with the line of the student's file if it raises"""
    try:
        return function(*arguments)
    except NotImplementedError:
        raise Failed(UNWRITTEN) from None
    except MemoryError as error:
        raise Failed(f"it needs too much memory ({error or 'none left'})", at(error, path), ["memory"]) from None
    except bdb.BdbQuit as error:
        message = "it stops at a breakpoint, but a check has no input. Print the value instead"
        raise Failed(message, at(error, path), [message]) from None
    except Exception as error:
        message = f"it raises {type(error).__name__}: {error}"
        raise Failed(message, at(error, path), [message]) from None


def at(error, path):
    """The last line of the student's file in the traceback of an error."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return [f"    {path}:{own[-1].lineno}: {own[-1].line}"] if own else []


class Run:
    """The student's pair in one case: arguments, dout, and gradients."""

    def __init__(self, layer, forward, backward, case, dout, called):
        """dout: None for random numbers, or a number for every entry"""
        self.layer, self.case, self.called, self.backward = layer, case, called, backward
        self.out, _ = getattr(layers, f"{layer}_forward")(**case.arguments)
        returned = called(lambda: forward(**case.arguments))
        if not (isinstance(returned, tuple) and len(returned) == 2
                and np.shape(returned[0]) == np.shape(self.out)
                and np.allclose(returned[0], self.out, equal_nan=True)):
            message = f"{layer}_forward gives a different output from the textbook's; restore its output"
            raise Failed(message, (), [message])
        self.cache = returned[1]
        self.dout = self.random_dout() if dout is None else dout
        if np.ndim(self.out) and np.ndim(self.dout) == 0:
            self.dout = np.full_like(self.out, dout)
        self.names = differentiable(case.arguments)
        self.known, self.found = None, {}

    def random_dout(self):
        if np.ndim(self.out) == 0:
            return np.float64(1.7)
        dout = np.random.default_rng(1).standard_normal(self.out.shape)
        return dout if self.case.sizes else np.asfortranarray(dout)  # not contiguous in the traps

    def call(self, fill):
        """-> the returned gradients, and the gradients added into g, which starts with random numbers"""
        if "p" not in self.case.arguments:
            return self.call_backward(self.dout, self.cache), {}
        rng = np.random.default_rng(fill)
        before = {n: rng.standard_normal(v.shape).astype(v.dtype) for n, v in self.case.arguments["p"].items()}
        g = {n: v.copy() for n, v in before.items()}
        returned = self.call_backward(self.dout, self.cache, g)
        if g.keys() != before.keys():
            message = f"g must keep the names {', '.join(before)}; it now has {', '.join(map(str, g)) or 'none'}"
            raise Failed(message, (), [message])
        for n in g:
            if np.shape(g[n]) != before[n].shape:
                message = (f'g["{n}"] now has shape {np.shape(g[n])}; it must be {before[n].shape}. '
                        f'Add a gradient of that shape')
                raise Failed(message, (), [message])
        return returned, {n: (before[n], np.asarray(g[n])) for n in g}

    def call_backward(self, *given):
        """Call the student's backward.  Failed, with the shapes, if it raises"""
        try:
            return self.called(self.backward, *given)
        except Failed as failed:
            if " raises " in failed.lines[0]:
                turned = re.search(r"\.T\b|\.transpose\(\)", failed.lines[-1])
                failed.lines += self.shapes()
                if turned and any(np.ndim(array) > 2 for array in self.arrays().values()):
                    failed.lines.append("    .T reverses all axes, including the batch axis. For the last two axes use "
                                        "swapaxes(-1, -2).")
            raise

    def arrays(self):
        found = {**self.case.arguments, "dout": self.dout}
        return {n: value for n, value in found.items() if isinstance(value, np.ndarray)}

    def shapes(self):
        shapes = [f"{n} {value.shape}" for n, value in self.arrays().items()]
        return [f"    Shapes here: {', '.join(shapes)}"]

    def knowledge(self):
        if self.known is None:
            self.known = knowledge(self.layer, self.case, self.dout)
        return self.known

    def require_contract(self):
        """Check number, order, shapes and types of the gradients, and that only g is written to."""
        guard = Guard({**self.case.arguments, "dout": self.dout, "the cache": self.cache})
        returned, into_g = self.call(1)
        known, names = self.knowledge(), self.names
        parts = as_parts(returned, names)
        named = ", ".join(shown(n) for n in names)
        for n, part in zip(names, parts):
            if not isinstance(part, (np.ndarray, np.floating)):
                message = f"{shown(n)} is a {type(part).__name__}; return an array"
                raise Failed(message, (), [message])
        parts = [np.array(part) for part in parts]            # copies: a gradient may be dout itself
        order = [next((m for m in names if np.shape(part) == known[m].true.shape and
                       relative_error(known[m].true, part) < TOLERANCE), None) for part in parts]
        if None not in order and order != names and sorted(order) == sorted(names):
            message = f"the gradients are right, but in the order {', '.join(map(shown, order))}; return {named}"
            raise Failed(message, (), [message])
        for n, part in zip(names, parts):
            if np.shape(part) != known[n].true.shape:
                message = f"{shown(n)}: {shape_causes(part, known[n])[0]}"
                raise Failed(message, (), [message])
        added = {n: after - before for n, (before, after) in into_g.items()}
        for n, part in [*zip(map(shown, names), parts), *((f'g["{n}"]', part) for n, part in added.items())]:
            if part.dtype.kind != "f":
                message = f"{n} has type {part.dtype}; it must be {np.asarray(self.dout).dtype}"
                raise Failed(message, (), [message])
            if not np.isfinite(part).all():
                message = f"{n} is not finite: a division by 0, an overflow, or the logarithm of a negative number"
                raise Failed(message, (), [message])
        if wrote := guard.changed():
            message = f"it writes to {', '.join(wrote)}; other functions still need the values. Write to a copy"
            raise Failed(message, (), [message])
        again, into_again = self.call(2)
        if not all(same(a, b) for a, b in zip(parts, as_parts(again, names))):
            message = "called again with the same dout and cache, it returns different gradients"
            raise Failed(message, (), [message])
        for n, (before, after) in into_g.items():
            self.require_added(n, before, after, *into_again[n])
        self.found = dict(zip(names, parts)) | {f"p[{n}]": part for n, part in added.items()}

    def require_added(self, n, before, after, before_again, after_again):
        if np.allclose(after - before, after_again - before_again, rtol=1e-9, atol=1e-9):
            return
        message = (f'g["{n}"] is replaced, but other uses have added to it before; add your gradient to it'
                if np.allclose(after, after_again, rtol=1e-9, atol=1e-9) else
                f'the gradient added into g["{n}"] depends on the previous value of g; add your gradient to it')
        raise Failed(message, (), [message])


def as_parts(returned, names):
    """The returned gradients as a tuple.  Failed unless there is one for each name"""
    named = ", ".join(shown(n) for n in names)
    if not names:
        if returned is None:
            return []
        message = "it returns a value, but there is no gradient to return: integers have none"
    elif len(names) == 1 and not isinstance(returned, (tuple, list)) and returned is not None:
        return [returned]
    elif isinstance(returned, tuple) and len(returned) == len(names) > 1:
        return list(returned)
    elif returned is None:
        message = f"it returns None; return {named}"
    elif isinstance(returned, list):
        message = f"it returns a list; return {named} without brackets"
    else:
        count = len(returned) if isinstance(returned, tuple) else 1
        expected = f"{len(names)} gradients, {named}, in this order" if len(names) > 1 else f"one gradient, {named}"
        message = f"it must return {expected}; it returned {count}"
        if isinstance(returned, tuple) and any(isinstance(part, tuple) for part in returned):
            message += ". One of them is a tuple: a forward returns (out, cache), and the backward needs only out"
    raise Failed(message, (), [message])
