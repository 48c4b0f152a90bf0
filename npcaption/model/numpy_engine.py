"""The NumPy engine: the textbook on the whole batch."""
import math

import numpy as np

from .. import layers
from ..layers import adamw
from . import wiring
from .finite import watched
from .memory import Memory, decode_step, no_text, remember
from .objectives import LIKELIHOOD


class NumpyEngine:
    """The textbook on the whole batch, in the parameters' float32 or float64."""

    def __init__(self, config, parameters):
        self.config, self.parameters, self.layers = config, parameters, layers

    def __reduce__(self):                                    # for copies and other processes
        return NumpyEngine, (self.config, self.parameters)

    def refresh(self):
        """Nothing to do: the parameters are read in place."""

    def watch(self, gradients):
        self.layers = watched(layers, self.parameters.sublayer, gradients.sublayer)

    def loss_and_gradients(self, batch, gradients, objectives=(LIKELIHOOD,)):
        """-> {objective's name: loss}, and the images' gradient (None for uint8); `gradients` is overwritten

        The gradients belong to the weighted sum of the losses.
        """
        gradients.flat[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):   # a NaN or infinity shows in the loss or the norm
            losses, cache = wiring.loss_forward(self.layers, self.config, self.parameters.sublayer, batch, objectives)
            dimages = wiring.loss_backward(self.layers, 1.0, cache, gradients.sublayer)
        return {name: float(loss) for name, loss in losses.items()}, dimages

    def update(self, gradients, m, v, decay, step, settings):
        """One step of AdamW -> the gradients' norm before clipping; `gradients` is overwritten.  settings AdamW

        If the norm is not finite, no parameter is changed.
        """
        norm = adamw.clip(gradients.flat, settings.clip_norm)
        if math.isfinite(norm):
            adamw.adamw(self.parameters.flat, gradients.flat, m, v, decay, step, settings)
        return norm

    def encode(self, images):
        return wiring.encode_forward(self.layers, self.config, self.parameters.sublayer, images)[0]

    def decode_loss(self, source, owners, ids):
        """Sum of the nats of all targets.  ids (M, L); caption m belongs to source[owners[m]]"""
        p = self.parameters.sublayer
        x, _ = wiring.decode_forward(self.layers, self.config, p, ids[:, :-1], source[owners])
        return float(self.layers.output_loss_forward(x, p["output"], ids[:, 1:], 1)[0])

    def decode_logits(self, source, owners, ids):
        """Logits of the next token after each token.  ids (M, L) -> (M, L - 1, V), undefined where padding follows"""
        p = self.parameters.sublayer
        x, _ = wiring.decode_forward(self.layers, self.config, p, ids[:, :-1], source[owners])
        return self.layers.output_forward(x, p["output"])[0]

    def remember(self, images, count):
        """-> Memory of `count` empty captions for each image"""
        found = remember(self.layers, self.config, self.parameters.sublayer, self.encode(images))
        return Memory(no_text(self.config, len(images) * count, self.parameters.flat.dtype), found)

    def step(self, ids, place, memory):
        """Logits of the tokens after `ids` (R,) at `place` -> (R, V); the keys and values of `ids` go into `memory`"""
        return decode_step(self.layers, self.config, self.parameters.sublayer, ids, place, memory)

    def employ(self):
        """Nothing to do: this engine has no worker processes."""

    def each(self, work, items):
        """work(engine, item) for each item, in order"""
        return (work(self, item) for item in items)
