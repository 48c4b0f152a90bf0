"""The command-line harness: arguments, standard streams, errors and exit statuses."""
import argparse
import atexit
import builtins
import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import suppress

from ..errors import ConfigError, NpcaptionError, printable, why
from . import background
from .settings import suggestion

CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # terminal controls, except \n and \t
SCRIPTS = "train.py", "sample.py"
UNQUOTED = re.compile(r"[\w.:/\\=+-]+")                      # safe without quotes in cmd.exe and PowerShell


def parser_of(name, about, **more):
    """An ArgumentParser for the command `npcaption NAME`; its usage line shows how the command was called."""
    called = as_called()[0] or ["npcaption"]
    if called[-1] == "npcaption":
        called = [*called, name]
    if os.path.basename(called[-1]) in SCRIPTS:
        called = [os.path.basename(called[-1])]
    return argparse.ArgumentParser(" ".join(called), description=about, allow_abbrev=False,
                                   formatter_class=argparse.RawDescriptionHelpFormatter, **more)


def arguments(parser, words=None):
    """Parse words, by default the command line's.  ConfigError for invalid arguments, with the closest known flag."""
    def refuse(message):
        end = "" if message[-1] in ".?" else "."
        raise ConfigError(f"{message[0].upper()}{message[1:]}{end} --help lists all arguments.")

    parser.error = refuse
    options, unknown = parser.parse_known_args(words)
    if unknown:
        parser.color = False                                 # Python 3.14 colours its messages
        known = re.findall(r"(?<!\S)--[\w-]+", parser.format_help())
        refuse(f"Unrecognised argument '{unknown[0]}'{suggestion(unknown[0].split('=')[0], known)}")
    return options


def as_called():
    """How this process was called -> words up to train.py, -m npcaption.train or npcaption, and the words after it

    The first list includes the interpreter's options; it is empty if the process is not one of our commands.
    """
    words = sys.argv[1:]
    before = sys.orig_argv[:len(sys.orig_argv) - len(words)] or [""]
    door = before[-1]
    if before[-2:-1] == ["-m"] and door.partition(".")[0] == "npcaption" or os.path.basename(door) in SCRIPTS:
        return [os.path.basename(before[0]).removesuffix(".exe"), *before[1:]], words
    if os.path.basename(door).removesuffix(".exe") == "npcaption":
        return ["npcaption"], words
    return [], []


def command(main):
    """Run a command's main function and exit. A user's error is printed as one sentence, without a traceback.

    Exit status: 2 after a user's error, 130 after Ctrl-C, 141 after a broken pipe, or else main's result.
    """
    own, before = is_own_process(), (sys.stdout, sys.stderr)
    open_descriptors()
    sys.stdout, sys.stderr = Output(sys.stdout, True), Output(sys.stderr, False)
    try:
        status, sentence = outcome(main)                     # the error is freed, and with it its progress bars
        if own:
            with suppress(ValueError):                       # outside the main thread
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # from here on Ctrl-C needs no traceback
        if sentence:
            print(sentence, file=sys.stderr)
        sys.stderr.flush()
    finally:
        sys.stdout, sys.stderr = before
    if own and (background.at_work() or any(map(works_on, threading.enumerate()))):
        leave(status)
    sys.exit(status)


def outcome(main):
    """Run main -> its exit status, and the message for stderr, or "" """
    try:
        status = main() or 0
        sys.stdout.flush()
        return status, ""
    except NpcaptionError as error:
        return getattr(error, "status", 2), printable(error)
    except KeyboardInterrupt:
        return 130, "\nInterrupted."
    except BrokenPipeError:                                  # the reader closed the pipe: `| head`
        return 141, ""
    except MemoryError as error:
        return 2, (f"Not enough memory ({printable(error).rstrip('.') or 'none left'}). Choose a smaller model, image, "
                   "batch or beam.")
    except OSError as error:                                 # such as a full disk behind the output
        return 2, f"{printable(error.filename)}: {why(error)}." if error.filename else f"{why(error)}."
    except ImportError as error:
        return 2, f"{why(error)}. Reinstall the package with pip (in a clone: pip install -e .)."
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        return 2, ("No more threads can be started. Raise the limit on processes (ulimit -u, or the container's), or "
                   "pass a smaller --threads.")
    except SystemExit as end:                                # argparse's, after --help
        return (end.code, "") if isinstance(end.code, int) else (int(bool(end.code)), printable(end.code or ""))


