"""Comparison of the engine with the textbook, and the models and batches for it."""
from dataclasses import replace

import numpy as np
import pytest

from npcaption import layers
from npcaption.config import ModelConfig
from npcaption.gradcheck.numeric import relative_error
from npcaption.model.batch import whole
from npcaption.model.engines import NumpyEngine
from npcaption.model.objectives import BAG_OF_WORDS, LIKELIHOOD
from npcaption.model.parameters import Parameters
from tests import configs

ODD = replace(configs.ODD, encoder_blocks=2, vocabulary=40)
SEED = ModelConfig(image_size=64, vocabulary=53)

# The textbook runs in float64 on the same float32 parameters, so only the engine's own rounding differs. A float32
# operation is right to 6e-8, and some fifty of them, one after another, stand between the pixels and the loss, and as
# many on the way back; the errors of the many sums within are random and mostly cancel. Relative to a tensor's largest
# gradient; the largest that was seen is 1.5e-6.
TOLERANCE = 3e-6
LOSS_TOLERANCE = 5e-7  # of a mean over many tokens


def batch(config, count, seed=0):
    """-> images (B, S, S, 3) uint8, ids (B, L) of several lengths, dropout's keys (B,)"""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, config.image_size, config.image_size, 3), np.uint8)
    ids = rng.integers(3, config.vocabulary, (count, config.max_length))
    ids[:, 0], ids[:, -1] = 1, 2
    for i, row in enumerate(ids):
        if i % 2:
            row[config.max_length // 2], row[config.max_length // 2 + 1:] = 2, 0
    return images, ids, layers.fold_key(seed, np.arange(count))


def several(config, count, captions=3):
    """-> images, ids (B, K, L) of several lengths and one empty, keys, weights (B, K), two negative, words (B, W)"""
    images, ids, keys = batch(config, count * captions)
    ids, rng = ids.reshape(count, captions, -1), np.random.default_rng(2)
    ids[1, 2] = 0
    weights = rng.uniform(0.2, 2, (count, captions))
    weights[[0, 1], [1, 0]] *= -1
    return images[:count], ids, keys[:count], weights, rng.integers(0, 2, (count, config.bag), np.uint8)


def textbook(config, parameters):
    return NumpyEngine(config, Parameters(config, np.float64, parameters.flat.astype(float)))


def run(engine, images, ids, rate=0.0, keys=None, words=None, weights=None):
    """ids (B, L) or (B, K, L) -> losses, {name: gradient}, the image's among them if it has one"""
    engine.config = replace(engine.config, dropout=rate)
    gradients = Parameters(engine.config, engine.parameters.flat.dtype)
    gradients.flat[...] = np.nan                             # what was there is overwritten
    targets = {} if words is None else {"bag": words}
    batch = whole(images, ids if ids.ndim == 3 else ids[:, None], weights, targets, keys)
    objectives = (LIKELIHOOD,) if words is None else (LIKELIHOOD, BAG_OF_WORDS._replace(weight=0.3))
    losses, dimage = engine.loss_and_gradients(batch, gradients, objectives)
    return losses, gradients.named | ({} if dimage is None else {"image": dimage})


def assert_agree(found, exact):
    assert found[0] == pytest.approx(exact[0], rel=LOSS_TOLERANCE)
    assert found[1].keys() == exact[1].keys()
    errors = {name: relative_error(exact[1][name], found[1][name]) for name in exact[1]}
    assert {name: error for name, error in errors.items() if not error < TOLERANCE} == {}
