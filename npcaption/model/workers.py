"""Worker processes: an engine's work on many images, with one interpreter a core.

Threads share one interpreter, whose lock lets it prepare one kernel's call at a time: enough for some eight cores. A
worker process has its own. All of them map one piece of shared memory: the parameters and their packed matrices, which
the engine's own process writes, a row of gradients for each worker, and a mailbox for the arrays of a request. Requests
and replies are pickles in pipes. A worker whose pipe ends, because its parent did, ends too; the memory has no name, so
the system frees it with the last process.
"""
import os
import pickle
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from ..errors import WorkerError, printable
from ..support.lines import whole_lines
from ..support.memory import usable_memory
from ..support.progress import note
from ..support.shared import SharedMemory

MAILBOX = 2 ** 26   # bytes; larger arrays go through the pipe
INTERPRETER = 130 * 2 ** 20  # bytes that a worker takes beside its gradients: Python, numba, the kernels, an arena
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # or NumPy has threads, too
PROGRAM = "import sys; sys.path[:] = {path!r}; from npcaption.model.worker import serve; serve()"


class Layout(NamedTuple):
    """Arrays in the shared memory, in this order, each aligned to a page; the rows of gradients to cache lines."""
    parameters: int             # numbers
    panels: int                 # numbers: of the packed matrices
    workers: int
    mailbox: int                # bytes

    def sizes(self):
        """Bytes"""
        numbers = self.parameters, self.panels, whole_lines(self.parameters) * self.workers
        return [4 * n + -4 * n % 4096 for n in numbers] + [self.mailbox]

    def views(self, memory):
        """-> parameters (N,), panels, the workers' gradients (workers, N or more), mailbox (bytes)"""
        pieces, at = [], 0
        for size in self.sizes():
            pieces.append(memoryview(memory)[at:at + size])
            at += size
        flat, panels, parts = (np.frombuffer(piece, np.float32) for piece in pieces[:-1])
        row = whole_lines(self.parameters)
        return (flat[:self.parameters], panels[:self.panels], parts[:row * self.workers].reshape(self.workers, row),
                pieces[-1])


class Worker:
    """One process and its pipes."""

    def __init__(self, number, setup, descriptors):
        apart = (dict(creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW)
                 if os.name == "nt" else dict(pass_fds=descriptors))
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM.format(path=sys.path)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=os.environ | ALONE, **apart)
        self.number = number
        self.send(pickle.dumps((number, *setup)))

    def send(self, message):
        try:
            self.process.stdin.write(message)
            self.process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def receive(self):
        """-> (result, None), or (None, the error that the work raised).  WorkerError if the process is gone"""
        try:
            return pickle.load(self.process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise self._ended() from error

    def _ended(self):
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        status = self.process.returncode
        how = f"was killed by signal {-status}" if (status or 0) < 0 else f"ended with status {status}"
        return WorkerError(f"Worker process {self.number} {how}, perhaps as memory ran out. "
                           "Pass a smaller --threads if it did.")

    def end(self, at_once):
        with suppress(OSError):
            if at_once:
                self.process.kill()
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
            self.process.stdout.close()
            return
        self.process.kill()
        self.process.wait()


class Workers:
    """The workers of an engine, begun in the background."""

    def __init__(self, config, layout):
        self.layout, self.shared, self.owner = layout, SharedMemory(sum(layout.sizes())), os.getpid()
        self.flat, self.panels, self.parts, self.mailbox = layout.views(self.shared.memory)
        self.free, self.begun, self.ended, self.all = SimpleQueue(), threading.Event(), threading.Event(), []
        self.finish = weakref.finalize(self, end, self.all, self.ended, self.owner)  # at the program's end, too
        threading.Thread(target=begin, args=(self.all, self.free, self.begun, self.ended, self.shared, layout, config),
                         daemon=True).start()

    def ready(self):
        """Whether there is somebody to ask; in a process that was forked there is not."""
        return self.begun.is_set() and not self.ended.is_set() and self.owner == os.getpid()

    def ask_all(self, job, *arguments):
        """job(*arguments) in every worker -> results in the workers' order. Waits for workers that `ask_one` holds."""
        workers = sorted((self._take() for _ in range(self.layout.workers)), key=lambda worker: worker.number)
        message = self._message(job, arguments)
        return self._answers(workers, message)

    def ask_one(self, job, *arguments):
        """job(*arguments) in a worker that is free, once there is one -> its result. Several threads may ask."""
        return self._answers([self._take()], pickle.dumps(([], pickle.dumps((job, arguments), 5))))[0]

    def _take(self):
        worker = self.free.get()
        if worker is None:                                   # see stop
            self.free.put(None)
            raise WorkerError("The worker processes have ended.")
        return worker

    def _answers(self, workers, message):
        try:
            for worker in workers:
                worker.send(message)
            replies = [worker.receive() for worker in workers]
        except BaseException:                                # one is gone, or Ctrl-C: answers no longer match questions
            self.stop()
            raise
        for worker in workers:
            self.free.put(worker)
        for _, error in replies:
            if error:
                raise error
        return [result for result, _ in replies]

    def _message(self, job, arguments):
        """The request, its arrays in the mailbox as far as there is room"""
        places, at = [], 0

        def post(buffer):
            nonlocal at
            data = buffer.raw()
            if at + data.nbytes > len(self.mailbox):
                return True                                  # into the pickle
            self.mailbox[at:at + data.nbytes] = data
            places.append((at, at + data.nbytes))
            at += data.nbytes + -data.nbytes % 64
        content = pickle.dumps((job, arguments), 5, buffer_callback=post)
        return pickle.dumps((places, content))

    def stop(self):
        """End all at once."""
        end(self.all, self.ended, self.owner, at_once=True)
        self.free.put(None)


def begin(workers, free, begun, ended, shared, layout, config):
    """Start the processes and wait until all are ready, or say why there are none."""
    try:
        for number in range(layout.workers):
            if not ended.is_set():
                workers.append(Worker(number, (shared.opener, layout, config), shared.descriptors))
        for worker in list(workers):
            _, error = worker.receive()
            if error:
                raise error
    except Exception as error:                               # no more processes, a foreign executable, no kept kernels
        if not ended.is_set():
            tell(printable(error).rstrip("."))
        end(workers, ended, os.getpid(), at_once=True)
    shared.close_descriptors()
    for worker in list(workers):
        free.put(worker)
    begun.set()


def tell(reason):
    note(f"Worker processes cannot be used ({reason}), so threads do the work, which is slower on many cores.")


def end(workers, ended, owner, at_once=False):
    """End the processes: after what they are at, or at once."""
    if os.getpid() != owner:                                 # forked: they are the parent's
        return
    ended.set()
    for worker in workers:
        with suppress(OSError):
            worker.process.kill() if at_once else worker.process.stdin.close()
    while workers:
        workers.pop().end(at_once)


def reason_against(layout):
    """Why no processes should be started, or "" """
    if not sys.executable or getattr(sys, "frozen", False):
        return "this program cannot start a Python of its own kind"
    needed, usable = layout.workers * (INTERPRETER + 8 * layout.parameters), usable_memory()
    return (f"{layout.workers} of them need {needed / 2 ** 30:.1f} GiB, more than half of the "
            f"{usable / 2 ** 30:.1f} GiB that may be used") if 2 * needed > usable else ""


def portable(work):
    """Whether another process can import a function, or a partial of it; not what a script or notebook defines."""
    try:
        return b"__main__" not in pickle.dumps(work)
    except Exception:                                        # lambdas, local functions, what they hold
        return False
