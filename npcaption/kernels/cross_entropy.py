"""Softmax and cross-entropy of one image's caption."""
import numpy as np

from .compilation import kernel
from .exponential import exp_of_negative
from .simd import F1, F2, IDS, F, maximum

PADDING = 0


@kernel
def fused_cross_entropy(logits: F2, targets: IDS, share: F, row_loss: F1):
    """Write each token's part of the loss into row_loss (T,).  logits (T, V), share = the caption's weight / total

    logits become (softmax(logits) - onehot(target)) * share: the gradient, except for dloss.
    """
    for t in range(logits.shape[0]):
        row = logits[t]
        if targets[t] == PADDING:
            row_loss[t] = 0
            row[:] = 0
            continue
        peak = row[0]
        for j in range(row.size):
            peak = maximum(peak, row[j])
        at_target = row[targets[t]] - peak
        sum_of_exps = np.float32(0)
        for j in range(row.size):
            e = exp_of_negative(row[j] - peak)
            row[j] = e
            sum_of_exps += e
        row_loss[t] = (np.log(sum_of_exps) - at_target) * share
        scale = share / sum_of_exps
        for j in range(row.size):
            row[j] *= scale
        row[targets[t]] -= share
