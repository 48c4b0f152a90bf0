"""What a user can cause. Each carries one sentence: what was found, where, and what to do about it."""
import difflib
import os
import re
import sys
from contextlib import suppress


class NpcaptionError(Exception):
    """The command line prints it and exits with status 2, without a traceback."""


class DataError(NpcaptionError):
    """Images, captions or splits that cannot be used."""


class ConfigError(NpcaptionError):
    """Settings that cannot be used, alone or together."""


class CheckpointError(NpcaptionError):
    """A checkpoint that cannot be read or written, or that does not fit."""


class TrainingError(NpcaptionError):
    """Numbers that went bad in training."""


class Stopped(NpcaptionError):
    """Training was asked to stop by a signal, and has saved what it had."""

    def __init__(self, sentence, signal):
        super().__init__(sentence)
        self.status = 128 + signal                           # as a shell has it


def printable(text):
    r"""Text as it may stand in a sentence: what cannot be seen as \x1b and the like."""
    text = str(text)
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def why(error):
    """What an OSError says, in words: not all of them have a number, and only those with one have its text."""
    return printable(getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__)


def arguments(parser):
    """The command line's arguments by an ArgumentParser; of a flag that it doesn't know it suggests the nearest."""
    options, unknown = parser.parse_known_args()
    if unknown:
        known = re.findall(r"--[\w-]+", parser.format_usage())
        near = difflib.get_close_matches(unknown[0].split("=")[0], known, 1)
        raise ConfigError(f"There is no flag or place for '{unknown[0]}'" + (f"; did you mean {near[0]}?" if near else ".")
                          + " --help lists all.")
    return options


def command(main):
    """Run a command's main function as a person expects it: a sentence for what they caused, 130 for Ctrl-C."""
    sys.stdout = sys.stdout or open(os.devnull, "w")         # closed by whoever called
    sys.stdout.reconfigure(errors="backslashreplace")        # a caption may hold what the terminal cannot show
    try:
        status = main()
        sys.stdout.flush()
    except NpcaptionError as error:
        print(error, file=sys.stderr)
        status = getattr(error, "status", 2)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        status = 130
    except BrokenPipeError:                                  # whoever read the output has seen enough: `| head`
        status = 141
    except MemoryError as error:
        print(f"Not enough memory ({str(error).rstrip('.') or 'none left'}). Choose a smaller model, image or batch.",
              file=sys.stderr)
        status = 2
    except OSError as error:                                 # such as a full disk behind the output
        print(f"{error.filename or 'The output'}: {why(error)}.", file=sys.stderr)
        status = 2
    with suppress(OSError):
        sys.stdout.flush()
        sys.exit(status)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try once more, and complain
    sys.exit(status)
