"""GFLOP/s of the three products of each linear layer on one core, and share of the FMA peak in the same run.

    python -m benchmarks.matmul [--rounds 100]
"""
import argparse
import statistics
import time

import numpy as np

from npcaption.kernels import Room, compile_kernels
from npcaption.kernels.matmul import accumulate, multiply
from npcaption.kernels.sublayers import NO_MATRIX, NO_VECTOR, prepare_sublayer

from .flops import product
from .peak import make_peak

SHAPES = [(256, 192, 128), (256, 128, 384), (256, 128, 128), (256, 128, 256), (256, 128, 512), (256, 512, 128),
          (47, 128, 384), (47, 128, 128), (47, 128, 512), (47, 512, 128), (47, 128, 53)]  # rows, inputs, outputs


def calls(rows, inputs, outputs):
    """{product: function that computes it}"""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((rows, inputs), np.float32), rng.standard_normal((rows, outputs), np.float32)
    w = prepare_sublayer({"w.weight": rng.standard_normal((inputs, outputs), np.float32)}, Room())["w.weight"]
    b, y, dx, dw = np.zeros(outputs, np.float32), dy.copy(), x.copy(), w.w.copy()
    return {"x W + b": lambda: multiply(x, w.panels, b, NO_MATRIX, y),
            "dY W^T": lambda: multiply(dy, w.transposed, NO_VECTOR, NO_MATRIX, dx),
            "X^T dY": lambda: accumulate(x, dy, dw, NO_VECTOR)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    compile_kernels()
    found, (work, flop_of_peak) = [calls(*shape) for shape in SHAPES], make_peak(1, 500)
    seconds, peaks = [{name: [] for name in products} for products in found], []
    for number in range(rounds + 1):
        for products, times in zip(found, seconds):
            for name, call in products.items():
                call()                                       # into the cache
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
            start = time.perf_counter()
            work()
            peaks.append(time.perf_counter() - start)
    peak = flop_of_peak / statistics.median(peaks)
    print(f"FMA peak of one core: {peak / 1e9:.0f} GFLOP/s\n{'rows, inputs, outputs':<24}"
          + "".join(f"{name:>10}{'':>7}" for name in found[0]))
    for shape, times in zip(SHAPES, seconds):
        speeds = [product(*shape) / statistics.median(taken) for taken in times.values()]
        print(f"{str(shape):<24}" + "".join(f"{speed / 1e9:>10.0f} {speed / peak:>5.0%} " for speed in speeds))


if __name__ == "__main__":
    main()
