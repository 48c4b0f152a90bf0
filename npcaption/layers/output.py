"""Sublayer: the output, from the decoder's last vectors to a logit for every token of the vocabulary, and the loss."""
from .cross_entropy import cross_entropy_backward, cross_entropy_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward


def output_forward(x, p):
    """logits = layernorm(x) W + b.  x (..., T, C) -> (..., T, V)"""
    normed, norm = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (..., T, C)
    logits, linear = linear_forward(normed, p["linear.weight"], p["linear.bias"])  # (..., T, V)
    return logits, (norm, linear)


def output_backward(dlogits, cache, g):
    """The steps in reverse.  dlogits (..., T, V) -> dx (..., T, C)"""
    norm, linear = cache
    dnormed, dw_linear, db_linear = linear_backward(dlogits, linear)  # (..., T, C), (C, V), (V,)
    dx, dw_norm, db_norm = layernorm_backward(dnormed, norm)  # (..., T, C), (C,), (C,)
    g["linear.weight"] += dw_linear
    g["linear.bias"] += db_linear
    g["norm.weight"] += dw_norm
    g["norm.bias"] += db_norm
    return dx


def output_loss_forward(x, p, targets, total, weights=None):
    """loss = cross_entropy(output(x), targets) in nats per token.  x (..., T, C), targets (..., T) -> scalar

    weights (...), one for each caption, or None for ones
    """
    logits, output = output_forward(x, p)                    # (..., T, V)
    loss, entropy = cross_entropy_forward(logits, targets, total, weights)
    return loss, (output, entropy)


def output_loss_backward(dloss, cache, g):
    """dloss scalar -> dx (..., T, C)"""
    output, entropy = cache
    return output_backward(cross_entropy_backward(dloss, entropy), output, g)
