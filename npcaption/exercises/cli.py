"""Write the model's gradients yourself, and get a diagnosis of every mistake.

    npcaption exercises                  list the exercises: right, started, next
    npcaption exercises start [NAME]     write a file to fill in, mine/NAME.py
    npcaption exercises check [NAME]     check it; without NAME all started exercises
    npcaption exercises hint NAME [N]    hint 1, 2 or 3
    npcaption exercises hunt             find the mistake in a wrong backward pass
    npcaption exercises train            train a small model with your own functions

Each action has --help. Only your files are stored.
"""
import sys
import time
from itertools import chain, count
from pathlib import Path

from ..errors import ConfigError, DataError, why
from ..support.command import arguments, as_called, parser_of, quoted, sibling
from ..support.flags import add_option, filename
from ..support.settings import Range, suggestion
from . import table
from .catalogue import exercise_of, lesson_of
from .check import check, stamp, watch
from .hints import HINTS
from .stub import stub

FOLDER = "mine"


def main(words=None):
    words = sys.argv[1:] if words is None else words
    if words and not words[0].startswith("-"):
        action, *rest = words
        if action not in ACTIONS:
            raise ConfigError(f"Unknown action '{action}'{suggestion(action, ACTIONS)} Actions: {', '.join(ACTIONS)}.")
        return ACTIONS[action](rest)
    parser = parser_of("exercises", __doc__)
    folder_flag(parser)
    return table.show(Path(arguments(parser, words).dir), command_to)


def parser_for(action, about):
    parser = parser_of("exercises", about)
    parser.prog += f" {action}"
    folder_flag(parser)
    return parser


def folder_flag(parser):
    parser.add_argument("--dir", type=filename, metavar="DIR", default=FOLDER,
                        help=f"folder with your files (default: {FOLDER})")


def command_to(*words):
    """The command line of another action, in the form in which this process was called."""
    return quoted([*(sibling("exercises") if as_called()[0] else ["npcaption", "exercises"]), *words])


def start(words):
    parser = parser_for("start", "Write the file of an exercise, to be filled in. Existing files are never changed.")
    parser.add_argument("name", nargs="?", help="exercise (default: the first without a file)")
    options = arguments(parser, words)
    folder = Path(options.dir)
    exercise = exercise_of(options.name) if options.name else table.next_of(folder)
    path = folder / f"{exercise.name}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(stub(exercise))
    except FileExistsError:
        raise ConfigError(f"{path} already exists. Rename it to start over.") from None
    except OSError as error:
        raise DataError(f"{path} could not be written ({why(error)}). Choose another folder with --dir.") from error
    print(f"Wrote {path}: {', '.join(exercise.functions)}. About {exercise.minutes} minutes.\n"
          f"Read     {lesson_of(exercise)}\nThen     {command_to('check', exercise.name)}")


def check_files(words):
    parser = parser_for("check", "Check an exercise, and report its first mistake.")
    parser.add_argument("name", nargs="?", help="exercise (default: all started exercises)")
    parser.add_argument("--watch", action="store_true", help="check again whenever a file is saved, until Ctrl-C")
    options = arguments(parser, words)
    folder = Path(options.dir)
    chosen = [exercise_of(options.name)] if options.name else table.started(folder)
    paths = {folder / f"{exercise.name}.py": exercise for exercise in chosen}
    for path, exercise in paths.items():
        if not path.is_file():
            raise ConfigError(f"There is no {path}. Write it with: {command_to('start', exercise.name)}")
    if not chosen:
        raise ConfigError(f"There is no started exercise in {folder}. Begin with: {command_to('start')}")
    seen = {path: stamp(path) for path in paths}
    right = [report(exercise, path, check_timed(exercise, path), bool(options.name))
             for path, exercise in paths.items()]
    if options.watch:
        print("\nWatching. Press Ctrl-C to stop.")
        watch(seen, lambda path: report(paths[path], path, check_timed(paths[path], path), True))
    return 0 if all(right) else 1


def check_timed(exercise, path):
    start = time.perf_counter()
    outcome = check(exercise, path)
    return outcome, time.perf_counter() - start