def is_own_process():
    """Whether the process runs only this command: not a notebook, a console or a test that calls it."""
    return (sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__ and not sys.flags.interactive
            and not hasattr(sys, "ps1") and not hasattr(builtins, "__IPYTHON__"))


def works_on(thread):
    """Whether a thread is a daemon that still works."""
    return thread.daemon and thread is not threading.current_thread() and type(thread).__name__ != "TMonitor"  # tqdm's


def leave(status):
    """Exit without shutting the interpreter down, which is unsafe while a thread runs in LLVM."""
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


# ----------------------------------------------------------------------------------------------------- standard streams

def open_descriptors():
    """Open closed descriptors 0 to 2 on /dev/null: a data file that got number 1 would receive the output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)               # the lowest number that is free


class Output:
    """A standard stream that takes any text: a terminal, a file, a notebook's stream, a closed stream, or None.

    Lines are flushed as they are printed. Characters that the encoding lacks and terminal controls are escaped. After a
    failure nothing more is written. A `vital` stream raises the OSError, unless its terminal went away.
    """

    def __init__(self, stream, vital):
        self.stream, self.vital = stream, vital

    def write(self, text):
        if self.vital:                                       # stderr needs the controls of a progress bar
            text = CONTROLS.sub(lambda found: printable(found[0]), text)
        self._attempt("write", encodable(text, self.encoding))
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self):
        self._attempt("flush")

    def _attempt(self, method, *arguments):
        if self.stream is None:
            return
        wait_for_readers(self.stream)
        try:
            getattr(self.stream, method)(*arguments)
        except (OSError, ValueError) as error:               # ValueError: closed
            silence(self.stream)
            self.stream = None
            if not self.vital or isinstance(error, ValueError) or error.errno == errno.EIO:
                return
            if os.name == "nt" and error.errno == errno.EINVAL:  # a broken pipe on Windows
                raise BrokenPipeError from error
            error.filename = "The output"
            raise

    def isatty(self):
        try:
            return self.stream.isatty()
        except (AttributeError, ValueError):                 # None, closed
            return False

    @property
    def encoding(self):
        return getattr(self.stream, "encoding", None)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def wait_for_readers(stream):
    """Make writes to a full pipe block. Another process may have made the pipe non-blocking; then Python loses text."""
    with suppress(OSError, ValueError, AttributeError):      # a stream without a file; Windows
        os.set_blocking(stream.fileno(), True)


def encodable(text, encoding):
    """The text with characters escaped that the encoding lacks: all but ASCII if it is unknown, none if it is None."""
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding) if encoding else text
    except (LookupError, UnicodeError):
        return text.encode("ascii", "backslashreplace").decode()


def silence(stream):
    """Redirect a failed stream to /dev/null; otherwise the interpreter would flush it again at exit, and complain."""
    with suppress(OSError, ValueError, AttributeError):
        if stream in (sys.__stdout__, sys.__stderr__):
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


# ---------------------------------------------------------------------------------------------------- commands as text

def sibling(name):
    """The words that run another command of the package, in the form in which this process was called."""
    called = as_called()[0] or ["npcaption"]
    if os.path.basename(called[-1]) in SCRIPTS:
        return [*called[:-1], os.path.join(os.path.dirname(called[-1]), f"{name}.py")]
    if "." in called[-1]:                                    # -m npcaption.train
        return [*called[:-1], f"npcaption.{name}"]
    return [*called, name]


def quoted(words):
    """Words as a command line for this system's shell."""
    return " ".join(map(quoted_for_windows, words)) if os.name == "nt" else shlex.join(words)


def quoted_for_windows(word):
    text = subprocess.list2cmdline([word])
    return text if text != word or UNQUOTED.fullmatch(word) else f'"{word}"'
