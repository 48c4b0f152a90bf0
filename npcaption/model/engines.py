"""How a batch goes through the model: all at once in NumPy, or image by image over threads in numba.

An engine runs one model: it keeps its configuration and its Parameters, and offers

    loss_and_gradients(batch, gradients, objectives)         a training step's forward and backward
    update(gradients, m, v, decay, step, settings)           one step of AdamW, unless the gradients are not finite
    refresh()                                                heed parameters that others than `update` have changed
    watch(gradients)                                         from now on raise where a number is not: see watched
    encode(images)   decode_loss(source, owners, ids)
    remember(images, count)   step(ids, place, memory)       decoding, token by token: see model.Memory

batch: a Batch; objectives: those to compute, with their weights; settings: AdamW's; images (B, A, A, 3) uint8,
ids (M, L) with start and end, source (B, P, C).
"""
import math
import os
from concurrent.futures import ThreadPoolExecutor, wait
from numbers import Integral
from threading import Barrier, Lock

import numpy as np

from .. import layers
from ..config import ENGINES
from ..errors import ConfigError, DataError, printable
from ..layers import adamw
from ..support import background
from ..support.cores import usable_cores
from ..support.progress import progress
from ..support.settings import suggestion
from ..tokenizers import PADDING
from . import wiring
from .finite import watched
from .memory import Memory, decode_step, remember
from .objectives import LIKELIHOOD


def make_engine(name, config, parameters, threads=0):
    """name "numba" or "numpy"; threads: of the numba engine, 0 for one a core (NumPy's own are BLAS's affair)."""
    check_name(name)
    if not isinstance(threads, Integral) or isinstance(threads, bool) or threads < 0:
        raise ConfigError(f"threads is {threads!r}; it must be a whole number of 0 or more, 0 for one a core.")
    if name == "numba":
        if parameters.flat.dtype != np.float32:
            raise ConfigError(f"The parameters are {parameters.flat.dtype}; the numba engine takes float32. "
                              "Choose the engine numpy for others.")
        return NumbaEngine(config, parameters, int(threads) or usable_cores())
    return NumpyEngine(config, parameters)


def check_name(name):
    """ConfigError for an engine that does not exist."""
    if name not in ENGINES:
        raise ConfigError(f"There is no engine {printable(repr(name))}{suggestion(str(name).lower(), ENGINES)} There are: "
                          f"{', '.join(ENGINES)}.")


def check_batch(config, ids, images=None):
    """Refuse what would reach beyond a table: kernels, unlike NumPy, do not look."""
    shape = config.input_shape
    if images is not None and images.shape[-len(shape):] != shape:
        raise DataError(f"The images have shape {images.shape}; this model takes (B, {', '.join(map(str, shape))}).")
    if ids.shape[-1] > config.max_length or ids.size and not 0 <= ids.min() <= ids.max() < config.vocabulary:
        raise DataError(f"The ids, shape {ids.shape}, go from {ids.min()} to {ids.max()}; this model takes at most "
                        f"{config.max_length} of 0 to {config.vocabulary - 1}.")


def no_text(config, captions, dtype):
    """For each decoder block room for the keys and values of so many captions' tokens, (R, L, 2C)"""
    shape = captions, config.max_length - 1, 2 * config.channels
    return [np.empty(shape, dtype) for _ in range(config.decoder_blocks)]


def compile_engine(name):
    """Begin to compile what the engine needs, beside what follows -> a Future, done when the engine can be made

    Optional: an engine waits for it, or compiles what it needs itself.  ConfigError at once for an engine that does not
    exist, or that cannot be used here.
    """
    check_name(name)
    if name == "numpy":
        return background.done()
    from .. import kernels

    def watch(found):
        for kernel in progress(found, len(found), "compiling the kernels, once", "kernels"):
            background.go_on()
            yield kernel
    return background.begin(lambda: kernels.compile_kernels(watch))


class NumpyEngine:
    """The textbook, given the whole batch; float32 or float64, as the parameters are."""

    def __init__(self, config, parameters):
        self.config, self.parameters, self.layers = config, parameters, layers

    def __reduce__(self):                                    # for copies, and for other processes
        return make_engine, ("numpy", self.config, self.parameters)

    def refresh(self):
        """There is nothing to do: the parameters are read where they lie."""

    def watch(self, gradients):
        self.layers = watched(layers, self.parameters.sublayer, gradients.sublayer)

    def loss_and_gradients(self, batch, gradients, objectives=(LIKELIHOOD,)):
        """-> {objective's name: loss}, and the images' gradient (None for uint8); gradients are overwritten

        The gradients are those of the sum of the losses, each times its objective's weight.
        """
        gradients.flat[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):   # what is not finite shows in the loss or in the norm
            losses, cache = wiring.loss_forward(self.layers, self.config, self.parameters.sublayer, batch, objectives)
            dimages = wiring.loss_backward(self.layers, 1.0, cache, gradients.sublayer)
        return {name: float(loss) for name, loss in losses.items()}, dimages

    def update(self, gradients, m, v, decay, step, settings):
        """One step of AdamW -> the gradients' norm before it was clipped. Their values are lost.  settings AdamW

        If the norm is not finite, nothing is changed.
        """
        norm = adamw.clip(gradients.flat, settings.clip_norm)
        if math.isfinite(norm):
            adamw.adamw(self.parameters.flat, gradients.flat, m, v, decay, step, settings)
        return norm

    def encode(self, images):
        return wiring.encode_forward(self.layers, self.config, self.parameters.sublayer, images)[0]

    def decode_loss(self, source, owners, ids):
        """Nats of all targets of captions ids (M, L) together; caption m is beside source[owners[m]]."""
        p = self.parameters.sublayer
        x, _ = wiring.decode_forward(self.layers, self.config, p, ids[:, :-1], source[owners])
        return float(self.layers.output_loss_forward(x, p["output"], ids[:, 1:], 1)[0])

    def remember(self, images, count):
        """-> the Memory of `count` captions for each image, none of them begun"""
        found = remember(self.layers, self.config, self.parameters.sublayer, self.encode(images))
        return Memory(no_text(self.config, len(images) * count, self.parameters.flat.dtype), found)

    def step(self, ids, place, memory):
        """Scores of what may follow the captions' tokens ids (R,) at `place` -> (R, V); memory is added to."""
        return decode_step(self.layers, self.config, self.parameters.sublayer, ids, place, memory)


