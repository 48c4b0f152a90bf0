"""Background work: a thread beside the caller's that does not keep the program from exiting."""
import threading
from concurrent.futures import Future

_threads = []


def begin(work):
    """work() in a thread -> a Future.  RuntimeError if the system has no more threads.

    Long work calls `go_on` now and then. The thread is not a daemon: a daemon thread inside LLVM may crash the
    process while the interpreter shuts down.
    """
    future = Future()

    def run():
        try:
            future.set_result(work())
        except BaseException as error:                       # raised again by Future.result
            future.set_exception(error)
    thread = threading.Thread(target=run)
    thread.start()
    _threads.append(thread)
    return future


def done():
    """A Future that is already done."""
    future = Future()
    future.set_result(None)
    return future


def go_on():
    """SystemExit once the program exits; the program waits until the thread gets here."""
    if not threading.main_thread().is_alive():
        raise SystemExit


def at_work():
    """Whether work is unfinished. A program that cannot wait for the next `go_on` exits by os._exit."""
    return any(thread.is_alive() for thread in _threads)
