"""Trial, not to be kept: three changes of the workers, each against none, in turn: where the time of a step of all cores goes."""
import os
import sys
import tempfile
import time

import numpy as np

from npcaption.model import workers as processes
from npcaption.support.cores import usable_cores

from . import cores
from .step import MODEL, make_npcaption

PROGRAM = ("import sys; sys.path[:] = {{path!r}}; from benchmarks import trial; trial.change({folder!r}, {kind!r}); "
           "from npcaption.model.worker import serve; serve()")


def change(folder, kind):
    from npcaption import kernels
    from npcaption.model import worker
    from npcaption.model.parameters import Parameters
    kept, real = {}, worker.gradients_of
    if kind in ("parts", "both", "panels"):
        def own(layers, config, p, part, batch, objectives, mine):
            if not kept:
                kept["part"] = Parameters(config)
                kept["shared"] = next(a for a in [p["output"]["linear.weight"].panels] if a is not None).base
                room = kernels.Room(kernels.panels_room(part))
                kept["p"] = {layer: kernels.prepare_sublayer({n: (v.w if isinstance(v, kernels.sublayers.Matrix) else v) for n, v in
                                                             views.items()}, room, False) for layer, views in p.items()}
                kept["pairs"] = list(zip(kernels.matrices(p), kernels.matrices(kept["p"])))
            if kind in ("panels", "both"):
                for there, here in kept["pairs"]:
                    here.panels[:] = there.panels
                    here.transposed[:] = there.transposed
                p = kept["p"]
            if kind == "panels":
                return real(layers, config, p, part, batch, objectives, mine)
            found = real(layers, config, p, kept["part"], batch, objectives, mine)
            part.flat[...] = kept["part"].flat
            kept["part"].flat[...] = 0
            return found
        worker.gradients_of = own
    if kind == "spin":
        import fcntl
        import pickle
        import struct
        import termios

        class Spinning:
            def load(self, file):
                if file is sys.stdin.buffer:
                    end = time.perf_counter() + 0.02
                    while time.perf_counter() < end and not struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, b"\0" * 4))[0]:
                        pass
                return pickle.load(file)

            def __getattr__(self, name):
                return getattr(pickle, name)
        worker.pickle = Spinning()
    real_whole = worker.gradients_of

    def logged(*arguments):
        start, used = time.perf_counter(), time.process_time()
        found = real_whole(*arguments)
        print(start, time.perf_counter(), time.process_time() - used, file=out, flush=True)
        return found
    out = open(os.path.join(folder, str(os.getpid())), "w")
    worker.gradients_of = logged


def main():
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else usable_cores()
    kinds, made = ["none", "parts", "panels", "both", "spin"], {}
    for size in (workers, 4 * workers):
        for kind in kinds:
            folder = tempfile.mkdtemp()
            processes.PROGRAM = PROGRAM.format(folder=folder, kind=kind)
            made[kind] = make_npcaption("numba", size, workers, MODEL), folder, []
            engine = made[kind][0].trainer.engine
            engine.asked, real = [], engine.workers.ask_all

            def ask(*arguments, engine=engine, real=real):
                engine.asked.append(time.perf_counter())
                return real(*arguments)
            engine.workers.ask_all = ask
        for number in range(5):
            for kind in kinds:
                step, folder, seconds = made[kind]
                for i in range(6):
                    start = time.perf_counter()
                    step()
                    if i:
                        seconds.append(time.perf_counter() - start)
        for kind in kinds:
            step, folder, seconds = made[kind]
            asked = np.array(step.trainer.engine.asked)
            logs = np.array([np.loadtxt(os.path.join(folder, name), ndmin=2) for name in os.listdir(folder)])
            start, taken, used = logs[..., 0] - asked, logs[..., 1] - logs[..., 0], logs[..., 2]
            m = np.median
            print(f"trial batch {size} {kind:<7} step {m(seconds) * 1e3:7.2f} ms; start {m(start.min(0)) * 1e3:.2f} to {m(start.max(0)) * 1e3:.2f}; "
                  f"images mean {m(taken.mean(0)) * 1e3:.2f}, slowest {m(taken.max(0)) * 1e3:.2f}, processor {m(used.mean(0)) * 1e3:.2f}", flush=True)
        made.clear()


if __name__ == "__main__":
    main()
