"""The whole model's gradients, at some entries of every parameter tensor and of the image."""
from dataclasses import replace

import numpy as np

from .. import layers
from ..config import ModelConfig
from ..model import parameters, wiring
from ..model.engines import make_engine
from ..model.parameters import Parameters, initialise
from .numeric import numerical_gradient, relative_error

SMALL = ModelConfig(image_size=24, patch_size=8, channels=16, heads=4, hidden=24, encoder_blocks=2, decoder_blocks=2,
                    max_length=9, vocabulary=11, dropout=0.1)
TIED = replace(SMALL, tied=True)
CONVOLVING = replace(SMALL, image_size=16, patch_size=2, convolutions=(5, 6, 6), bag=7)
BAG_WEIGHT = 0.3


def check_model(trained_steps, engine="numpy", config=SMALL, entries=4, seed=0):
    """{tensor: (shape, relative error)} over `entries` random entries and the steepest, of every tensor and the image.

    Three images, one caption shorter than the others, one all padding, dropout on, with the words' loss if the model has
    it; after `trained_steps` of AdamW.
    """
    dtype = np.float64 if engine == "numpy" else np.float32
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 255, (3, config.image_size, config.image_size, 3)).astype(dtype)
    ids = rng.integers(3, config.vocabulary, (3, config.max_length))
    ids[:, 0], ids[1, 5:], ids[2] = 1, 0, 0
    key = layers.fold_key(seed, np.arange(3))
    words = rng.integers(0, 2, (3, config.bag), np.uint8) if config.bag else None
    batch = image, ids, config.dropout, key
    p, g = initialise(config, seed, dtype), Parameters(config, dtype)
    runner = make_engine(engine, config, p)

    m, v, decay = np.zeros_like(p.flat), np.zeros_like(p.flat), parameters.decay_of(p, 0.01, "all")
    for step in range(1, trained_steps + 1):
        runner.loss_and_gradients(*batch, g, words, BAG_WEIGHT)
        runner.update(g, m, v, decay, step, 1e-2, float("inf"), 0.9, 0.999, 1e-8)
    _, dimage = runner.loss_and_gradients(*batch, g, words, BAG_WEIGHT)

    exact, image = Parameters(config, np.float64, p.flat.astype(np.float64)), image.astype(np.float64)
    total = int((ids[:, 1:] != 0).sum())

    def loss():
        (captions, bag), _ = wiring.loss_forward(layers, config, exact.sublayer, image, ids[:, :-1], ids[:, 1:], total,
                                                config.dropout, key, words, len(ids))
        return captions + BAG_WEIGHT * bag

    errors = {}
    for name, x, dx in [("image", image, dimage)] + [(name, exact.named[name], g.named[name]) for name in g.named]:
        flat = [int(np.abs(dx).argmax()), *rng.integers(0, x.size, entries)]
        chosen = [np.unravel_index(i, x.shape) for i in flat]
        errors[name] = x.shape, relative_error(numerical_gradient(loss, x, chosen), np.array([dx[i] for i in chosen]))
    return errors


def check_half(config=CONVOLVING, seed=0):
    """{tensor: (shape, relative error)}: half of the losses must have half of the gradients. Training never asks for it."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 255, (2, config.image_size, config.image_size, 3))
    ids, words = rng.integers(1, config.vocabulary, (2, config.max_length)), rng.integers(0, 2, (2, config.bag), np.uint8)
    p, whole, half = initialise(config, seed, np.float64), *(Parameters(config, np.float64) for _ in range(2))
    _, cache = wiring.loss_forward(layers, config, p.sublayer, image, ids[:, :-1], ids[:, 1:], ids.size, 0.0, 0, words,
                                  len(ids))
    for share, g in [(1.0, whole), (0.5, half)]:
        wiring.loss_backward(layers, (share, share * BAG_WEIGHT), cache, g.sublayer)
    return {name: (g.shape, relative_error(0.5 * whole.named[name], g)) for name, g in half.named.items()}
