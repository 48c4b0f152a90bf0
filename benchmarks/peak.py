"""Peak multiply-adds per second of the machine: the kernels' own tile on data in the nearest cache."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from npcaption.kernels.compilation import kernel
from npcaption.kernels.matmul import BYTES, tile
from npcaption.kernels.simd import F1, I, address
from npcaption.kernels.target import COLUMNS, ROWS

DEPTH = 128


@kernel
def tiles(a: F1, b: F1, c: F1, repeats: I):
    for _ in range(repeats):
        tile(ROWS, address(a, 0), BYTES * DEPTH, BYTES, address(b, 0), BYTES * COLUMNS, DEPTH,
             address(c, 0), BYTES * COLUMNS, 0, 0, COLUMNS)


def make_peak(threads, repeats=20000):
    """-> a function `work`, and the FLOP of one call.

    repeats: tiles per thread. Choose it so that the work lasts as long as the other contestants', as longer work meets
    more disturbances.
    """
    pool = ThreadPoolExecutor(threads)
    sizes = ROWS * DEPTH, DEPTH * COLUMNS, ROWS * COLUMNS
    data = [[np.zeros(size, np.float32) for size in sizes] for _ in range(threads)]
    flop = 2 * ROWS * COLUMNS * DEPTH * repeats * threads
    if threads == 1:
        return lambda: tiles(*data[0], repeats), flop
    return lambda: list(pool.map(lambda arrays: tiles(*arrays, repeats), data)), flop
