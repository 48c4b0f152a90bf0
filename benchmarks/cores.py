"""Speed of a training step by cores: npcaption by workers, PyTorch's best form by threads, in alternating processes.

    python -m benchmarks.cores                           up to all cores, batches 16 and 64
    python -m benchmarks.cores --batches 64 --workers 1 4 16 --rounds 9

The seed model at 128x128 on random pixels. Beside the worker processes stands the engine in as many threads of one
interpreter, as it works in its first seconds. The last table shows where a step of the most workers spends its time.
PyTorch needs the extra `bench`; without it npcaption alone is measured.
"""
import argparse
import importlib.util
import os
import sys
import tempfile
import time
from statistics import median as middle

import numpy as np

from npcaption.model import workers as processes
from npcaption.model.engines import compile_engine
from npcaption.support.cores import usable_cores

from .alternate import median, race, ratio, serve
from .step import MODEL, make_npcaption, make_torch


def counts(cores):
    """1, 2, 4, ... and all"""
    return sorted({min(2 ** i, cores) for i in range(cores.bit_length() + 1)})


def make(kind, count, size):
    if kind == "torch":
        return make_torch("best", size, count, MODEL)
    return make_npcaption("numba", size, count, MODEL, processes=kind == "workers")


def measure(size, workers, torch_threads, rounds):
    contestants = [*(("workers", n) for n in workers), ("threads", max(workers)),
                   *(("torch", n) for n in torch_threads)]
    command = [sys.executable, "-m", "benchmarks.cores", "--serve"]
    found = race({each: [*command, each[0], str(each[1]), str(size)] for each in contestants}, rounds, os.environ)
    one = found["workers", min(workers)]
    print(f"\nbatch {size}, {rounds} rounds")
    print(f"{'':<14}{'median ms':>10}{'images/s':>10}{'times ' + str(min(workers)):>9}{'MiB':>7}")
    for kind, count in contestants:
        times = found[kind, count]
        print(f"{kind:<9}{count:>5}{median(times) * 1e3:>10.1f}{size / median(times):>10.0f}{ratio(one, times):>9.2f}"
              f"{times.peak_memory:>7.0f}", flush=True)
    most = found["workers", max(workers)]
    print(f"batch {size}: {max(workers)} workers are {ratio(one, most):.2f} times {min(workers)}.")
    if torch_threads:
        best = min((found["torch", n] for n in torch_threads), key=median)
        threads = next(n for n in torch_threads if found["torch", n] is best)
        print(f"batch {size}: {max(workers)} workers are {ratio(best, most):.2f} times PyTorch at its best, "
              f"{threads} threads.", flush=True)


def share_of_memory(pid):
    """MiB resident, what several processes map divided among them"""
    with open(f"/proc/{pid}/smaps_rollup") as found:
        return next(int(line.split()[1]) / 1024 for line in found if line.startswith("Pss:"))


PROGRAM = ("import sys; sys.path[:] = {{path!r}}; from benchmarks import cores; cores.log_images({folder!r}); "
           "from npcaption.model.worker import serve; serve()")


def log_images(folder):
    """In a worker: write when it begins a step and ends it, its processor time in between, and each image's seconds."""
    from npcaption.model import worker
    real, out = worker.gradients_of, open(os.path.join(folder, str(os.getpid())), "w")

    def logged(*arguments):
        *others, mine = arguments
        start, used, images, found = time.perf_counter(), time.process_time(), [], ({}, [])
        for i in mine:
            before = time.perf_counter()
            losses, dimages = real(*others, range(i, i + 1))
            images.append(time.perf_counter() - before)
            for name, of_image in losses.items():
                found[0].setdefault(name, []).extend(of_image)
            found[1].extend(dimages)
        print(start, time.perf_counter(), time.process_time() - used, *images, file=out, flush=True)
        return found
    worker.gradients_of = logged


def tell_images(folder, asked, steps):
    """Print the workers' logs of the last steps.  asked: the time of each step's request"""
    logs = np.array([np.loadtxt(os.path.join(folder, name), ndmin=2)[-steps:]
                     for name in os.listdir(folder)])        # (W, steps, .)
    start, end, used, images = logs[..., 0] - asked[-steps:], logs[..., 1] - logs[..., 0], logs[..., 2], logs[..., 3:]
    rows = {"start after the request, the first": start.min(0), "start after the request, the last": start.max(0),
            "a worker's images, mean": end.mean(0), "a worker's images, the slowest": end.max(0),
            "a worker's processor time, mean": used.mean(0), "its first image, mean": images[..., 0].mean(0),
            "its other images, mean": images[..., 1:].mean((0, 2)) if images.shape[-1] > 1 else [np.nan]}
    for name, seconds in rows.items():
        print(f"  {name:<42}{np.median(seconds) * 1e3:>8.2f}", flush=True)


def parts(size, workers, steps=20):
    """Where a step of so many workers spends its time: in this process, and in the workers."""
    with tempfile.TemporaryDirectory() as folder:
        processes.PROGRAM, before = PROGRAM.format(folder=folder), processes.PROGRAM
        try:
            step = make_npcaption("numba", size, workers, MODEL, processes=True)
        finally:
            processes.PROGRAM = before
        measure_parts(step, size, workers, steps, folder)


def measure_parts(step, size, workers, steps, folder):
    engine, taken, asked = step.trainer.engine, {}, []

    def timed(name, function):
        def run(*arguments):
            start = time.perf_counter()
            if name == "images, in the workers":
                asked.append(start)
            result = function(*arguments)
            taken.setdefault(name, []).append(time.perf_counter() - start)
            return result
        return run
    if engine.workers:
        engine.workers.ask_all = timed("images, in the workers", engine.workers.ask_all)
        engine.workers._message = timed("  of it the request, copied to the mailbox", engine.workers._message)
    engine.loss_and_gradients = timed("gradients, with adding them", engine.loss_and_gradients)
    engine.update = timed("clipping, AdamW, packing", engine.update)
    run = timed("the whole step", step)
    for _ in range(steps + 3):
        run()
    print(f"\nbatch {size}, {workers} workers: median ms of {steps} steps, "
          f"{size / middle(taken['the whole step'][3:]):.0f} images/s")
    for name, seconds in taken.items():
        print(f"{name:<44}{middle(seconds[3:]) * 1e3:>8.2f}", flush=True)
    if engine.workers and size % workers == 0:
        tell_images(folder, np.array(asked), steps)
        each = [share_of_memory(worker.process.pid) for worker in engine.workers.all]
        print(f"memory of a worker: {middle(each):.0f} MiB, of all together {sum(each):.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=counts(usable_cores()))
    parser.add_argument("--threads", type=int, nargs="*", default=counts(usable_cores()), help="of PyTorch")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(make(options.serve[0], *map(int, options.serve[1:])))
    start = time.perf_counter()
    compile_engine("numba").result()
    print(f"{usable_cores()} usable cores; kernels ready after {time.perf_counter() - start:.1f} s", flush=True)
    for size in options.batches:
        measure(size, options.workers, options.threads if importlib.util.find_spec("torch") else [], options.rounds)
    for size in [*options.batches, 16 * max(options.workers)]:  # the last: the cost of waiting for the slowest
        parts(size, max(options.workers))


if __name__ == "__main__":
    main()
