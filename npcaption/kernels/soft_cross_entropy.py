"""Softmax and cross-entropy of one image's caption to soft targets."""
import numpy as np

from .compilation import kernel
from .exponential import exp_of_negative
from .simd import F1, F2, IDS2, F, maximum


@kernel
def fused_soft_cross_entropy(logits: F2, likeliest: IDS2, q: F2, share: F, row_loss: F1):
    """Write each token's part of the loss into row_loss (T,).  logits (T, V), likeliest and q (T, J)

    share: as in cross_entropy. logits become (softmax(logits) * sum(q) - q at the likeliest) * share: the gradient,
    except for dloss. A row with q = 0 is padding.
    """
    for t in range(logits.shape[0]):
        row, total, expected = logits[t], np.float32(0), np.float32(0)
        for j in range(q.shape[1]):
            total += q[t, j]
        if total == 0:
            row_loss[t] = 0
            row[:] = 0
            continue
        peak = row[0]
        for j in range(row.size):
            peak = maximum(peak, row[j])
        for j in range(q.shape[1]):
            expected += q[t, j] * (row[likeliest[t, j]] - peak)
        sum_of_exps = np.float32(0)
        for j in range(row.size):
            e = exp_of_negative(row[j] - peak)
            row[j] = e
            sum_of_exps += e
        row_loss[t] = (total * np.log(sum_of_exps) - expected) * share
        scale = total * share / sum_of_exps
        for j in range(row.size):
            row[j] *= scale
        for j in range(q.shape[1]):
            row[likeliest[t, j]] -= q[t, j] * share
