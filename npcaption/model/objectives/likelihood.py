"""The likelihood of the captions: cross-entropy of every next token, in nats per token."""
from .objective import Objective


def likelihood_forward(layers, p, source, xs, batch):
    """loss = sum over captions k of weight[k] * cross_entropy(output(xs[k]), the tokens that follow) / batch.tokens"""
    parts = []
    for k, x in enumerate(xs):                               # (..., T, C)
        targets = batch.ids[..., k, 1:x.shape[-2] + 1]       # (..., T)
        weights = None if batch.weights is None else batch.weights[..., k]  # (...)
        parts.append(layers.output_loss_forward(x, p["output"], targets, batch.tokens, weights))
    return sum(loss for loss, _ in parts), [output for _, output in parts]


def likelihood_backward(layers, dloss, cache, g):
    """Each caption's loss is one term of the sum.  dloss scalar -> None, [dx (..., T, C) of each caption]"""
    return None, [layers.output_loss_backward(dloss, output, g["output"]) for output in tuple(cache)]


OBJECTIVE = Objective("likelihood", likelihood_forward, likelihood_backward,
                      weigh=lambda config: 1 - config.training.soft_weight, per="tokens", column="train", line="")
