"""The objectives: the losses of training, each in a module of its own.

To add one, write its module, which ends with an Objective, and name it in OBJECTIVES; the setting that weighs it belongs
in npcaption/config.py. They stand in this package, below training/, because captioning and the gradient checks use the
likelihood too. The wiring does not import them: its callers hand it the ones to compute.
"""
from . import bag_of_words, likelihood

LIKELIHOOD, BAG_OF_WORDS = likelihood.OBJECTIVE, bag_of_words.OBJECTIVE
OBJECTIVES = LIKELIHOOD, BAG_OF_WORDS  # in the order of the log's columns


def chosen(config):
    """The objectives of a training, with their weights.  config Config -> tuple of Objective"""
    weighted = [objective._replace(weight=objective.weigh(config)) for objective in OBJECTIVES]
    return tuple(objective for objective in weighted if objective.weight)
