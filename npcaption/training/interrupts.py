"""Clean shutdown: a signal is noted, so that the current step can be finished and saved."""
import signal
import sys
import threading
from contextlib import suppress

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
