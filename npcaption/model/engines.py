"""Engines: a batch through the model, all at once in NumPy, or image by image over workers in numba.

An engine runs one model. It holds the configuration and the Parameters, and offers

    loss_and_gradients(batch, gradients, objectives)         a training step's forward and backward
    update(gradients, m, v, decay, step, settings)           one step of AdamW, unless the gradients are not finite
    refresh()                                                use parameters changed by anything but `update`
    watch(gradients)                                         from now on raise at a NaN or an infinity: see watched
    encode(images)   decode_loss(source, owners, ids)   decode_logits(source, owners, ids)
    remember(images, count)   step(ids, place, memory)       decoding, token by token: see model.Memory
    employ()                                                 start worker processes now, not after some seconds of work
    each(work, items)                                        work(engine, item) for each item, in order, or in parallel

batch: a Batch; objectives: Objectives with their weights; settings: AdamW; images (B, A, A, 3) uint8, ids (M, L) with
start and end, source (B, P, C).
"""
from numbers import Integral

import numpy as np

from ..config import ENGINES
from ..errors import ConfigError, printable
from ..support import background
from ..support.cores import usable_cores
from ..support.settings import suggestion
from .numba_engine import NumbaEngine, compile_kernels
from .numpy_engine import NumpyEngine


def make_engine(name, config, parameters, threads=0):
    """Make an engine.  name "numba" or "numpy"; threads: workers of the numba engine, 0 for one per core

    BLAS chooses the threads of the NumPy engine.
    """
    check_name(name)
    if not isinstance(threads, Integral) or isinstance(threads, bool) or threads < 0:
        raise ConfigError(f"threads is {threads!r}; it must be a whole number of at least 0. Pass 0 for one per core.")
    if name == "numba":
        if parameters.flat.dtype != np.float32:
            raise ConfigError(f"The parameters are {parameters.flat.dtype}; the numba engine needs float32. "
                              "Choose the engine numpy.")
        return NumbaEngine(config, parameters, int(threads) or usable_cores())
    return NumpyEngine(config, parameters)


def check_name(name):
    """ConfigError for an engine that does not exist."""
    if name not in ENGINES:
        raise ConfigError(f"There is no engine {printable(repr(name))}{suggestion(str(name).lower(), ENGINES)} Choose: "
                          f"{', '.join(ENGINES)}.")


def compile_engine(name):
    """Compile an engine's kernels in the background -> a Future, done when the engine can be made

    Optional: an engine waits for it, or compiles its kernels itself.  ConfigError at once for an unknown engine, or one
    that this machine cannot run
    """
    check_name(name)
    if name == "numpy":
        return background.done()
    return compile_kernels()
