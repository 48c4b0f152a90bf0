"""The child process of a check: it loads and examines the student's file, and writes the verdict to a file.

    python -m npcaption.exercises.inside EXERCISE FILE FOUND SECONDS

The child isolates the check from an endless loop, an exit of Python, and too much memory.
"""
import ast
import faulthandler
import json
import sys
import time
from pathlib import Path

import numpy as np

from .. import layers
from . import cases
from .catalogue import EXERCISES
from .examine import Verdict, examine
from .run import Failed, at, called

MEMORY = 4 << 30                # bytes of address space
LARGE = 97                      # sequences of the batch for the timing
SLOW = 4                        # times the textbook's time
NOTICED = 5e-4                  # seconds; a shorter time is not reported


def main(name, path, found, seconds):
    limit_memory()
    with open(f"{found}.where", "w") as where:
        faulthandler.dump_traceback_later(float(seconds), file=where, exit=True)
        exercise = EXERCISES[name]
        verdict, offered = Verdict("wrong", []), {}
        try:
            offered = load(path)
            verdict = examine(exercise, offered, path)
        except Failed as failed:
            verdict = Verdict("wrong", failed.lines, failed.causes)
        except (SystemExit, KeyboardInterrupt) as end:
            verdict = Verdict("wrong", [f"The file ends Python ({type(end).__name__}). Remove the call that does it.",
                                        *at(end, path)])
        except Exception as error:
            verdict = Verdict("wrong", [f"The check cannot judge the file: {type(error).__name__}: {error}."])
        slow = slower(exercise, offered, path) if verdict.state == "right" else ""
        sys.stdout.flush()
        Path(found).write_text(json.dumps({"state": verdict.state, "lines": verdict.lines, "slow": slow}))
        faulthandler.cancel_dump_traceback_later()


def limit_memory():
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):               # Windows, macOS
        pass


def load(path):
    """The names of the student's file.  Failed if Python cannot parse it, or if it raises"""
    try:
        code = compile(Path(path).read_bytes(), path, "exec")
    except SyntaxError as error:
        line = [f"    {(error.text or '').strip()}"] * bool(error.text)
        raise Failed(f"{path}:{error.lineno or 1}: Python cannot read this line: {error.msg}.", line) from None
    except (ValueError, RecursionError, MemoryError, OSError) as error:
        raise Failed(f"{path}: Python cannot read the file: {error}.") from None
    sys.path.append(str(Path(path).parent))
    names = {"__name__": Path(path).stem, "__file__": path}
    try:
        called(path, exec, code, names)
    except Failed as failed:
        failed.lines[0] = f"While loading the file, {failed.lines[0]}."
        raise
    return names


def slower(exercise, offered, path):
    """A sentence if a right function takes far longer than the textbook's on a larger batch."""
    for name in exercise.functions:
        layer = name.removesuffix("_backward")
        own = getattr(layers, name, None)
        if own is None:                                      # not a pair
            continue
        case = cases.random(layer, LARGE)
        forward = offered.get(f"{layer}_forward") or getattr(layers, f"{layer}_forward")
        own_time, time_ = (seconds_of(f, b, case) for f, b in (
            (getattr(layers, f"{layer}_forward"), own), (forward, offered[name])))
        if time_ > SLOW * own_time and time_ > NOTICED:
            why = ": there is a loop over the batch" if loops(path, name) else ""
            return (f"{name} takes {time_ / own_time:.0f} times as long as the textbook's ({1e3 * time_:.1f} against "
                    f"{1e3 * own_time:.1f} ms on a batch of {LARGE}){why}.")
    return ""


def seconds_of(forward, backward, case):
    """The shortest of three calls."""
    out, cache = forward(**case.arguments)
    dout = np.ones_like(out) if np.ndim(out) else 1.0
    g = [{name: np.zeros_like(value) for name, value in case.arguments["p"].items()}] if "p" in case.arguments else []
    found = []
    for _ in range(3):
        start = time.perf_counter()
        backward(dout, cache, *g)
        found.append(time.perf_counter() - start)
    return min(found)


def loops(path, name):
    """Whether a function of the file has a loop."""
    tree = ast.parse(Path(path).read_bytes())
    return any(isinstance(step, (ast.For, ast.While, ast.comprehension))
               for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name
               for step in ast.walk(node))


if __name__ == "__main__":
    main(*sys.argv[1:])
