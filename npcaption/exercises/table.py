"""The table of the exercises, computed from the student's files alone."""
import ast
from concurrent.futures import ThreadPoolExecutor

from ..errors import ConfigError
from ..support.cores import usable_cores
from .catalogue import EXERCISES, LAST
from .check import check

MARKS = {"right": "✓", "wrong": "·", "unwritten": "·", "": " "}


def path_of(folder, exercise):
    return folder / f"{exercise.name}.py"


def started(folder):
    return [exercise for exercise in EXERCISES.values() if path_of(folder, exercise).is_file()]


def next_of(folder):
    """The first exercise without a file.  ConfigError if all have one"""
    for exercise in EXERCISES.values():
        if not path_of(folder, exercise).exists():
            return exercise
    raise ConfigError(f"All exercises in {folder} are started. Pass the name of one, or continue with: train.")


def show(folder, command_to):
    """Print a row for each exercise: ✓ right, · started, minutes, functions to write."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        checks = {exercise.name: pool.submit(check, exercise, path_of(folder, exercise))
                  for exercise in started(folder)}
        print(f"{'':<3}{'exercise':<22}{'minutes':>8}  {'lesson':<8}to write")
        states = {}
        for exercise in EXERCISES.values():
            state = states[exercise.name] = checks[exercise.name].result().state if exercise.name in checks else ""
            print(f"{MARKS[state]:<3}{exercise.name:<22}{exercise.minutes:>8}  {exercise.lesson:<8}"
                  + ", ".join(exercise.functions))
    print(f"{'':<3}{LAST:<22}{10:>8}  {'13':<8}a model, with your own functions")
    right = sum(state == "right" for state in states.values())
    print(f"\n{right} of {len(EXERCISES)} right (✓), {sum(map(bool, states.values())) - right} started (·).")
    print(f"Next: {next_step(states, command_to)}")


def next_step(states, command_to):
    for name, state in states.items():
        if state != "right":
            return command_to("check" if state else "start", name)
    return command_to(LAST)


def textbook(exercise):
    """Source of the textbook's functions, with their docstrings."""
    text = exercise.path.read_text(encoding="utf-8")
    return "\n\n".join("\n".join(text.splitlines()[node.lineno - 1:node.end_lineno]) for node in ast.parse(text).body
                       if isinstance(node, ast.FunctionDef) and node.name in exercise.functions)
