"""The engine in numba: image by image, over threads or worker processes."""
import math
import os
import time
import weakref
from collections import deque
from threading import Lock

import numpy as np

from ..support import background
from ..support.lines import lines, whole_lines
from ..support.progress import progress
from ..tokenizers import PADDING
from . import wiring
from .batch import check_batch
from .finite import watched
from .memory import Memory, decode_step, no_text, remember
from .objectives import LIKELIHOOD, OBJECTIVES
from .threads import Threads
from .workers import MAILBOX, Layout, Workers, portable, reason_against, tell

FEW = 4             # workers that do as well in threads: the interpreter's lock is no limit yet
PATIENCE = 3.0      # seconds of work before worker processes are begun, which takes each of them about one
ENOUGH = 250_000    # numbers whose adding or update is worth a thread: 0.1 ms of work or more
ENGINES = weakref.WeakSet()                                  # all of this process


def compile_kernels():
    """Begin to compile the kernels, or to find them on disk, in a thread of their own -> a Future"""
    from .. import kernels

    def watch(found):
        for kernel in progress(found, len(found), "compiling the kernels, once", "kernels"):
            background.go_on()
            yield kernel
    return background.begin(lambda: kernels.compile_kernels(watch))


def gradients_of(layers, config, p, part, batch, objectives, mine):
    """The gradients of some of a batch's images are added into part Parameters.  mine: their numbers

    -> {objective's name: [loss of each]}, [gradient of each image's pixels, None for uint8]
    """
    losses, dimages = {objective.name: [] for objective in objectives}, []
    for i in mine:
        layers.arena().reset()
        found, cache = wiring.loss_forward(layers, config, p, batch.of(i), objectives)
        for name, loss in found.items():
            losses[name].append(float(loss))
        dimages.append(wiring.loss_backward(layers, 1.0, cache, part.sublayer))
    return losses, dimages


def known(weight):
    """The objectives that a worker process has, too, with this weight"""
    return [objective._replace(weight=weight) for objective in OBJECTIVES]


