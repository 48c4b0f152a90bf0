"""How many multiply-adds a second the machine can do: the kernels' own tile on data that never leaves the nearest cache."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from npcaption.kernels.matmul import SIZE, tile_full
from npcaption.kernels.simd import COLUMNS, ROWS, F1, I, address, kernel

DEPTH, REPEATS = 128, 20000


@kernel(F1, F1, F1, I)
def tiles(a, b, c, repeats):
    for _ in range(repeats):
        tile_full(address(a, 0), SIZE * DEPTH, SIZE, address(b, 0), SIZE * COLUMNS, DEPTH, address(c, 0), SIZE * COLUMNS,
                  0, 0, COLUMNS)


def make_peak(threads):
    """-> work, and the FLOP that one call of it does"""
    pool = ThreadPoolExecutor(threads)
    data = [[np.zeros(size, np.float32) for size in (ROWS * DEPTH, DEPTH * COLUMNS, ROWS * COLUMNS)] for _ in range(threads)]
    return (lambda: list(pool.map(lambda arrays: tiles(*arrays, REPEATS), data)),
            2 * ROWS * COLUMNS * DEPTH * REPEATS * threads)
