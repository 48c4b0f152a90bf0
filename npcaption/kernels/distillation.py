"""The numba engine's sublayers of distillation, on one image at a time, like those of sublayers.py."""
import numpy as np

from .arena import arena
from .soft_cross_entropy import fused_soft_cross_entropy
from .sublayers import output_backward, output_forward, output_loss_backward


def output_soft_loss_forward(x, p, likeliest, probabilities, total, weights=None):
    logits, cache = output_forward(x, p)
    row_loss, share = arena().take(len(x)), np.float32(1 if weights is None else weights) / np.float32(total)
    q = np.require(probabilities, np.float32)                # (T, J)
    sums = q.sum(-1, keepdims=True)
    q = q / (sums + (sums == 0))
    fused_soft_cross_entropy(logits, np.require(likeliest, np.int64, "CW"), q, share, row_loss)
    return row_loss.sum(dtype=np.float64), (logits, cache)   # logits now holds its own gradient


output_soft_loss_backward = output_loss_backward


def feature_regression_forward(source, p, pooled, total):
    predicted, cache = output_forward(source.mean(0, keepdims=True), p)  # (1, Z)
    error = predicted[0] - pooled.astype(np.float32)         # (Z,)
    share = 1 / (total * error.size)
    np.multiply(error, np.float32(2 * share), out=predicted[0])
    loss = np.square(error, dtype=np.float64).sum() * share
    return loss, (len(source), predicted, cache)             # predicted now holds its own gradient


def feature_regression_backward(dloss, cache, g):
    patches, dpredicted, output = cache
    if dloss != 1:
        dpredicted *= np.float32(dloss)
    dmean = output_backward(dpredicted, output, g)           # (1, C)
    return np.repeat(dmean / np.float32(patches), patches, axis=0)