class NumbaEngine:
    """The kernels, each worker with images, an arena and a gradient buffer of its own; float32.

    Worker w takes the images w, w + workers, ... and the gradient buffers are added in a fixed order, so that the same
    seed and number of workers give the same bits. Workers are threads at first; after some seconds of work they are
    processes (see workers.py), with the same bits, and threads remain for what needs no interpreter: adding, AdamW,
    packing. Several threads may call an engine: their gradients are computed one after another, in shared buffers.
    """

    def __init__(self, config, parameters, threads, panels=None):
        """panels: those of the matrices, if another process packs them."""
        from .. import kernels  # here, so that the NumPy engine does without numba
        compile_kernels().result()
        self.kernels, self.config, self.parameters, self.threads = kernels, config, parameters, threads
        self.p = kernels.prepare(parameters, panels if panels is None else kernels.Room(buffer=panels), panels is None)
        self.layers = kernels
        self.matrices, self.packed = kernels.matrices(self.p), parameters.flat.copy()  # packed: None if not known
        self.parts, self.buffers = None, []                  # (threads, N or more); as Parameters; made when wanted
        self.clean = True                                    # whether parts are 0, as after each step that ended well
        self.workers, self.worked = None, 0.0                # Workers, once there are; seconds of work
        self.shares = threads                                # parts of the gradients' norm: the workers of all ranks
        self.alone = ""                                      # why there will be none
        self._threads, self._locks = Threads(threads), {}
        ENGINES.add(self)

    def __reduce__(self):
        return NumbaEngine, (self.config, self.parameters, self.threads)

    @property
    def lock(self):
        """The lock of the gradient buffers. A forked process has its own, because its parent may hold this one."""
        return self._locks.setdefault(os.getpid(), Lock())

    def refresh(self):
        if self.packed is None or not np.array_equal(self.packed, self.parameters.flat):
            for matrix in self.matrices:
                matrix.pack()
            self.packed = self.parameters.flat.copy()
        if self.workers:
            self.workers.flat[...] = self.parameters.flat

    def watch(self, gradients):
        self._make_parts()
        self.layers = watched(self.kernels, self.p, *(buffer.sublayer for buffer in self.buffers))

    # ------------------------------------------------------------------------------------------- threads and processes

    def _make_parts(self):
        """For each worker a buffer of gradients, 0"""
        if self.parts is None:
            row = whole_lines(self.parameters.flat.size)
            self.parts = lines(self.threads * row, np.zeros).reshape(self.threads, row)
        if len(self.buffers) != self.threads:
            size = self.parameters.flat.size
            self.buffers = [type(self.parameters)(self.config, flat=part[:size]) for part in self.parts]
        if not self.clean:
            self.parts[...] = 0

    def _for_each(self, count, work):
        """work(i) for i < count, each in a thread whose arena is empty"""
        def mine(thread):
            for i in range(thread, count, self.threads):
                self.kernels.arena().reset()
                work(i)
        self._threads.share(mine)

    def _processes(self):
        """The worker processes, or None while there are none.

        Started once they are worth it. An engine that is watched works in its own process.
        """
        if self.layers is not self.kernels:
            return None
        if self.workers is None and self.threads > FEW and self.worked > PATIENCE:
            self._begin_workers()
        return self.workers if self.workers and self.workers.ready() else None

    def _begin_workers(self):
        """Begin the processes, and use memory that they see."""
        with self.lock:
            if self.workers is None and self.threads > 1 and not self.alone:
                panels = self.kernels.panels_room(self.parameters)
                layout = Layout(self.parameters.flat.size, panels, self.threads, MAILBOX)
                self.alone = reason_against(layout)
                if self.alone:
                    return tell(self.alone)
                self.workers = Workers(self.config, layout)
                self._use(self.kernels.Room(buffer=self.workers.panels), self.workers.parts)
                self.workers.flat[...] = self.parameters.flat

    def _use(self, room, parts):
        """Pack the matrices into this room, and take these buffers of gradients."""
        self.p = self.kernels.prepare(self.parameters, room)
        self.matrices, self.packed = self.kernels.matrices(self.p), self.parameters.flat.copy()
        self.parts, self.buffers, self.clean = parts, [], True

    def _leave_workers(self):
        """In a process that was forked: use memory of its own, as the parent's goes on changing."""
        if self.workers:
            self.workers = None
            self._use(None, None)

    def employ(self):
        if self.layers is self.kernels:
            self._begin_workers()
        if self.workers:
            self.workers.begun.wait()

    def each(self, work, items):
        """work(engine, item) of each item, in order.  work: a function that a module holds, or a partial of one

        In worker processes, if there are any, several items at once; each on an engine with these parameters.
        """
        waiting, movable = deque(), self.threads > 1 and portable(work)
        try:
            for item in items:
                workers = movable and self._processes()
                if workers:
                    waiting.append(self._threads.pool.submit(workers.ask_one, "each", self.config, work, item))
                    if len(waiting) > 2 * self.threads:
                        yield waiting.popleft().result()
                else:
                    start = time.perf_counter()
                    found = work(self, item)
                    self.worked += time.perf_counter() - start
                    yield found
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    # -------------------------------------------------------------------------------------------------------- training

    def loss_and_gradients(self, batch, gradients, objectives=(LIKELIHOOD,)):
        check_batch(self.config, batch.ids, batch.inputs)
        count = len(batch.inputs)
        losses, dimages = {objective.name: np.zeros(count) for objective in objectives}, [None] * count
        start, workers = time.perf_counter(), self._processes()
        with self.lock:
            self._make_parts()
            self.clean = False
            if workers and all(objective in known(objective.weight) for objective in objectives):
                weights = [(objective.name, objective.weight) for objective in objectives]
                found = workers.ask_all("gradients", self.config, batch, weights)
            else:
                found = self._threads.share(lambda thread: gradients_of(
                    self.layers, self.config, self.p, self.buffers[thread], batch, objectives,
                    range(thread, count, self.threads)))
            self._threads.share(lambda part: self.kernels.add_gradients(self.parts, gradients.flat, *self._range(part)),
                                -(-self.parts.size // ENOUGH))
            self.clean = True
        self.worked += time.perf_counter() - start
        for worker, (its_losses, its_dimages) in enumerate(found):
            for name, of_images in its_losses.items():
                losses[name][worker::self.threads] = of_images
            dimages[worker::self.threads] = its_dimages
        return ({name: float(of_images.sum()) for name, of_images in losses.items()},
                None if not count or dimages[0] is None else np.stack(dimages))

    def _range(self, part):
        """One of `threads` parts of the flat buffers, first and last + 1"""
        return self._share(part, self.threads)

    def _share(self, number, count):
        """One of `count` parts of the flat buffers, first and last + 1"""
        size = self.parameters.flat.size
        return size * number // count, size * (number + 1) // count

    def update(self, gradients, m, v, decay, step, settings):
        threads, squares = -(-gradients.flat.size // ENOUGH), [0.0] * self.shares

        def add(part):
            for n in range(part, self.shares, self.threads):
                squares[n] = self.kernels.sum_of_squares(gradients.flat, *self._share(n, self.shares))
        self._threads.share(add, threads)
        norm = sum(squares) ** 0.5
        if not math.isfinite(norm):
            return norm
        numbers = self.kernels.adamw_numbers(step, settings, norm)
        buffers = self.parameters.flat, gradients.flat, m, v, decay
        self.packed = None                                   # a copy at each step would take time

        def mine(part):
            part = slice(*self._range(part))
            self.kernels.adamw(*(buffer[part] for buffer in buffers), numbers)
            if self.workers:
                self.workers.flat[part] = self.parameters.flat[part]
        self._threads.share(mine, threads)
        self._threads.share(lambda part: [matrix.pack() for matrix in self.matrices[part::self.threads]], threads)
        return norm

    # ------------------------------------------------------------------------------------------------ a model in use

    def encode(self, images):
        check_batch(self.config, np.empty(0), images)
        source = np.empty((len(images), self.config.patches, self.config.channels), np.float32)  # (B, P, C)

        def one(i):
            source[i] = wiring.encode_forward(self.layers, self.config, self.p, images[i])[0]
        self._for_each(len(images), one)
        return source

    def decode_loss(self, source, owners, ids):
        check_batch(self.config, ids)
        losses = np.zeros(len(ids))

        def one(m):
            length = int((ids[m] != PADDING).sum())
            if length > 1:
                x, _ = wiring.decode_forward(self.layers, self.config, self.p, ids[m, :length - 1], source[owners[m]])
                losses[m] = self.layers.output_loss_forward(x, self.p["output"], ids[m, 1:length], 1)[0]
        self._for_each(len(ids), one)
        return float(losses.sum())

    def decode_logits(self, source, owners, ids):
        check_batch(self.config, ids)
        logits = np.empty((len(ids), ids.shape[1] - 1, self.config.vocabulary), np.float32)

        def one(m):
            length = int((ids[m] != PADDING).sum())
            if length > 1:
                x, _ = wiring.decode_forward(self.layers, self.config, self.p, ids[m, :length - 1], source[owners[m]])
                logits[m, :length - 1] = self.layers.output_forward(x, self.p["output"])[0]
        self._for_each(len(ids), one)
        return logits

    def remember(self, images, count):
        check_batch(self.config, np.empty(0), images)
        found = [None] * len(images)

        def one(i):
            source, _ = wiring.encode_forward(self.layers, self.config, self.p, images[i])
            found[i] = remember(self.layers, self.config, self.p, source)
        self._for_each(len(images), one)
        blocks = [tuple(map(np.stack, zip(*block))) for block in zip(*found)]
        return Memory(no_text(self.config, len(images) * count, np.float32), blocks)

    def step(self, ids, place, memory):
        def logits(ids, memory):
            self.kernels.arena().reset()
            return decode_step(self.layers, self.config, self.p, ids, place, memory).copy()

        images = len(memory.images[0][0])
        parts, count = min(self.threads, images), len(ids) // images
        if parts == 1:                                       # a single image need not wait until a thread wakes
            return logits(ids, memory)

        def mine(thread):
            first, last = images * thread // parts, images * (thread + 1) // parts
            return logits(ids[first * count:last * count], memory.of(slice(first, last)))
        return np.concatenate(list(self._threads.pool.map(mine, range(parts))))


def forked():
    for engine in list(ENGINES):
        engine._leave_workers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forked)
