"""Sublayer: which words an image's captions hold, told from the image alone. Only training has it.

The decoder learns to write long before the encoder learns to see, and what it writes without looking is good enough to
leave the encoder little to gain. This loss asks the encoder itself.
"""
from .binary_cross_entropy import binary_cross_entropy_backward, binary_cross_entropy_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward


def bag_loss_forward(source, p, words, total):
    """loss = binary_cross_entropy(layernorm(mean of source) W + b, words) / total, in nats.

    source (..., P, C), words (..., W), 1 for those that the captions hold, else 0 -> scalar
    """
    mean = source.mean(-2)                                   # (..., C), over the patches
    normed, norm = layernorm_forward(mean, p["norm.weight"], p["norm.bias"])  # (..., C)
    logits, linear = linear_forward(normed, p["linear.weight"], p["linear.bias"])  # (..., W)
    loss, entropy = binary_cross_entropy_forward(logits, words, total)
    return loss, (source.shape, norm, linear, entropy)


def bag_loss_backward(dloss, cache, g):
    """dloss scalar -> dsource (..., P, C): each patch had the P-th part of the mean, and gets that of its gradient."""
    shape, norm, linear, entropy = cache
    dlogits = binary_cross_entropy_backward(dloss, entropy)
    dnormed, dw_linear, db_linear = linear_backward(dlogits, linear)
    dmean, dw_norm, db_norm = layernorm_backward(dnormed, norm)
    g["linear.weight"] += dw_linear
    g["linear.bias"] += db_linear
    g["norm.weight"] += dw_norm
    g["norm.bias"] += db_norm
    dpatch = dmean / shape[-2]                               # (..., C)
    dsource = dpatch[..., None, :].repeat(shape[-2], -2)     # (..., P, C)
    return dsource
