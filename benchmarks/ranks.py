"""The exchange of gradients between MPI ranks: its time, and the bytes that each rank sends.

    mpirun -n 4 python -m benchmarks.ranks [--numbers 861568] [--rounds 50]
"""
import argparse
import time
from types import SimpleNamespace

import numpy as np

from npcaption import kernels
from npcaption.support.command import command
from npcaption.training.launcher import ranks_of_training
from npcaption.training.ranks import ALONE


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.ranks", description=__doc__)
    parser.add_argument("--numbers", type=int, default=861_568, help="parameters of the model")
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    kernels.compile_kernels()
    with ranks_of_training() as ranks:
        if ranks is ALONE:
            return print("Start it with mpirun -n 2, or more.")
        engine = SimpleNamespace(kernels=kernels)
        gradients, losses = np.zeros(options.numbers, np.float32), {"likelihood": 0.0}
        steps = {"gradients and losses": lambda: ranks.add(engine, gradients, losses), "signals": lambda: ranks.most(0)}
        print(f"{ranks.count} ranks, {options.numbers:,} numbers: each rank sends "
              f"{8 * options.numbers * (ranks.count - 1) // ranks.count:,} bytes a step")
        for name, step in steps.items():
            times = []
            for _ in range(options.rounds):
                ranks.most(0)                                # so that all begin together
                start = time.perf_counter()
                step()
                times.append(1e3 * (time.perf_counter() - start))
            print(f"{name:<22}{np.median(times):8.2f} ms median {min(times):8.2f} ms least, of {options.rounds}")


if __name__ == "__main__":
    command(main)
