"""From gradients to new parameters: AdamW, clipping by the global norm, the learning rate's schedule.

AdamW and clipping work on flat buffers (N,), every parameter of the model at once.
"""
import math

import numpy as np


def clip(g, limit):
    """Shorten g in place to a Euclidean norm of at most `limit`; return the norm that it had.  g (N,)"""
    norm = math.sqrt(float(g @ g))                           # nan or infinite if any of g is
    if norm > limit:
        g *= limit / norm
    return norm


def adamw(p, g, m, v, step, learning_rate, beta1, beta2, epsilon, decay):
    """One step of AdamW (Loshchilov, Hutter 2017, arXiv:1711.05101), in place.  All arrays (N,); step counts from 1.

    m = beta1 m + (1 - beta1) g             v = beta2 v + (1 - beta2) g^2
    p = p (1 - rate decay) - rate mhat / (sqrt(vhat) + epsilon)

    m and v start at 0, so at first they are too small: mhat = m / (1 - beta1^step), vhat = v / (1 - beta2^step).
    decay (N,) holds each parameter's weight decay; decoupled means that it never enters m and v.
    """
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    p *= 1 - learning_rate * decay
    denominator = np.sqrt(v)
    denominator *= (1 - beta2 ** step) ** -0.5
    denominator += epsilon
    p -= learning_rate / (1 - beta1 ** step) * (m / denominator)


def decay_of(parameters, weight_decay, which):
    """Each parameter's weight decay, (N,): "all" alike, or "matrices" without vectors, embeddings and positions."""
    decay = np.zeros_like(parameters.flat)
    start = 0
    for name, view in parameters.named.items():
        matrix = view.ndim == 2 and not name.startswith("token_embed.") and not name.endswith("position")
        decay[start:start + view.size] = weight_decay if which == "all" or matrix else 0
        start += view.size
    return decay


def learning_rate_at(step, steps, peak, warmup, schedule):
    """Step 1 to steps: a straight line up over the first `warmup`, then constant, or half a cosine down to zero.

    However few the steps are, no more than a tenth of them warm up.
    """
    warmup = min(warmup, steps // 10)
    if step <= warmup:
        return peak * step / warmup
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 1 - warmup) / max(1, steps - warmup)))
