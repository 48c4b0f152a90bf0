"""The last exercise: the shapes preset is trained with the student's own functions, beside the textbook's curve."""
import csv
import importlib.util
import sys
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
NOT_USED = ("numerical_gradient",)                           # training has no use for it


def own_functions(folder):
    """-> {name: function} of every exercise in the folder that is right, and the names of those begun but not right

    Forwards too, as a cache may be the student's own.
    """
    found, not_right = {}, []
    for exercise in EXERCISES.values():
        path = folder / f"{exercise.name}.py"
        if exercise.name in NOT_USED or not path.is_file():
            continue
        if check(exercise, path).state != "right":
            not_right.append(exercise.name)
            continue
        module = loaded(path)
        for name in exercise.functions:
            pair = [name, name.replace("_backward", "_forward")]
            found |= {each: getattr(module, each) for each in pair if hasattr(module, each)}
    return found, not_right


def loaded(path):
    """A student's file that has passed its check, as a module of this process."""
    spec = importlib.util.spec_from_file_location(f"mine_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def in_place(functions):
    """The functions wherever the package calls the textbook's of that name, in all modules of layers and the wiring.

    Attributes of modules, not code objects, so that each function keeps its own imports. They are put back. -> how many
    """
    modules = [module for name, module in sys.modules.items() if name.split(".")[:2] == ["npcaption", "layers"]]
    kept = []
    for name, function in functions.items():
        textbook = getattr(layers, name, None) or getattr(wiring, name)
        kept += [(module, name, textbook) for module in [*modules, wiring] if vars(module).get(name) is textbook]
    try:
        for module, name, _ in kept:
            setattr(module, name, functions[name])
        yield len(kept)
    finally:
        for module, name, textbook in kept:
            setattr(module, name, textbook)


def train(folder, out, epochs, scenes, say=print):
    """Train with the functions of the folder's files, and with the textbook's, and print both curves."""
    functions, not_right = own_functions(folder)
    names = sorted(name for name in functions if name.endswith("_backward"))
    if not names:
        raise ConfigError(f"No exercise in {folder} is right yet, so there is nothing to train with. "
                          "Without arguments the command lists all.")
    if not_right:
        say(f"Not right yet, so the textbook's are taken: {', '.join(not_right)}.")
    settings = configs.override(configs.preset("shapes"), engine="numpy", epochs=epochs, scenes=scenes)
    with in_place(functions) as places:
        say(f"Yours, in {places} places: {', '.join(names)}.\n")
        loop.train(settings, out / "yours", say=say)
    say("\nNow the textbook's, for comparison.\n")
    loop.train(settings, out / "textbook", say=lambda line: line.startswith("epoch") and say(line))
    say("\n" + compared(out) + f"\nYours were {len(names)} backward passes: {', '.join(names)}.")


def compared(out):
    """The table of both logs."""
    rows = {name: rows_of(out / name / "log.csv") for name in ("yours", "textbook")}
    lines = ["loss, nats a token     yours: train     val     textbook's: train     val"]
    for own, other in zip(rows["yours"], rows["textbook"]):
        lines.append(f"epoch {own['epoch']:>3}{'':>15}{float(own['train']):>10.4f}{float(own['val']):>9.4f}"
                     f"{float(other['train']):>20.4f}{float(other['val']):>8.4f}")
    return "\n".join(lines)


def rows_of(path: Path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
