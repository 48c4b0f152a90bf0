"""Feature regression: predict the features of a teacher's encoder from the encoder's mean patch.

In squared standard deviations, averaged over the channels. Formula and purpose:
npcaption/layers/feature_regression.py.
"""
from dataclasses import replace

from .objective import Objective


def pooled_features_forward(layers, p, source, xs, batch):
    """loss = feature_regression(source, the teacher's features of the image)"""
    return layers.feature_regression_forward(source, p["regression"], batch.targets["feature"], batch.image_count)


def pooled_features_backward(layers, dloss, cache, g):
    """The loss does not involve the decoder.  dloss scalar -> dsource (..., P, C), no dx"""
    return layers.feature_regression_backward(dloss, cache, g["regression"]), ()


def targets(config, supervision, say):
    """The teacher's features of each image, (N, Z)"""
    if not config.training.feature_weight:
        return config, None
    found = supervision.teacher.features(say)
    return replace(config, model=replace(config.model, regression=found.shape[1])), found


def example(config, ids, rng):
    return rng.standard_normal((len(ids), config.regression)) if config.regression else None


OBJECTIVE = Objective("feature", pooled_features_forward, pooled_features_backward,
                      weigh=lambda config: config.training.feature_weight if config.model.regression else 0.0,
                      per="image_count", column="train_feature", line=", features {:.3f}", targets=targets,
                      example=example)