def report(exercise, path, timed, compare):
    """Print an outcome; True if it is right."""
    outcome, seconds = timed
    if outcome.printed:
        print(f"The file printed:\n{''.join(f'    | {line}' + chr(10) for line in outcome.printed)}")
    print("\n".join(outcome.lines) + f"    ({seconds:.2f} s)" * (outcome.state == "right"))
    if outcome.state == "right":
        if outcome.slow:
            print(outcome.slow)
        if compare:
            print(f"\nFor comparison, the textbook's version, {shortest(exercise.path)}:\n\n"
                  f"{table.textbook(exercise)}")
    elif outcome.state == "wrong":
        print(f"Read {lesson_of(exercise)}. For a hint: {command_to('hint', exercise.name)}")
    return outcome.state == "right"


def shortest(path):
    """A path, relative to the current folder if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def hint(words):
    parser = parser_for("hint", "Print one of three hints: a question, the term or axis, the step before the answer.")
    parser.add_argument("name", help="exercise")
    parser.add_argument("number", nargs="?", default="1", help="1, 2 or 3 (default: 1)")
    options = arguments(parser, words)
    exercise = exercise_of(options.name)
    if options.number not in ("1", "2", "3"):
        raise ConfigError(f"There is no hint '{options.number}'. Choose 1, 2 or 3.")
    n = int(options.number)
    print(f"Hint {n} of 3. {HINTS[exercise.name][n - 1]}")
    if n < 3:
        print(f"Next hint: {command_to('hint', exercise.name, str(n + 1))}")


def hunt(words):
    from . import hunt as hunting
    parser = parser_for("hunt", "Find the wrong line of a backward pass: pass its number, or fix a file and check it.")
    parser.add_argument("--layer", metavar="NAME", help="file of the textbook (default: any)")
    add_option(parser, "seed", int, "number of the puzzle (default: a new one)", Range(0))
    add_option(parser, "line", int, "your answer: number of the wrong line", Range(1))
    parser.add_argument("--repair", action="store_true", help="write the wrong backward to a file, to be fixed")
    parser.add_argument("--check", action="store_true", help="check the fixed file")
    options = arguments(parser, words)
    if options.seed is None and (options.line or options.check):
        raise ConfigError("--line and --check need a puzzle. Pass its --seed, and its --layer if you chose one.")
    seed = time.time_ns() % 100_000 if options.seed is None else options.seed
    puzzle = hunting.Puzzle(options.layer, seed)
    path = Path(options.dir) / f"hunt_{puzzle.layer}_{seed}.py"
    same = ["hunt", *(["--layer", options.layer] if options.layer else []), "--seed", str(seed)]
    if options.line:
        found, sentence = puzzle.verdict(options.line)
        print(sentence)
        return 0 if found else 1
    if options.check:
        if not path.is_file():
            raise ConfigError(f"There is no {path}. Write it with: {command_to(*same, '--repair')}")
        return 0 if report(puzzle.exercise, path, check_timed(puzzle.exercise, path), False) else 1
    if options.repair:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "x", encoding="utf-8") as file:
                file.write(puzzle.file())
        except FileExistsError:
            raise ConfigError(f"{path} already exists. Check it, or choose another "
                              "--seed.") from None
        except OSError as error:
            raise DataError(f"{path} could not be written ({why(error)}). Choose another folder with --dir.") from error
        print(f"Wrote {path}. Fix it, then: {command_to(*same, '--check')}")
        return 0
    print(f"One line is wrong (puzzle {seed}, {puzzle.layer}.py):\n\n{puzzle.text()}\n")
    print(f"Your answer     {command_to(*same, '--line', 'N')}\nOr fix it       {command_to(*same, '--repair')}")
    return 0


def train(words):
    from . import train as training
    parser = parser_for("train", "Train on generated scenes with your right functions, then with the textbook's.")
    add_option(parser, "epochs", int, "passes over the scenes", Range(1), default=training.EPOCHS)
    add_option(parser, "scenes", int, "number of scenes to generate", Range(100), default=20000)
    parser.add_argument("--out", type=filename, metavar="DIR",
                        help="run directory (default: a new one, such as mine/train)")
    options = arguments(parser, words)
    folder = Path(options.dir)
    out = Path(options.out or unused(folder / "train"))
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty. Choose another folder with --out.")
    training.train(folder, out, options.epochs, options.scenes)


def unused(folder):
    """The folder, or folder-2, folder-3 and so on: the first that does not exist."""
    names = (folder.with_name(f"{folder.name}-{n}") for n in count(2))
    return next(path for path in chain([folder], names) if not path.exists())


ACTIONS = {"start": start, "check": check_files, "hint": hint, "hunt": hunt, "train": train}
