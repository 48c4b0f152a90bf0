"""How far a long job is: a bar on a terminal, a line now and then in a log."""
import sys
import time
from contextlib import suppress

EVERY = 5.0         # seconds from one line to the next
SHORT = 2.0         # seconds; a job that is done sooner prints nothing


def progress(iterable, total, label, unit):
    """The items of iterable, total in number, with progress on stderr. unit is a plural: "images"."""
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
    """`say` on stderr, which may be closed, or a terminal that went away: no work ends for that."""
    if sys.stderr:
        with suppress(OSError, ValueError):
            say(line, sys.stderr)


def on_terminal():
    """Whether stderr is one, and there to be written to."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):                     # None, closed
        return False


def clock(seconds):
    """Seconds -> "m:ss" or "h:mm:ss" """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
