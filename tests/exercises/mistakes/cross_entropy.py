"""Mistakes in cross-entropy."""
import numpy as np

from .common import mistake, softmax_of


@mistake("cross_entropy_backward", "averaged over T and then over the batch, not by total", r"(?i)total")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    d = (p - onehot) * shares[..., None]
    return dloss * d / shares.shape[-1] / shares.shape[0]


@mistake("cross_entropy_backward", "minus 1 at every vocabulary entry instead of the target",
         r"(?i)target|onehot|one-hot|everywhere")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - 1) * shares[..., None] / total


@mistake("cross_entropy_backward", "softmax forgotten: only minus the onehot", r"(?i)softmax.*missing")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return -dloss * onehot * shares[..., None] / total


@mistake("cross_entropy_backward", "onehot forgotten: only the softmax", r"(?i)(onehot|one-hot|target).*missing")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * p * shares[..., None] / total


@mistake("cross_entropy_backward", "plus in place of minus", r"(?i)(onehot|one-hot|target).*sign")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p + onehot) * shares[..., None] / total


@mistake("cross_entropy_backward", "the weights of the captions forgotten", r"(?i)weight")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * (shares != 0)[..., None] / total


@mistake("cross_entropy_backward", "divided by the targets that count here, in place of total", r"(?i)total|piece")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * shares[..., None] / np.count_nonzero(cache[1])


@mistake("cross_entropy_backward", "derivative of log p taken only at the target: -1/p",
         r"(?i)1 ?/ ?p|log|softmax.*(left out|missing)|probabilit")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * -onehot / p * shares[..., None] / total


@mistake("cross_entropy_backward", "p (1 - p) on the diagonal: the softmax treated elementwise",
         r"(?i)diagonal|elementwise|target only")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    dp = -onehot / p
    return dloss * dp * p * (1 - p) * shares[..., None] / total


@mistake("cross_entropy_backward", "the targets shifted by one place", r"(?i)shift|other place|next|target")
def _(dloss, cache):
    log_probs, targets, shares, total = cache
    p = np.exp(log_probs)
    onehot = np.eye(p.shape[-1])[np.roll(targets, 1, -1)]
    return dloss * (p - onehot) * shares[..., None] / total


@mistake("cross_entropy_backward", "p changed in place where p lies in the cache", r"(?i)writes? to.*cache")
def _(dloss, cache):
    log_probs, targets, shares, total = cache
    p = np.exp(log_probs, out=log_probs)
    p -= np.eye(p.shape[-1])[targets]
    return dloss * p * shares[..., None] / total


@mistake("cross_entropy_backward", "log-softmax used where the softmax belongs", r"(?i)log")
def _(dloss, cache):
    log_probs, targets, shares, total = cache
    return dloss * (log_probs - np.eye(log_probs.shape[-1])[targets]) * shares[..., None] / total


@mistake("cross_entropy_backward", "loss of a mean over V as well: divided by V", r"(?i)V = \d+ times too small")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * shares[..., None] / total / p.shape[-1]
