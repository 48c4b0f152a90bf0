"""A training's folder and its end: whose it is, what is in it, and how a signal stops it without losing work."""
import csv
import errno
import io
import math
import os
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress

from ..config import ModelConfig
from ..errors import CheckpointError, why
from ..model import checkpoint
from ..support.files import clear_unfinished, write_whole
from ..support.settings import settings_of, shown

try:
    import fcntl
except ImportError:                                          # Windows, where a folder cannot be locked like this
    fcntl = None
try:
    import msvcrt
except ImportError:                                          # all other systems
    msvcrt = None

FILES = "best.npz", "last.npz", "log.csv"
SCENES = "scenes"                                            # the folder of the pictures that `report.judged` makes
LOCK = ".npcaption-lock"                                     # a file, on Windows


@contextmanager
def folder(out, resume, names=FILES):
    """Make the folder `out`, or find it when resuming; while inside, no other training can use it.

    CheckpointError if another process trains there, if it holds one of `names` already (unless resuming), or cannot be
    written to.  A folder that was made is removed again if nothing came into it.
    """
    missing, descriptor = [path for path in (out, *out.parents) if not os.path.lexists(path)], None
    try:
        try:
            if not resume:
                out.mkdir(parents=True, exist_ok=True)
            descriptor = locked(out)
        except OSError as error:
            if resume and not os.path.lexists(out):
                raise CheckpointError(f"There is no folder {out} to resume from. Omit --resume to begin "
                                      "there.") from None
            raise CheckpointError(f"The folder {out} cannot be used ({why(error)}). Choose another (--out).") from error
        found = [name for name in names if os.path.lexists(out / name)]
        if found and not resume:
            raise CheckpointError(f"{out} already holds {', '.join(found)}. Resume the training there (--resume), or "
                                  f"choose another folder (--out).")
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
        if descriptor is not None:
            os.close(descriptor)
            if not fcntl:
                with suppress(OSError):                      # another process has opened it
                    (out / LOCK).unlink()
        for path in missing:
            with suppress(OSError):                          # not empty: a training has begun
                path.rmdir()


def locked(out):
    """Lock a folder until the descriptor is closed, or its process ends, however that is -> the descriptor

    None where the system has no locks.
    """
    if not fcntl and not msvcrt:
        os.stat(out)
        return None
    handle = os.open(out, os.O_RDONLY) if fcntl else os.open(out / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError as error:                                 # others than these: a file system without locks
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            os.close(handle)
            raise CheckpointError(f"Another process trains in {out}. Wait for it, stop it, or choose another folder "
                                  f"(--out).") from None
    return handle


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
    """The checkpoint to resume from -> (Checkpoint, sentences about settings that differ but may).

    CheckpointError names those that differ and may not.
    """
    found = checkpoint.load(out / "last.npz")
    was, now = found.config.to_json(), config.to_json()
    now["model"] |= {name: was["model"][name] for name, _, setting in settings_of(ModelConfig) if not setting.subject}
    differ = {name: f"{name} was {shown(was[part][name])}, now {shown(now[part][name])}" for part in now
              for name in now[part] if was[part][name] != now[part][name]}
    wrong = [told for name, told in differ.items() if name not in MAY_DIFFER]
    if wrong:
        raise CheckpointError(f"{out} was trained with other settings: {'; '.join(wrong)}. Resume with the first run's flags "
                              f"({', '.join(MAY_DIFFER)} may differ), or begin anew in another folder (--out).")
    if found.optimiser is None or not {"epoch", "step", "nats", "counted", "seconds", "best", "best_epoch", "log",
                                       "data"} <= set(found.state):
        raise CheckpointError(f"{out / 'last.npz'} has no optimiser state: usable for captioning, not for --resume.")
    notes = [f"Resumed with another setting: {told}, which may be ({MAY_DIFFER[name]})."
             for name, told in differ.items()]
    if found.state["best_epoch"] and not is_whole(out / "best.npz"):
        found.state.update(best=math.inf, best_epoch=0)
        notes.append(f"{out / 'best.npz'} is missing or damaged, so it will hold the best of the epochs from now on.")
    return found, notes


def is_whole(path):
    try:
        return bool(checkpoint.load(path))
    except CheckpointError:
        return False


SIGNALS, REPEATED = [[getattr(signal, name) for name in names.split() if hasattr(signal, name)]
                     for names in ("SIGINT SIGTERM SIGBREAK SIGHUP SIGXCPU", "SIGHUP SIGXCPU")]


class Interrupts:
    """While entered, the first Ctrl-C, SIGTERM or hangup is only noted, so that a step can be finished and saved.

    After a Ctrl-C or SIGTERM a second one does at once what it always does. A hangup may come several times, from the
    shell and the system, and the end of a cluster's processor time comes every second; they are only noted each time.
    `noted` is the first signal's number, or None.
    """

    def __init__(self):
        self.noted, self.before = None, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python allows handlers to no other
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS
                           if signal.getsignal(number) != signal.SIG_IGN}  # as nohup ignores hangups
        return self

    def _note(self, number, frame):
        self.noted = self.noted or number
        if number in REPEATED:                               # and nobody reads the terminal any more
            return
        self._restore(lambda number: number not in REPEATED)
        with suppress(OSError, ValueError, RuntimeError):    # stderr is gone, or was being written to
            print("\nStopping after this step; once more stops at once.", file=sys.stderr, flush=True)

    def _restore(self, chosen):
        for number in filter(chosen, list(self.before)):
            signal.signal(number, self.before.pop(number))

    def __exit__(self, *error):
        self._restore(lambda number: True)
