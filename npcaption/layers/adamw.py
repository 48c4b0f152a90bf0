"""AdamW and clipping by the global norm, on flat buffers (N,): every parameter of the model at once."""
import math
from typing import NamedTuple

import numpy as np


class AdamW(NamedTuple):
    """The settings of one step."""
    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float = math.inf  # maximum norm of the gradient; infinite: never clipped


def clip(g, limit):
    """Clip g in place to a Euclidean norm of at most `limit`; return the norm before clipping.  g (N,)"""
    norm = math.sqrt(float(g @ g))                           # nan or infinite if any entry of g is
    if norm > limit:
        g *= limit / norm
    return norm


def adamw(p, g, m, v, decay, step, settings):
    """One step of AdamW (Loshchilov, Hutter 2017, arXiv:1711.05101), in place.  All arrays (N,); step counts from 1.

    m = beta1 m + (1 - beta1) g             v = beta2 v + (1 - beta2) g^2
    p = p (1 - learning_rate decay) - learning_rate mhat / (sqrt(vhat) + epsilon)

    m and v start at 0, a bias that the hats correct: mhat = m / (1 - beta1^step), vhat = v / (1 - beta2^step).
    decay (N,) holds each parameter's weight decay; decoupled: it never enters m and v.
    settings: AdamW. This function does not clip; see `clip`.
    """
    learning_rate, beta1, beta2, epsilon, _ = settings
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    p *= 1 - learning_rate * decay
    denominator = np.sqrt(v)
    denominator *= (1 - beta2 ** step) ** -0.5
    denominator += epsilon
    p -= learning_rate / (1 - beta1 ** step) * (m / denominator)
