"""Softmax and cross-entropy in one, because their combined gradient is simply softmax - onehot."""
import numpy as np

PADDING = 0  # the target id without a loss


def cross_entropy_forward(logits, targets, total, weights=None):
    """loss = -sum(weight * log softmax(logits)[target]) / total over the targets that are not padding, in nats.

    logits (..., T, V), targets (..., T) integers, weights (...), one for each caption, or None for ones -> scalar.
    total is the number of targets, without padding, in the whole step: the losses of its parts add up to its loss.
    """
    shifted = logits - logits.max(-1, keepdims=True)         # (..., T, V), exp of at most 0 cannot overflow
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # (..., T, V)
    counts = targets != PADDING                              # (..., T)
    picked = np.take_along_axis(log_probs, targets[..., None], -1)[..., 0]  # (..., T)
    shares = counts if weights is None else (counts * weights[..., None]).astype(logits.dtype)  # (..., T)
    return -(picked * shares)[counts].sum() / total, (log_probs, targets, shares, total)


def cross_entropy_backward(dloss, cache):
    """dlogits = dloss * weight * (softmax(logits) - onehot(target)) / total, and 0 where the target is padding

    -log softmax_k = logsumexp(logits) - logit_k: the gradient of logsumexp is the softmax; logit_k has the onehot.
    """
    log_probs, targets, shares, total = cache
    dlogits = np.exp(log_probs)                              # (..., T, V)
    at_target = np.take_along_axis(dlogits, targets[..., None], -1)  # (..., T, 1)
    np.put_along_axis(dlogits, targets[..., None], at_target - 1, -1)
    dlogits *= (shares * (dloss / total))[..., None].astype(dlogits.dtype)
    return dlogits
