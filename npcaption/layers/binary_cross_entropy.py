"""Sigmoid and binary cross-entropy in one, because their combined gradient is simply sigmoid - target."""
import numpy as np


def binary_cross_entropy_forward(logits, targets, total):
    """loss = -sum(t log p + (1 - t) log(1 - p)) / total, p = sigmoid(logits), in nats.

    logits (..., W), targets (..., W) 0 or 1 -> scalar. With p = 1 / (1 + exp(-z)) a target costs log(1 + exp(z)) - t z;
    written with exp(-|z|) it cannot overflow.
    """
    t = targets.astype(logits.dtype)                         # (..., W)
    cost = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))) - t * logits  # (..., W)
    return cost.sum() / total, (logits, t, total)


def binary_cross_entropy_backward(dloss, cache):
    """dlogits = dloss * (sigmoid(logits) - t) / total: the derivative of log(1 + exp(z)) is the sigmoid.

    dloss is 1 for the loss itself, or its weight in a sum of losses.
    """
    logits, t, total = cache
    p = 0.5 * (1 + np.tanh(0.5 * logits))                    # (..., W), the sigmoid; exp(-z) could overflow
    return ((p - t) * (dloss / total)).astype(logits.dtype)  # (..., W)
