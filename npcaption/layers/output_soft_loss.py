"""Sublayer: from the decoder's last vectors to the loss against a teacher's distributions, for distillation."""
from .output import output_backward, output_forward
from .soft_cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward


def output_soft_loss_forward(x, p, likeliest, probabilities, total, weights=None):
    """loss = soft_cross_entropy(output(x), likeliest, probabilities) in nats per token.  x (..., T, C) -> scalar

    likeliest (..., T, J) ids, probabilities (..., T, J) in any unit; weights as for output_loss
    """
    logits, output = output_forward(x, p)                    # (..., T, V)
    loss, entropy = soft_cross_entropy_forward(logits, likeliest, probabilities, total, weights)
    return loss, (output, entropy)


def output_soft_loss_backward(dloss, cache, g):
    """dloss scalar -> dx (..., T, C)"""
    output, entropy = cache
    return output_backward(soft_cross_entropy_backward(dloss, entropy), output, g)
