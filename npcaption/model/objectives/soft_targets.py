"""Soft targets: cross-entropy to a teacher's distribution over every next token, in nats per token.

The targets hold the likeliest tokens of each distribution and their probabilities, normalised in the loss: see
npcaption/training/teacher.py. The loss is at least the entropy of these distributions.
"""
import numpy as np

from ...tokenizers import PADDING
from .objective import Objective

UNIT = 2 ** 16 - 1  # probability 1 in stored targets


def soft_targets_forward(layers, p, source, xs, batch):
    """loss = sum over captions k of weight[k] * soft_cross_entropy(output(xs[k]), teacher's tokens) / batch.tokens"""
    parts = []
    for k, x in enumerate(xs):                               # (..., T, C)
        found = batch.targets["soft"][..., k, :x.shape[-2], :, :]  # (..., T, 2, J)
        weights = None if batch.weights is None else batch.weights[..., k]  # (...)
        tokens, probabilities = found[..., 0, :], found[..., 1, :]  # (..., T, J)
        parts.append(layers.output_soft_loss_forward(x, p["output"], tokens, probabilities, batch.tokens, weights))
    return sum(loss for loss, _ in parts), [output for _, output in parts]


def soft_targets_backward(layers, dloss, cache, g):
    """Each caption's loss is one term of the sum.  dloss scalar -> None, [dx (..., T, C) of each caption]"""
    return None, [layers.output_soft_loss_backward(dloss, output, g["output"]) for output in tuple(cache)]


def likeliest(logits, count):
    """The `count` likeliest tokens of each row.  logits (R, V) -> (R, 2, J) uint16: ids, probabilities times UNIT"""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))  # (R, V)
    ids = np.argpartition(shifted, -count, -1)[:, -count:]   # (R, J)
    found = np.take_along_axis(shifted, ids, -1)             # (R, J)
    order = np.argsort(-found, -1, kind="stable")
    ids, found = (np.take_along_axis(array, order, -1) for array in (ids, found))
    return np.stack([ids, np.rint(found / shifted.sum(-1, keepdims=True) * UNIT)], 1).astype(np.uint16)


def targets(config, supervision, say):
    """The teacher's tokens for each caption, (M, L - 1, 2, J)"""
    return config, supervision.teacher.soft_targets(say) if config.training.soft_weight else None


def example(config, ids, rng):
    """Random targets, only for models with feature regression: the checks of other models stay unchanged."""
    if not config.regression:
        return None
    following = ids[..., 1:]                                 # (B, K, L - 1)
    found = likeliest(rng.standard_normal((following.size, config.vocabulary)), 4).reshape(*following.shape, 2, 4)
    return found * (following != PADDING)[..., None, None]


OBJECTIVE = Objective("soft", soft_targets_forward, soft_targets_backward,
                      weigh=lambda config: config.training.soft_weight, per="tokens", column="train_soft",
                      line=", soft targets {:.4f}", targets=targets, of_captions=True, example=example)
