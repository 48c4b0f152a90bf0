"""A check: examine the student's file in a process of its own, with a time limit, and report the outcome."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import printable
from .catalogue import PACKAGE

SECONDS = 10.0                  # time limit; the check of a right file takes less than 1
SHOWN = 20                      # lines shown of a file's output
LONGEST = 300                   # characters of such a line


class Outcome(NamedTuple):
    state: str                  # "right", "unwritten" or "wrong"
    lines: list
    slow: str = ""
    printed: list = []


def check(exercise, path, seconds=SECONDS):
    """Examine a student's file -> Outcome"""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found"
        words = [sys.executable, "-m", "npcaption.exercises.inside", exercise.name, str(path), str(found), str(seconds)]
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        around = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1",
                               "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
                               "PYTHONIOENCODING": "utf-8:backslashreplace"}
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=around, start_new_session=True)
        printed = Printed(process.stdout)
        try:
            process.wait(seconds + 5)
        except subprocess.TimeoutExpired:
            pass
        finally:
            end(process)
        printed.wait()
        where = Path(f"{found}.where")
        lines = where.read_text(errors="replace").splitlines() if where.exists() else []
        if found.exists():
            with suppress(ValueError, TypeError):
                return Outcome(**json.loads(found.read_text()), printed=printed.shown_lines())
        return Outcome("wrong", unfinished(process.returncode, lines, path, seconds), "", printed.shown_lines())


def unfinished(status, trace, path, seconds):
    """Sentences on a process that ended without a verdict."""
    if trace:
        at = next((line for line in trace if f'"{path}"' in line), "")
        number = at.partition(", line ")[2].split(" ")[0]
        near = f" It was at {path}:{number}." if number else ""
        return [f"The check has not finished after {seconds:g} seconds: an endless loop, or a busy machine?{near}"]
    if status is not None and status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return [f"Python was killed while it ran the file ({name}), perhaps for too much memory."]
    return [f"The file ended Python with status {status} before the check was done. Remove the call that does it, "
            "such as os._exit."]


def end(process):
    """End a process and its children."""
    if os.name == "posix":
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


class Printed:
    """Output of a process: its first lines and their number. All of it is read, so that the process never blocks."""

    def __init__(self, stream):
        self.stream, self.lines, self.count, self.open_line = stream, [], 0, b""
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        with suppress(OSError, ValueError):
            while piece := self.stream.read1(1 << 16):
                if len(self.lines) >= SHOWN:
                    self.count += piece.count(b"\n")
                    continue
                *whole, self.open_line = (self.open_line + piece).split(b"\n")
                self.open_line = self.open_line[:10 * LONGEST]
                self.count += len(whole)
                self.lines += whole[:SHOWN - len(self.lines)]

    def wait(self):
        self.thread.join(2)                                  # a child that outlives the process may hold the stream
        with suppress(OSError):
            self.stream.close()

    def shown_lines(self):
        lines = [*self.lines, *[self.open_line] * (bool(self.open_line) and len(self.lines) < SHOWN)]
        shown = [printable(line.decode(errors="backslashreplace")[:LONGEST]) for line in lines]
        return shown + [f"... {self.count:,} lines in all"] * (self.count > len(lines))


def watch(seen, changed, every=0.5):
    """Call changed(path) whenever a file's time or size changes, until Ctrl-C. Polling works on every file system.

    seen: {path: its stamp}, taken before the last check, so that no change is missed
    """
    while True:
        time.sleep(every)
        for path in seen:
            if (now := stamp(path)) not in (None, seen[path]):
                seen[path] = now
                changed(path)


def stamp(path):
    try:
        found = path.stat()
    except OSError:                                          # an editor is replacing the file
        return None
    return found.st_mtime_ns, found.st_size
