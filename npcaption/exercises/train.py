"""The last exercise: the shapes preset is trained with the student's own functions, beside the textbook's curve."""
import csv
import importlib.util
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from .. import config as configs
from .. import layers
from ..errors import ConfigError
from ..model import wiring
from ..training import loop
from .catalogue import EXERCISES
from .check import check

EPOCHS = 3
NOT_USED = "numerical_gradient", "advantages"                # the shapes are learnt without them


def own_functions(folder):
    """-> {name: function} of the exercises that are right, their modules, and the names of those begun but not right

    Forwards too, as a cache may be the student's own.
    """
    found, own, not_right = {}, [], []
    for exercise in EXERCISES.values():
        path = folder / f"{exercise.name}.py"
        if exercise.name in NOT_USED or not path.is_file():
            continue
        if check(exercise, path).state != "right":
            not_right.append(exercise.name)
            continue
        own.append(loaded(path))
        for name in exercise.functions:
            pair = [name, name.replace("_backward", "_forward")]
            found |= {each: getattr(own[-1], each) for each in pair if hasattr(own[-1], each)}
    return found, own, not_right


def loaded(path):
    """A student's file that has passed its check, as a module of this process."""
    spec = importlib.util.spec_from_file_location(f"mine_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def in_place(functions, own):
    """The functions wherever the textbook's of that name are called: in all modules of layers, the wiring, and `own`.

    Attributes of modules are set, not code objects, so that each function keeps its own imports; they are put back.
    -> a Counter of the calls
    """
    modules = [module for name, module in sys.modules.items() if name.split(".")[:2] == ["npcaption", "layers"]]
    calls, kept = Counter(), []

    def counted(name, function):
        def call(*given, **named):
            calls[name] += 1
            return function(*given, **named)
        return call

    for name in functions:
        textbook = getattr(layers, name, None) or getattr(wiring, name)
        kept += [(module, name, found) for module in [*modules, wiring, *own]
                 if (found := vars(module).get(name)) in (textbook, functions[name]) and found]
    try:
        for module, name, _ in kept:
            setattr(module, name, counted(name, functions[name]))
        yield calls
    finally:
        for module, name, found in kept:
            setattr(module, name, found)


def train(folder, out, epochs, scenes, say=print):
    """Train with the functions of the folder's files, and with the textbook's, and print both curves."""
    functions, own, not_right = own_functions(folder)
    names = sorted(name for name in functions if name.endswith("_backward"))
    if not names:
        raise ConfigError(f"No exercise in {folder} is right yet, so there is nothing to train with. "
                          "Without arguments the command lists all.")
    if not_right:
        say(f"Not right yet, so the textbook's are taken: {', '.join(not_right)}.")
    settings = configs.override(configs.preset("shapes"), engine="numpy", epochs=epochs, scenes=scenes)
    say(f"Training with {len(names)} backward passes of yours.\n")
    with in_place(functions, own) as calls:
        loop.train(settings, out / "yours", say=say)
    say("\nNow with the textbook's, for comparison.\n")
    loop.train(settings, out / "textbook", say=lambda line: line.startswith("epoch") and say(line))
    say(f"\n{compared(out)}\n\n{whose(names, calls)}")


def whose(names, calls):
    """Sentences on the functions that were the student's."""
    used = [f"{name} ({calls[name]:,} calls)" for name in names if calls[name]]
    idle = [name for name in names if not calls[name]]
    return (f"Yours were: {', '.join(used) or 'none'}.\n"
            + f"Yours, but not used by this model: {', '.join(idle)}.\n" * bool(idle)
            + "All others were the textbook's.")


def compared(out):
    """The table of both logs."""
    rows = {name: rows_of(out / name / "log.csv") for name in ("yours", "textbook")}
    lines = ["{:<20}{:>14}{:>8}{:>20}{:>8}".format("nats a token", "yours: train", "val", "textbook: train", "val")]
    for own, other in zip(rows["yours"], rows["textbook"]):
        losses = [float(row[split]) for row in (own, other) for split in ("train", "val")]
        lines.append("epoch {:>3}{:>25.4f}{:>8.4f}{:>20.4f}{:>8.4f}".format(own["epoch"], *losses))
    return "\n".join(lines)


def rows_of(path: Path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
