"""Binary cross-entropy of one image's bag of words."""
import numpy as np

from .compilation import kernel
from .exponential import exp_of_negative
from .simd import F1, F2, F, absolute

ZERO, ONE = np.float32(0), np.float32(1)


@kernel
def fused_binary_cross_entropy(logits: F2, targets: F1, share: F):
    """Overwrite targets (W,) with each word's part of the loss, logits (1, W) with their gradient except for dloss.

    share: 1 / total. With e = exp(-|z|) the likelier answer has the probability 1 / (1 + e), the other e / (1 + e):
    both are exact to the last bits; 1 - p would not be.
    """
    row = logits[0]
    for j in range(row.size):
        z, t = row[j], targets[j]
        e = exp_of_negative(-absolute(z))
        likely, other = ONE / (ONE + e), e / (ONE + e)
        yes, no = (likely, other) if z > 0 else (other, likely)
        targets[j] = ((z if z > 0 else ZERO) + np.log1p(e) - t * z) * share
        row[j] = ((ONE - t) * yes - t * no) * share
