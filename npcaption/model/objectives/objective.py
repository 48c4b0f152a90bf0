"""What an objective is."""
from collections.abc import Callable
from typing import NamedTuple


def no_targets(config, split, state, say):
    """Of an objective that needs nothing but the captions."""
    return config, None


class Objective(NamedTuple):
    """One of the losses that training minimises the weighted sum of.

    forward(layers, p, source, xs, batch) -> (loss, cache)
        source (..., P, C), the encoder's output; xs, for each caption the decoder's, (..., T, C); p by sublayer
    backward(layers, dloss, cache, g) -> (dsource or None, dxs, or () without any)
    weigh(config) -> its weight in a training of this Config, 0 to do without it
    targets(config, split, state, say) -> (config, array (N, ...) or None): what `batch.targets` holds for the images of the
        training split, and the config with what of the model follows from it. state: the training's, of a resumed one the
        first run's. say(line) tells a person.
    """
    name: str                   # of its loss and its targets
    forward: Callable
    backward: Callable
    weigh: Callable
    per: str                    # what its loss is the mean over, a field of Batch: "tokens" or "image_count"
    total: str                  # the key of its sum over an epoch in the training's state
    column: str                 # of log.csv
    line: str                   # its part of the epoch's line, such as ", words {:.1f} nats an image"
    targets: Callable = no_targets
    weight: float = 1.0
