"""Clean shutdown on signals: training finishes and saves the current step first."""
import signal
import sys
import threading
from contextlib import suppress

SIGNALS, REPEATED = [[getattr(signal, name) for name in names.split() if hasattr(signal, name)]
                     for names in ("SIGINT SIGTERM SIGBREAK SIGHUP SIGXCPU", "SIGHUP SIGXCPU")]


class Interrupts:
    """Context that only notes the first Ctrl-C, SIGTERM or hangup, so that training can finish and save a step.

    After a Ctrl-C or SIGTERM a second one has its usual effect at once. A hangup may come several times, from the shell
    and the system, and SIGXCPU comes every second; these two are only noted, each time.
    `noted` is the first signal's number, or None.
    """

    def __init__(self):
        self.noted, self.before = None, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # only this thread may set handlers
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS
                           if signal.getsignal(number) != signal.SIG_IGN}  # nohup ignores hangups
        return self

    def _note(self, number, frame):
        self.noted = self.noted or number
        if number in REPEATED:                               # the terminal is probably gone
            return
        self._restore(lambda number: number not in REPEATED)
        with suppress(OSError, ValueError, RuntimeError):    # stderr is closed or busy
            print("\nStopping after this step. Signal again to stop at once.", file=sys.stderr, flush=True)

    def _restore(self, chosen):
        for number in filter(chosen, list(self.before)):
            signal.signal(number, self.before.pop(number))

    def __exit__(self, *error):
        self._restore(lambda number: True)
