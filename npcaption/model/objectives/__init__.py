"""The objectives: the losses of training, each in a module of its own.

To add one, write its module, which ends with an Objective, and add it to OBJECTIVES; a setting that weighs it belongs in
npcaption/config.py. They stand below the wiring's callers, captioning and the gradient checks among them.
"""
from . import bag_of_words, likelihood
from .objective import Objective

LIKELIHOOD, BAG_OF_WORDS = likelihood.OBJECTIVE, bag_of_words.OBJECTIVE
OBJECTIVES = LIKELIHOOD, BAG_OF_WORDS  # in the order of the log's columns


def chosen(config):
    """The objectives of a training, with their weights.  config Config -> tuple of Objective"""
    weighted = [objective._replace(weight=objective.weigh(config)) for objective in OBJECTIVES]
    return tuple(objective for objective in weighted if objective.weight)
