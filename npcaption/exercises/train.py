"""The last exercise: train the shapes preset with the student's own functions, and compare with the textbook."""
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
NOT_USED = "numerical_gradient", "advantages"                # the shapes preset does not call them


def own_functions(folder):
    """-> {name: function} of the right exercises, their modules, and the names of started exercises that are not right

    Forwards are included, as the student may have changed a cache.
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
    """A student's file that has passed its check, imported as a module."""
    spec = importlib.util.spec_from_file_location(f"mine_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def in_place(functions, own):
    """Replace the textbook's functions by name, in all modules of layers, in the wiring, and in `own`.

    Attributes of modules are set, not code objects, so that each function keeps its own imports. They are restored.
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
        raise ConfigError(f"No exercise in {folder} is right yet, so there is nothing to train with. Solve one first: "
                          "the command without arguments lists all.")
    if not_right:
        say(f"Not right yet, so the textbook's functions are used: {', '.join(not_right)}.")
    settings = configs.override(configs.preset("shapes"), engine="numpy", epochs=epochs, scenes=scenes)
    say(f"Training with {len(names)} of your backward passes.\n")
    with in_place(functions, own) as calls:
        loop.train(settings, out / "yours", say=say)
    say("\nTraining with the textbook's functions, for comparison.\n")
    loop.train(settings, out / "textbook", say=lambda line: line.startswith("epoch") and say(line))
    say(f"\n{compared(out)}\n\n{whose(names, calls)}")


def whose(names, calls):
    """Sentences on the student's functions in the training."""
    used = [f"{name} ({calls[name]:,} calls)" for name in names if calls[name]]
    idle = [name for name in names if not calls[name]]
    return (f"Your functions: {', '.join(used) or 'none'}.\n"
            + f"Your functions that this model does not use: {', '.join(idle)}.\n" * bool(idle)
            + "All other functions were the textbook's.")


def compared(out):
    """The table of both training logs."""
    rows = {name: rows_of(out / name / "log.csv") for name in ("yours", "textbook")}
    lines = ["{:<20}{:>14}{:>8}{:>20}{:>8}".format("nats per token", "yours: train", "val", "textbook: train", "val")]
    for own, other in zip(rows["yours"], rows["textbook"]):
        losses = [float(row[split]) for row in (own, other) for split in ("train", "val")]
        lines.append("epoch {:>3}{:>25.4f}{:>8.4f}{:>20.4f}{:>8.4f}".format(own["epoch"], *losses))
    return "\n".join(lines)


def rows_of(path: Path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
