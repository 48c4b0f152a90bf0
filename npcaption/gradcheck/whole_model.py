"""Gradient check of the whole model, at some entries of every parameter tensor and of the image."""
from dataclasses import replace

import numpy as np

from .. import layers
from ..config import ModelConfig
from ..layers.adamw import AdamW
from ..model import parameters, wiring
from ..model.batch import whole
from ..model.engines import make_engine
from ..model.objectives import OBJECTIVES
from ..model.parameters import Parameters, initialise
from .numeric import numerical_gradient, relative_error

SMALL = ModelConfig(image_size=24, patch_size=8, channels=16, heads=4, hidden=24, encoder_blocks=2, decoder_blocks=2,
                    max_length=9, vocabulary=11, dropout=0.1)
TIED = replace(SMALL, tied=True)
FROZEN = replace(SMALL, encoder_name="frozen", feature_tokens=5, feature_width=7, feature_norm=True,
                 feature_position=True, feature_dropout=0.2, encoder_blocks=0, word_width=6, bag=7)
CONVOLVING = replace(SMALL, image_size=16, patch_size=2, convolutions=(5, 6, 6), bag=7)
DISTILLED = replace(CONVOLVING, regression=6)                # soft targets, too: see their `example`


def example(config, captions=1, dtype=np.float64, seed=0):
    """-> a Batch of three images, and the objectives that the model has parameters for, all with different weights

    One caption is short, another is all padding. Several captions per image have weights, one of them negative.
    """
    rng = np.random.default_rng(seed)
    low, high = (-1, 1) if config.encoder_name else (0, 255)
    image = rng.uniform(low, high, (3, *config.input_shape)).astype(dtype)
    ids = rng.integers(3, config.vocabulary, (3, captions, config.max_length))
    ids[..., 0], ids[1, 0, 5:], ids[2, 0], ids[0, 1:, 6:] = 1, 0, 0, 0
    weights = rng.uniform(0.2, 1.5, (3, captions)) if captions > 1 else None
    if captions > 1:
        weights[1, 1] *= -1
    targets = {o.name: o.example(config, ids, rng) for o in OBJECTIVES if o.example}
    targets = {name: target for name, target in targets.items() if target is not None}
    used = [o for o in OBJECTIVES if not o.example or o.name in targets]
    objectives = [o._replace(weight=0.3 ** number) for number, o in enumerate(used)]
    return whole(image, ids, weights, targets, layers.fold_key(seed, np.arange(3))), objectives


def check_model(trained_steps, engine="numpy", config=SMALL, entries=4, captions=1):
    """{tensor: (shape, relative error)} over the steepest and `entries` random entries of every tensor and the image.

    The batch is that of `example`, with dropout, after `trained_steps` steps of AdamW.
    """
    dtype = np.float64 if engine == "numpy" else np.float32
    batch, objectives = example(config, captions, dtype)
    p, g = initialise(config, 0, dtype), Parameters(config, dtype)
    runner = make_engine(engine, config, p)

    m, v, decay = np.zeros_like(p.flat), np.zeros_like(p.flat), parameters.decay_of(p, 0.01, "all")
    for step in range(1, trained_steps + 1):
        runner.loss_and_gradients(batch._replace(weights=None), g, objectives)  # a negative weight would diverge
        runner.update(g, m, v, decay, step, AdamW(learning_rate=1e-2))
    _, dimage = runner.loss_and_gradients(batch, g, objectives)

    exact = Parameters(config, np.float64, p.flat.astype(np.float64))
    image = batch.inputs.astype(np.float64)
    batch = batch._replace(inputs=image)

    def loss():
        losses, _ = wiring.loss_forward(layers, config, exact.sublayer, batch, objectives)
        return sum(objective.weight * losses[objective.name] for objective in objectives)

    errors, rng = {}, np.random.default_rng(1)
    for name, x, dx in [("image", image, dimage)] + [(name, exact.named[name], g.named[name]) for name in g.named]:
        flat = [int(np.abs(dx).argmax()), *rng.integers(0, x.size, entries)]
        chosen = [np.unravel_index(i, x.shape) for i in flat]
        errors[name] = x.shape, relative_error(numerical_gradient(loss, x, chosen), np.array([dx[i] for i in chosen]))
    return errors


def check_half(config=DISTILLED, captions=2):
    """{tensor: (shape, relative error)}: half the losses have half the gradients. Training only uses dloss = 1."""
    batch, objectives = example(config, captions)
    p, whole_g, half_g = initialise(config, 0, np.float64), *(Parameters(config, np.float64) for _ in range(2))
    _, cache = wiring.loss_forward(layers, config, p.sublayer, batch, objectives)
    for dloss, g in [(1.0, whole_g), (0.5, half_g)]:
        wiring.loss_backward(layers, dloss, cache, g.sublayer)
    return {name: (g.shape, relative_error(0.5 * whole_g.named[name], g)) for name, g in half_g.named.items()}
