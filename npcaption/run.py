"""A training's folder and its end: whose it is, what is in it, and how a signal stops it without losing work."""
import csv
import io
import os
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager

from . import checkpoint
from .errors import CheckpointError, why
from .files import clear_unfinished, write_whole

try:
    import fcntl
except ImportError:                                          # Windows, where a folder cannot be locked like this
    fcntl = None

FILES = "best.npz", "last.npz", "log.csv"


@contextmanager
def folder(out, resume):
    """Make the folder `out`, or find it when resuming; while inside, no other training can use it.

    CheckpointError if another process trains there, if it holds an earlier training (unless resuming), or cannot be
    written to. The lock is the system's, on the folder itself: it ends with the process, however that ends.
    """
    try:
        if not resume:
            out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY)
    except FileNotFoundError:
        raise CheckpointError(f"There is no folder {out} to go on from. Leave --resume out to begin there.") from None
    except OSError as error:
        raise CheckpointError(f"The folder {out} cannot be used ({why(error)}). Choose another (--out).") from error
    try:
        lock(descriptor, out)
        found = [name for name in FILES if (out / name).exists()]
        if found and not resume:
            raise CheckpointError(f"{out} already holds a training ({', '.join(found)}). Go on with it (--resume), or take "
                                  f"another folder (--out).")
        try:
            with tempfile.TemporaryFile(dir=out):
                pass
            for name in FILES:
                clear_unfinished(out / name)
        except OSError as error:
            raise CheckpointError(f"The folder {out} cannot be written to ({why(error)}). Make it writable, or choose "
                                  f"another (--out).") from error
        yield
    finally:
        os.close(descriptor)


def lock(descriptor, out):
    if fcntl:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(f"Another process trains in {out}. Wait for it, stop it, or take another folder "
                                  f"(--out).") from None
        except OSError:                                      # a file system without locks
            pass


def write_log(path, rows):
    """All rows at once: what is in the file is what the last checkpoint knows of, whatever happened between.

    rows: dicts of numbers and strings with the same keys.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[-1])
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
                     for row in rows)
    write_whole(path, text.getvalue().encode())


# What may differ between a run and its resumption, and what that does to the result.
MAY_DIFFER = {"epochs": "the learning rate follows the new number", "engine": "rounding differs",
              "threads": "rounding differs", "data": "the captions and images are the same"}


def resumable(out, config):
    """The checkpoint to go on from -> (Checkpoint, sentences about settings that differ but may).

    CheckpointError names those that differ and may not.
    """
    found = checkpoint.load(out / "last.npz")
    was, now = found.config.to_json(), config.to_json()
    for name in ("vocabulary", "unknown", "bag"):            # known from the data only
        now["model"][name] = was["model"][name]
    differ = {name: f"{name} was {was[part][name]}, now {now[part][name]}" for part in now for name in now[part]
              if was[part][name] != now[part][name]}
    wrong = [told for name, told in differ.items() if name not in MAY_DIFFER]
    if wrong:
        raise CheckpointError(f"{out} was trained with other settings: {'; '.join(wrong)}. Resume with the first run's flags "
                              f"({', '.join(MAY_DIFFER)} may differ), or begin anew in another folder (--out).")
    if found.optimiser is None or not {"epoch", "step", "nats", "counted", "seconds", "best", "best_epoch", "log",
                                       "data"} <= set(found.state):
        raise CheckpointError(f"{out / 'last.npz'} holds no state of training, so it can caption but not go on.")
    return found, [f"Resumed with another setting: {told}, which may be ({MAY_DIFFER[name]})."
                   for name, told in differ.items()]


class Interrupts:
    """While entered, the first Ctrl-C or SIGTERM is only noted, so that a step can be finished and saved.

    After that a second one does at once what it always does. `noted` is the signal's number, or None.
    """

    def __init__(self):
        self.noted, self.before = None, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python allows handlers to no other
            self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
                           if signal.getsignal(number) != signal.SIG_IGN}  # a script's background job ignores Ctrl-C
        return self

    def _note(self, number, frame):
        self.noted = number
        self.__exit__()
        print("\nStopping after this step; once more stops at once.", file=sys.stderr, flush=True)

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
