"""The interface of an objective."""
from collections.abc import Callable
from typing import Any, NamedTuple


class Supervision(NamedTuple):
    """What objectives make their targets of."""
    captions: list              # for each of the N training images its texts
    words: int                  # rule by which they are split into words
    teacher: Any                # npcaption.training.teacher.Teacher, or None


def no_targets(config, supervision, say):
    """For an objective that needs nothing but the captions."""
    return config, None


class Objective(NamedTuple):
    """One of the losses whose weighted sum training minimises.

    forward(layers, p, source, xs, batch) -> (loss, cache)
        source (..., P, C) is the encoder's output, xs holds the decoder's output (..., T, C) for each caption; p by sublayer
    backward(layers, dloss, cache, g) -> (dsource or None, a list of dx for each caption, or () if none)
    weigh(config) -> its weight in a training of this Config; 0 leaves it out
    targets(config, supervision, say) -> (config, array or None)
        (N, ...) for the N training images, or (M, ...) for their M captions, from which a batch takes its `targets`; and the
        config with the model's sizes that follow. It is asked again when a training is resumed; say(line) prints.
    example(config, ids, rng) -> targets for the gradient checks beside ids (B, K, L), (B, ...) or (B, K, ...); None if this
        ModelConfig has no use for the objective. It is None itself if the objective has no targets
    """
    name: str                   # of its loss and its targets
    forward: Callable
    backward: Callable
    weigh: Callable
    per: str                    # the unit of its mean, a field of Batch: "tokens" or "image_count"
    column: str                 # of log.csv
    line: str                   # its part of the epoch's line, such as ", words {:.1f} nats an image"
    targets: Callable = no_targets
    of_captions: bool = False   # whether its targets are the captions', not the images'
    example: Callable | None = None
    weight: float = 1.0
