"""Softmax and cross-entropy to soft targets: a distribution over the tokens instead of one right token.

A teacher's distribution gives the probabilities of alternative words, more information than the single word of a
caption (Hinton, Vinyals and Dean 2015). The distributions are sparse: only the J likeliest tokens of each.
"""
import numpy as np


def soft_cross_entropy_forward(logits, likeliest, probabilities, total, weights=None):
    """loss = -sum(weight * sum_j q_j log softmax(logits)[likeliest_j]) / total, q = probabilities / their sum over j

    In nats. logits (..., T, V), likeliest (..., T, J) ids, distinct in each row except padding, probabilities
    (..., T, J) in any unit, zeros in padding -> scalar.  weights (...), one for each caption, or None for ones; total
    as for cross_entropy. The loss is the Kullback-Leibler divergence from q plus the entropy of q, a constant.
    """
    shifted = logits - logits.max(-1, keepdims=True)         # (..., T, V), exp of at most 0 cannot overflow
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # (..., T, V)
    sums = probabilities.sum(-1, keepdims=True)              # (..., T, 1), 0 in padding
    q = probabilities / (sums + (sums == 0))                 # (..., T, J)
    q = (q if weights is None else q * weights[..., None, None]).astype(logits.dtype)  # (..., T, J)
    picked = np.take_along_axis(log_probs, likeliest, -1)    # (..., T, J)
    return -(picked * q).sum() / total, (log_probs, likeliest, q, total)


def soft_cross_entropy_backward(dloss, cache):
    """dlogits = dloss * (softmax(logits) * sum(q) - q) / total, q at the likeliest and 0 elsewhere, times the weights

    As for cross_entropy, once for each of the J tokens: the gradient of -q_j log softmax_j is q_j (softmax - onehot_j).
    """
    log_probs, likeliest, q, total = cache
    dlogits = np.exp(log_probs) * q.sum(-1, keepdims=True)   # (..., T, V)
    at_likeliest = np.take_along_axis(dlogits, likeliest, -1)  # (..., T, J)
    np.put_along_axis(dlogits, likeliest, at_likeliest - q, -1)
    return (dlogits * (dloss / total)).astype(dlogits.dtype)
