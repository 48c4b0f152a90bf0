"""Work beside the caller's, in a thread of its own, that does not keep the program from ending."""
import threading
from concurrent.futures import Future

_threads = []


def begin(work):
    """work() in a thread -> a Future.  RuntimeError if the system has no more threads.

    Work of more than a moment calls `go_on` now and then. The thread is no daemon: one of those, in the middle of LLVM while
    the interpreter is taken down, may crash the process.
    """
    future = Future()

    def run():
        try:
            future.set_result(work())
        except BaseException as error:                       # is for whoever asks for the result
            future.set_exception(error)
    thread = threading.Thread(target=run)
    thread.start()
    _threads.append(thread)
    return future


def done():
    """A Future of nothing to do."""
    future = Future()
    future.set_result(None)
    return future


def go_on():
    """SystemExit once the program ends, which waits until the thread has come here."""
    if not threading.main_thread().is_alive():
        raise SystemExit


def at_work():
    """Whether there is work that is not done. A program that cannot wait for the next `go_on` ends by os._exit."""
    return any(thread.is_alive() for thread in _threads)
