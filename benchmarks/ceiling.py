"""How far the engine would scale if cores were all it needed: each kernel is replaced by a sleep of its measured time.

    python -m benchmarks.ceiling                         16 workers, batch 64: on two cores, as sleepers need none
    python -m benchmarks.ceiling --workers 32 --batch-size 128

The rest is the interpreter's part, in each worker and in the process that asks them, and their waiting for one another.
The last line is all workers' speed as a share of their number times one worker's; below 90 % the exit status is 1. Run
it on a quiet machine: two cores must do all workers' interpreting.
"""
import argparse
import ctypes
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress

from npcaption import kernels
from npcaption.kernels import compilation, sublayers
from npcaption.model import workers as processes
from npcaption.support.progress import progress

from .step import MODEL, make_npcaption

LEAST = 0.9
SHORTEST = 1e-3     # seconds of a sleep: shorter kernels share one with those that follow, as a sleep costs 10 us
PROGRAM = ("import sys; sys.path[:] = {{path!r}}; from benchmarks import ceiling; ceiling.sleep({times!r}); "
           "from npcaption.model.worker import serve; serve()")


def replaceable():
    """(module, name, kernel) of all kernels where Python looks them up"""
    known = {id(dispatcher) for dispatcher, _ in compilation.KERNELS} - {id(kernels.fold_key)}
    return [(module, name, value) for module in (kernels, sublayers) for name, value in vars(module).items()
            if id(value) in known]


def call_of(name, arguments):
    """A kernel's name and the shapes of some of its arguments: enough to tell its calls apart, and quickly found"""
    last = arguments[-1]
    of_range = last - arguments[-2] if type(last) is int else 0
    return (name, of_range, getattr(arguments[0], "shape", None), getattr(arguments[1], "shape", None),
            getattr(last, "shape", None))


def measure(workers, batch):
    """Seconds of processor time of each kernel's call in steps of one worker and of so many -> [[call, median]]"""
    seconds, real = {}, replaceable()
    for module, name, kernel in real:
        def timed(*arguments, kernel=kernel, name=name):
            start = time.thread_time()
            result = kernel(*arguments)
            seconds.setdefault(call_of(name, arguments), []).append(time.thread_time() - start)
            return result
        setattr(module, name, timed)
    try:
        for count in (1, workers):
            step = make_npcaption("numba", batch, count, MODEL, processes=False)
            for _ in progress(range(3), 3, f"kernels of {count} workers", "steps"):
                step()
    finally:
        for module, name, kernel in real:
            setattr(module, name, kernel)
    return [[call, statistics.median(found)] for call, found in seconds.items()]


def sleep(file):
    """Replace the kernels by sleeps of the times in a JSON file. They write next to nothing."""
    with open(file) as content:
        times = {tuple(tuple(part) if isinstance(part, list) else part for part in call): seconds
                 for call, seconds in json.load(content)}
    kernels.compile_kernels()
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # NumPy adds numbers that nobody has written
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(29, 1)                       # PR_SET_TIMERSLACK, in ns: Linux adds 50 us otherwise
    owed = threading.local()
    for module, name, kernel in replaceable():
        def asleep(*arguments, name=name):
            owed.seconds = getattr(owed, "seconds", 0.0) + times[call_of(name, arguments)]
            if owed.seconds > SHORTEST:
                time.sleep(owed.seconds)
                owed.seconds = 0.0
            if name == "fused_cross_entropy":
                arguments[-1][:] = 0
            return 1.0 if name == "sum_of_squares" else None
        setattr(module, name, asleep)


def rate(workers, batch, steps, processes):
    """-> images a second, and seconds of processor time an image, of all processes together"""
    step = make_npcaption("numba", batch, workers, MODEL, processes)
    pids = [os.getpid(), *(worker.process.pid for worker in getattr(step.trainer.engine.workers, "all", []))]
    seconds, used, label = [], 0, f"{workers} {'processes' if processes else 'threads'}"
    for number in progress(range(-2, steps), steps + 2, label, "steps"):
        if number == 0:
            used = processor_time(pids)
        start = time.perf_counter()
        step()
        if number >= 0:
            seconds.append(time.perf_counter() - start)
    return batch / statistics.median(seconds), (processor_time(pids) - used) / steps / batch


def processor_time(pids):
    """Seconds that these processes have used together"""
    def of(pid):
        with open(f"/proc/{pid}/stat") as stat:
            return sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))
    return sum(map(of, pids)) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    kernels.compile_kernels()
    times = measure(options.workers, options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "times.json")
        with open(file, "w") as out:
            json.dump(times, out)
        processes.PROGRAM = PROGRAM.format(times=file)
        sleep(file)
        found = [rate(count, options.batch_size, steps, apart) for count, steps, apart in (
            (1, 3, False), (options.workers, options.steps, False), (options.workers, options.steps, True))]
    one = found[0][0]
    print(f"{'':<24}{'images/s':>9}{'of ideal':>10}{'processor ms an image':>23}")
    names = ("1 worker", f"{options.workers} threads", f"{options.workers} worker processes")
    for name, count, (images, used) in zip(names, (1, options.workers, options.workers), found):
        share = images / count / one
        print(f"{name:<24}{images:>9.0f}{share:>10.0%}{used * 1e3:>23.2f}")
    print(f"{options.workers} workers reach {share:.0%} of {options.workers} times one.")
    return int(share < LEAST)


if __name__ == "__main__":
    sys.exit(main())
