"""Three sets of realistic mistakes in backward passes, each with its cause.

FIRST was written before any diagnosis existed, SECOND and THIRD after the diagnoses for the previous set. For each set
docs/exercises.md gives the number of named causes at the first trial and today.
"""
from . import (
    attention,
    cross_entropy,
    embedding,
    gelu,
    layernorm,
    linear,
    moves,
    others,
    second_sublayers,
    small,
    sublayers,
    third_sublayers,
)
from .common import MISTAKES as FIRST
from .second import SECOND
from .third import THIRD

__all__ = ["FIRST", "SECOND", "THIRD", "attention", "cross_entropy", "embedding", "gelu", "layernorm", "linear",
           "moves", "others", "second_sublayers", "small", "sublayers", "third_sublayers"]
