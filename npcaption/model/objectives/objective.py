"""The interface of an objective."""
from collections.abc import Callable
from typing import Any, NamedTuple


class Supervision(NamedTuple):
    """Sources of the objectives' targets."""
    captions: list              # texts of each of the N training images
    words: int                  # version of the rule that splits them into words
    teacher: Any                # npcaption.training.teacher.Teacher, or None


def no_targets(config, supervision, say):
    """For an objective without targets besides the captions."""
    return config, None


class Objective(NamedTuple):
    """One loss of the weighted sum that training minimises.

    forward(layers, p, source, xs, batch) -> (loss, cache)
        source (..., P, C): the encoder's output; xs: the decoder's output (..., T, C) for each caption; p by sublayer
    backward(layers, dloss, cache, g) -> (dsource or None, a list of dx for each caption, or () if none)
    weigh(config) -> weight in training with this Config; 0 to skip the objective
    targets(config, supervision, say) -> (config, array or None)
        array: (N, ...) for the N training images, or (M, ...) for their M captions, the source of a batch's `targets`;
        config: with the model's sizes that depend on them. Also called when a run is resumed; say(line) prints
    example(config, ids, rng) -> targets for the gradient checks, for ids (B, K, L), (B, ...) or (B, K, ...); None if
        this ModelConfig does not have the objective. The field itself is None if the objective has no targets
    """
    name: str                   # key of its loss and its targets
    forward: Callable
    backward: Callable
    weigh: Callable
    per: str                    # the unit of its mean, a field of Batch: "tokens" or "image_count"
    column: str                 # column of log.csv
    line: str                   # part of the epoch's line, such as ", words {:.1f} nats an image"
    targets: Callable = no_targets
    of_captions: bool = False   # whether the targets belong to captions, not images
    example: Callable | None = None
    weight: float = 1.0