def started(threads):
    """A pool whose threads are all there. RuntimeError if the system has no more of them: now, not in a later step."""
    pool, together = ThreadPoolExecutor(threads), Barrier(threads + 1)
    try:
        for _ in range(threads):
            pool.submit(together.wait)                       # each in another thread, as none is done before all wait
        together.wait()
    except BaseException:
        together.abort()
        pool.shutdown()
        raise
    return pool


class NumbaEngine:
    """The kernels, each thread with images, an arena and a gradient buffer of its own; float32.

    Thread t takes the images t, t + threads, ... and the gradient buffers are added in the order of the threads, so that
    the same seed and number of threads give the same bits. Several threads may call an engine: their gradients are
    computed one after another, as they share the buffers.
    """

    def __init__(self, config, parameters, threads):
        from .. import kernels  # here, so that the NumPy engine does without numba
        compile_engine("numba").result()
        self.kernels, self.config, self.parameters, self.threads = kernels, config, parameters, threads
        self.p, self.layers = kernels.prepare(parameters), kernels
        self.matrices, self.packed = kernels.matrices(self.p), parameters.flat.copy()  # packed: None if not known
        self.parts = None                                    # (threads, N): made when gradients are first wanted
        self._pool, self._locks = (None, 0), {}              # the pool and the process that it is of

    def __reduce__(self):
        return NumbaEngine, (self.config, self.parameters, self.threads)

    @property
    def pool(self):
        """This process's threads: one that was forked has none of its parent's."""
        if self._pool[1] != os.getpid():
            self._pool = started(self.threads), os.getpid()
        return self._pool[0]

    @property
    def lock(self):
        """Of the buffers of gradients. A forked process has one of its own, as its parent's may be held."""
        return self._locks.setdefault(os.getpid(), Lock())

    def refresh(self):
        if self.packed is None or not np.array_equal(self.packed, self.parameters.flat):
            for matrix in self.matrices:
                matrix.pack()
            self.packed = self.parameters.flat.copy()

    def watch(self, gradients):
        self._make_parts(gradients)
        self.layers = watched(self.kernels, self.p, *(buffer.sublayer for buffer in self.buffers))

    def _make_parts(self, gradients):
        """For each thread a buffer of gradients like these"""
        if self.parts is None:
            self.parts = np.zeros((self.threads, gradients.flat.size), np.float32)
            self.buffers = [type(gradients)(self.config, flat=part) for part in self.parts]

    def _share(self, work):
        """work(thread) in every thread -> its results in their order"""
        futures = [self.pool.submit(work, thread) for thread in range(self.threads)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            wait(futures)                                    # the others write to buffers still
            raise

    def _for_each(self, count, work):
        """work(i) for i < count, each in a thread whose arena is empty"""
        def mine(thread):
            for i in range(thread, count, self.threads):
                self.kernels.arena().reset()
                work(i)
        self._share(mine)

    def loss_and_gradients(self, batch, gradients, objectives=(LIKELIHOOD,)):
        check_batch(self.config, batch.ids, batch.inputs)
        count = len(batch.inputs)
        losses, dimages = {objective.name: np.zeros(count) for objective in objectives}, [None] * count

        def mine(thread):
            self.parts[thread] = 0
            g = self.buffers[thread].sublayer
            for i in range(thread, count, self.threads):
                self.kernels.arena().reset()
                found, cache = wiring.loss_forward(self.layers, self.config, self.p, batch.of(i), objectives)
                for name, loss in found.items():
                    losses[name][i] = loss
                dimages[i] = wiring.loss_backward(self.layers, 1.0, cache, g)
        with self.lock:
            self._make_parts(gradients)
            self._share(mine)
            self._share(lambda thread: self.kernels.add_gradients(self.parts, gradients.flat, *self._range(thread)))
        return ({name: float(of_images.sum()) for name, of_images in losses.items()},
                None if dimages[0] is None else np.stack(dimages))

    def _range(self, thread):
        """A thread's part of the flat buffers, first and last + 1"""
        size = self.parameters.flat.size
        return size * thread // self.threads, size * (thread + 1) // self.threads

    def update(self, gradients, m, v, decay, step, settings):
        squares = self._share(lambda thread: self.kernels.sum_of_squares(gradients.flat, *self._range(thread)))
        norm = sum(squares) ** 0.5
        if not math.isfinite(norm):
            return norm
        numbers = self.kernels.adamw_numbers(step, settings, norm)
        buffers = self.parameters.flat, gradients.flat, m, v, decay
        self.packed = None                                   # a copy at each step would take time

        def mine(thread):
            part = slice(*self._range(thread))
            self.kernels.adamw(*(buffer[part] for buffer in buffers), numbers)
        self._share(mine)
        self._share(lambda thread: [matrix.pack() for matrix in self.matrices[thread::self.threads]])
        return norm

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
        return np.concatenate(list(self.pool.map(mine, range(parts))))
