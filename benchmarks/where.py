"""Where a training step's time goes on one core: each kernel, and the interpreter between them.

    python -m benchmarks.where [--batch-size 16] [--steps 20]

The seed model at 128x128. Seconds are the thread's processor time, so that a busy machine disturbs little; of each
kernel's calls, the 20th percentile of the steps. "Between them" is the step without its kernels: Python, NumPy, and
their cache misses. The floor is the step's multiply-adds at the machine's peak, measured in the same run.
"""
import argparse
import time
from collections import defaultdict

import numpy as np

from npcaption import kernels

from . import flops
from .ceiling import replaceable
from .peak import make_peak
from .step import MODEL, make_npcaption


def seconds_of(work):
    start = time.thread_time()
    work()
    return time.thread_time() - start


def name_of(kernel, arguments):
    """The kernel's name, and how many rows it works on"""
    rows = next((len(a) for a in arguments if isinstance(a, np.ndarray) and a.ndim == 2), 0)
    return f"{kernel.__name__} {rows or ''}".strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    kernels.compile_kernels()
    step = make_npcaption("numba", options.batch_size, 1, MODEL, processes=False)
    peak, flop_of_peak = make_peak(1, 5000)
    whole, peaks, of_step, found = [], [], defaultdict(float), defaultdict(list)
    for _ in range(options.steps + 2):
        peaks.append(seconds_of(peak))
        whole.append(seconds_of(step))

    def watched(kernel):
        def call(*arguments):
            of_step[name_of(kernel, arguments)] += seconds_of(lambda: results.append(kernel(*arguments)))
            return results.pop()
        results = []
        return call
    for module, name, kernel in replaceable():
        setattr(module, name, watched(kernel))
    for _ in range(options.steps):
        of_step.clear()
        step()
        for name, seconds in of_step.items():
            found[name].append(seconds)

    def low(seconds):
        return float(np.percentile(seconds, 20)) * 1e3
    total, taken = low(whole[2:]), {name: low(seconds) for name, seconds in found.items()}
    print(f"batch {options.batch_size}: {total:.1f} ms a step\n{'':<40}{'ms a step':>10}{'share':>8}")
    for name, ms in sorted(taken.items(), key=lambda item: -item[1]):
        print(f"{name:<40}{ms:>10.2f}{ms / total:>8.1%}")
    between = total - sum(taken.values())
    print(f"{'between them':<40}{between:>10.2f}{between / total:>8.1%}")
    floor = options.batch_size * flops.step(MODEL, MODEL.max_length - 1) / (flop_of_peak / low(peaks))
    print(f"{'floor, the multiply-adds at the peak':<40}{floor:>10.2f}{floor / total:>8.1%}")


if __name__ == "__main__":
    main()
