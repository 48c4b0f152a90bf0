"""The objectives: the losses of training, one module each.

To add one, write its module, which ends with an Objective, and name it in OBJECTIVES; its weight is a setting in
npcaption/config.py. The package is not part of training/, because captioning and the gradient checks use the
likelihood, too. The wiring does not import it: callers pass the objectives to compute.
"""
from . import bag_of_words, feature_regression, likelihood, soft_targets
from .objective import Supervision as Supervision

LIKELIHOOD, BAG_OF_WORDS = likelihood.OBJECTIVE, bag_of_words.OBJECTIVE
SOFT_TARGETS, FEATURE_REGRESSION = soft_targets.OBJECTIVE, feature_regression.OBJECTIVE
OBJECTIVES = LIKELIHOOD, BAG_OF_WORDS, SOFT_TARGETS, FEATURE_REGRESSION  # in the order of the log's columns


def chosen(config):
    """The objectives of a training run, with their weights.  config Config -> tuple of Objective

    The likelihood is always included: the log needs it.
    """
    weighted = [objective._replace(weight=objective.weigh(config)) for objective in OBJECTIVES]
    return tuple(objective for objective in weighted if objective.weight or objective.name == LIKELIHOOD.name)
