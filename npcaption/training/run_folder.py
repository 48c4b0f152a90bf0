"""The run directory: lock, checkpoints, log, resume checks."""
import csv
import errno
import io
import math
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from ..config import ModelConfig
from ..errors import CheckpointError, why
from ..model import checkpoint as checkpoints
from ..report.page import write_report
from ..report.runs import RunRecord, read_log
from ..report.samples import read_samples
from ..support.files import clear_unfinished, write_whole
from ..support.settings import settings_of, shown
from .state import TrainingState

try:
    import fcntl
except ImportError:                                          # Windows: no locks on folders
    fcntl = None
try:
    import msvcrt
except ImportError:                                          # all other systems
    msvcrt = None

FILES = "best.npz", "last.npz", "log.csv", "samples.json", "report.html"
SCENES = "scenes"                                            # folder for the images from `report.judged`
LOCK = ".npcaption-lock"                                     # file, on Windows only


# Settings that may differ between a run and its resumption, each with the effect or the condition.
MAY_DIFFER = {"epochs": "the learning rate follows the new number", "engine": "rounding differs",
              "threads": "rounding differs", "data": "the captions and images are the same",
              "encoder": "it is the same encoder", "features": "they are from the same encoder",
              "teacher": "it is the same checkpoint", "word_vectors": "the first run's vectors are kept"}


class RunFolder:
    """The run directory of one training run."""

    def __init__(self, path):
        self.path = Path(path)
        self.best, self.last, self.log, self.samples, self.report = (self.path / name for name in FILES)
        self.scenes = self.path / SCENES

    @contextmanager
    def use(self, resume, names=FILES):
        """Context with the folder locked against other trainings; the folder is made, or must exist when resuming.

        CheckpointError if another process trains there, if the folder holds one of `names` already (unless resuming),
        or is not writable. A new folder that stays empty is removed at the end.
        """
        path, descriptor = self.path, None
        missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
        try:
            try:
                if not resume:
                    path.mkdir(parents=True, exist_ok=True)
                descriptor = locked(path)
            except OSError as error:
                if resume and not os.path.lexists(path):
                    raise CheckpointError(f"There is no folder {path} to resume from. Omit --resume to begin "
                                          "there.") from None
                raise CheckpointError(f"The folder {path} cannot be used ({why(error)}). Choose another "
                                      f"(--out).") from error
            found = [name for name in names if os.path.lexists(path / name)]
            if found and not resume:
                raise CheckpointError(f"{path} already holds {', '.join(found)}. Resume the training there (--resume), "
                                      f"or choose another folder (--out).")
            try:
                with tempfile.TemporaryFile(dir=path):
                    pass
                for name in FILES:
                    clear_unfinished(path / name)
            except OSError as error:
                raise CheckpointError(f"The folder {path} cannot be written to ({why(error)}). Make it writable, or "
                                      f"choose another (--out).") from error
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)
                if not fcntl:
                    with suppress(OSError):                  # another process has the file open
                        (path / LOCK).unlink()
            for folder in missing:
                with suppress(OSError):                      # not empty: training has begun
                    folder.rmdir()

    def resumable(self, config):
        """The checkpoint to resume from -> (Checkpoint, TrainingState, notes on settings that differ and may)

        CheckpointError names the settings that differ and may not.
        """
        found = checkpoints.load(self.last)
        read_samples(self.samples)                           # refuse damaged samples now, not after an epoch
        was, now = found.config.to_json(), config.to_json()
        if config.training.begin:                            # the model's settings come from that checkpoint
            now["model"] = was["model"]
        now["model"] |= {name: was["model"][name] for name, _, setting in settings_of(ModelConfig)
                         if not setting.subject}
        differ = {name: f"{name} was {shown(was[part][name])}, now {shown(now[part][name])}" for part in now
                  for name in now[part] if was[part][name] != now[part][name]}
        wrong = [told for name, told in differ.items() if name not in MAY_DIFFER]
        if wrong:
            raise CheckpointError(f"{self.path} was trained with other settings: {'; '.join(wrong)}. Resume with the "
                                  f"original flags ({', '.join(MAY_DIFFER)} may differ), or choose another --out.")
        if found.optimiser is None:
            raise CheckpointError(f"{self.last} has no optimiser state: usable for captioning, not for --resume.")
        try:
            state = TrainingState.from_json(found.state)
        except ValueError as error:
            raise CheckpointError(f"{self.last} has no usable training state ({error}): usable for captioning, not for "
                                  f"--resume.") from None
        notes = [f"Resumed with a changed setting: {told} (allowed: {MAY_DIFFER[name]})."
                 for name, told in differ.items()]
        if state.best_epoch and not is_whole(self.best):
            state.best, state.best_epoch = math.inf, 0
            notes.append(f"{self.best} is missing or damaged. It will hold the best epoch from now on.")
        return found, state, notes

    def write_log(self, rows):
        """Write all rows at once: the log always matches the last checkpoint.

        rows: dicts of numbers and strings with the same keys.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[-1])
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
                         for row in rows)
        write_whole(self.log, text.getvalue().encode())

    def write_report(self, config):
        """Write the run's page from its log and samples.  DataError if the file cannot be written"""
        path = str(self.path)
        write_report(self.report, [RunRecord(path, path, read_log(self.log), config, read_samples(self.samples))])

    def last_good(self):
        """Sentence on the last intact checkpoint."""
        return f"{self.last}, saved earlier, is intact." if self.last.exists() else "nothing was saved yet."


def locked(out):
    """Lock a folder until the descriptor is closed or the process ends, by a crash too -> descriptor

    None if the system has no locks.
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
    except OSError as error:                                 # other errors: a file system without locks
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            os.close(handle)
            raise CheckpointError(f"Another process trains in {out}. Wait for it, stop it, or choose another folder "
                                  f"(--out).") from None
    return handle


def is_whole(path):
    try:
        return bool(checkpoints.load(path))
    except CheckpointError:
        return False
