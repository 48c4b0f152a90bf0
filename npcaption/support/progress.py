"""Progress of long jobs: a bar on a terminal, a line every few seconds in a log."""
import sys
import time
from contextlib import suppress

EVERY = 5.0         # seconds between lines
SHORT = 2.0         # seconds; a shorter job prints nothing


def progress(iterable, total, label, unit):
    """The `total` items of iterable, with progress on stderr. unit is a plural: "images"."""
    if on_terminal():
        from tqdm import tqdm
        yield from tqdm(iterable, total=total, desc=label, unit=f" {unit}")
        return
    start = last = time.perf_counter()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.perf_counter()
        if now - last >= EVERY or (done == total and now - start >= SHORT):
            rate, last = done / (now - start), now
            speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
            note(f"{label}: {done}/{total} {unit}, {speed} {unit}/s, {clock(max(0, total - done) / rate)} left")


def say(line, file=None):
    """Print a line (file: stdout) above the bar, if there is one."""
    file = file or sys.stdout
    if file and on_terminal():
        from tqdm import tqdm
        tqdm.write(line, file=file)
    elif file:
        print(line, file=file, flush=True)


def note(line):
    """`say` on stderr. A closed stderr or a lost terminal does not stop the work."""
    if sys.stderr:
        with suppress(OSError, ValueError):
            say(line, sys.stderr)


def on_terminal():
    """Whether stderr is an open terminal."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):                     # None, closed
        return False


def clock(seconds):
    """Seconds -> "m:ss" or "h:mm:ss" """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
