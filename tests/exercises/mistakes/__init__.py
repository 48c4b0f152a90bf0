"""Mistakes in backward passes, written as people write them, each with its cause: three sets.

FIRST was written before any diagnosis existed, SECOND and THIRD when the diagnoses were done for the set before.
docs/exercises.md says how many were named when a set was first tried, and how many are now.
"""
from . import attention, cross_entropy, embedding, gelu, layernorm, linear, moves, others, small, sublayers
from .common import MISTAKES as FIRST
from .second import SECOND
from .third import THIRD

__all__ = ["FIRST", "SECOND", "THIRD", "attention", "cross_entropy", "embedding", "gelu", "layernorm", "linear",
           "moves", "others", "small", "sublayers"]
