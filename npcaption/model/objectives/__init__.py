"""The objectives: the losses of training, each in a module of its own.

To add one, write its module, which ends with an Objective, and name it in OBJECTIVES; the setting that weighs it belongs
in npcaption/config.py. They stand in this package, below training/, because captioning and the gradient checks use the
likelihood too. The wiring does not import them: its callers hand it the ones to compute.
"""
from . import bag_of_words, feature_regression, likelihood, soft_targets
from .objective import Supervision as Supervision

LIKELIHOOD, BAG_OF_WORDS = likelihood.OBJECTIVE, bag_of_words.OBJECTIVE
SOFT_TARGETS, FEATURE_REGRESSION = soft_targets.OBJECTIVE, feature_regression.OBJECTIVE
OBJECTIVES = LIKELIHOOD, BAG_OF_WORDS, SOFT_TARGETS, FEATURE_REGRESSION  # in the order of the log's columns


def chosen(config):
    """The objectives of a training, with their weights.  config Config -> tuple of Objective

    The likelihood is always among them, as the log has it.
    """
    weighted = [objective._replace(weight=objective.weigh(config)) for objective in OBJECTIVES]
    return tuple(objective for objective in weighted if objective.weight or objective.name == LIKELIHOOD.name)
