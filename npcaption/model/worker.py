"""A worker process: runs the engine on its parent's requests; see workers.py.

Requests are pickles. They come through a pipe that only the parent, the same user's program, can write to.
"""
import os
import pickle
import signal
import sys
from contextlib import suppress

from ..errors import WorkerError
from ..support.shared import open_shared
from .numba_engine import NumbaEngine, gradients_of
from .objectives import OBJECTIVES
from .parameters import Parameters

NOTED = "SIGINT SIGTERM SIGHUP SIGBREAK SIGXCPU".split()     # by the parent, who says when it is time to end


def serve():
    """Answer the requests on stdin until it ends."""
    for name in NOTED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)                                            # other prints do not mix with the replies
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        number, opener, layout, config = pickle.load(requests)
        jobs, mailbox = None, None
        while True:
            try:
                if jobs is None:
                    jobs, mailbox = prepared(number, opener, layout, config)
                    reply = "ready", None
                else:
                    places, content = pickle.load(requests)
                    job, arguments = pickle.loads(content, buffers=[mailbox[start:end] for start, end in places])
                    reply = jobs[job](*arguments), None
            except (EOFError, BrokenPipeError):
                raise
            except Exception as error:
                reply = None, error
            write(replies, reply)
    os._exit(0)                                              # the memory is mapped by arrays still


def write(replies, reply):
    try:
        content = pickle.dumps(reply, 5)
        pickle.loads(pickle.dumps(reply[1]))                 # an error's arguments need not be those that make one
    except Exception:
        content = pickle.dumps((None, WorkerError(f"{type(reply[1]).__name__}: {reply[1]}")))
    replies.write(content)
    replies.flush()


def prepared(number, opener, layout, config):
    """-> {job: function}, and the mailbox"""
    from .. import kernels
    kernels.compile_kernels(refuse)
    flat, panels, parts, mailbox = layout.views(open_shared(opener, sum(layout.sizes())))
    engine = NumbaEngine(config, Parameters(config, flat=flat), 1, panels)
    part = Parameters(config, flat=parts[number][:layout.parameters])

    def gradients(config, batch, objectives):
        named = {objective.name: objective for objective in OBJECTIVES}
        objectives = [named[name]._replace(weight=weight) for name, weight in objectives]
        own = range(number, len(batch.inputs), layout.workers)
        return gradients_of(kernels, config, engine.p, part, batch, objectives, own)

    def each(config, work, item):
        engine.config = config
        return work(engine, item)
    return {"gradients": gradients, "each": each}, mailbox


def refuse(missing):
    raise WorkerError(f"{len(missing)} compiled kernels are not kept in a folder of caches")
