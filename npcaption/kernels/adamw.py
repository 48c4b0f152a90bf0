"""AdamW and the sum of the workers' gradients, on ranges of the flat buffers."""
import numpy as np

from .compilation import kernel
from .simd import F1, F2, I

ONE = np.float32(1)


@kernel
def add_gradients(parts: F2, total: F1, first: I, last: I):
    """total[first:last] = the sum of parts' rows; the rows become 0.  parts (workers, N), total (N,)

    The sum is a tree of halves: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). So two machines that first add their halves
    get the same bits as one machine.
    """
    count, levels = parts.shape[0], 0
    while 1 << levels < count:
        levels += 1
    for start in range(first, last, 4096):
        block = slice(start, min(start + 4096, last))
        for level in range(levels - 1, -1, -1):
            for n in range(1 << level):
                left, right = count * n >> level, count * (2 * n + 1) >> (level + 1)
                if left < right < count * (n + 1) >> level:
                    into, row = parts[left, block], parts[right, block]
                    for i in range(into.size):
                        into[i] += row[i]
        out, row = total[block], parts[0, block]
        for i in range(out.size):
            out[i] = row[i]
        for part in range(count):                            # while still in the nearest cache
            parts[part, block] = 0


@kernel
def sum_of_squares(g: F1, first: I, last: I):
    """Sum of the squares of g[first:last], in float64 over float32 sums of blocks."""
    total = 0.0
    for start in range(first, last, 4096):
        piece, block = g[start:min(start + 4096, last)], np.float32(0)
        for i in range(piece.size):
            block += piece[i] * piece[i]
        total += block
    return total


@kernel
def adamw(p: F1, g: F1, m: F1, v: F1, decay: F1, numbers: F1):
    """As in layers/adamw.py, with g * scale.  numbers: see adamw_numbers"""
    scale, rate, beta1, beta2, epsilon = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    correct1, correct2 = numbers[5], numbers[6]
    for i in range(p.size):
        slope = g[i] * scale
        mean = beta1 * m[i] + (ONE - beta1) * slope
        square = beta2 * v[i] + (ONE - beta2) * slope * slope
        m[i] = mean
        v[i] = square
        p[i] = p[i] * (ONE - rate * decay[i]) - rate * (mean * correct1) / (np.sqrt(square * correct2) + epsilon)


def adamw_numbers(step, settings, norm):
    """The kernel's numbers -> (7,): scale of clipping, learning rate, beta1, beta2, epsilon, 1 / (1 - beta1^step) and
    1 / (1 - beta2^step).  settings AdamW; norm: the gradient's norm
    """
    scale = settings.clip_norm / norm if norm > settings.clip_norm else 1.0
    corrections = [1 / (1 - beta ** step) for beta in (settings.beta1, settings.beta2)]
    return np.array([scale, *settings[:4], *corrections], np.float32)
