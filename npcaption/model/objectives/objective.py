"""The interface of an objective."""
from collections.abc import Callable
from typing import NamedTuple


def no_targets(config, split, state, say):
    """For an objective that needs nothing but the captions."""
    return config, None


class Objective(NamedTuple):
    """One of the losses whose weighted sum training minimises.

    forward(layers, p, source, xs, batch) -> (loss, cache)
        source (..., P, C) is the encoder's output, xs holds the decoder's output (..., T, C) for each caption; p by sublayer
    backward(layers, dloss, cache, g) -> (dsource or None, a list of dx for each caption, or () if none)
    weigh(config) -> its weight in a training of this Config; 0 leaves it out
    targets(config, split, state, say) -> (config, array (N, ...) or None)
        `batch.targets` for the N training images, and the config with the model's sizes that follow from them. state is the
        training's, also when resuming; say(line) prints.
    example(config, count, rng) -> targets (count, ...) for the gradient checks, or None if this ModelConfig has no use for
        the objective; it is None itself if the objective has no targets
    """
    name: str                   # of its loss and its targets
    forward: Callable
    backward: Callable
    weigh: Callable
    per: str                    # the unit of its mean, a field of Batch: "tokens" or "image_count"
    column: str                 # of log.csv
    line: str                   # its part of the epoch's line, such as ", words {:.1f} nats an image"
    targets: Callable = no_targets
    example: Callable | None = None
    weight: float = 1.0
