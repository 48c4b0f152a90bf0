"""The engine in NumPy: the textbook, given the whole batch."""
import math

import numpy as np

from .. import layers
from ..layers import adamw
from . import wiring
from .finite import watched
from .memory import Memory, decode_step, no_text, remember
from .objectives import LIKELIHOOD


class NumpyEngine:
    """The textbook, given the whole batch; float32 or float64, as the parameters are."""

    def __init__(self, config, parameters):
        self.config, self.parameters, self.layers = config, parameters, layers

    def __reduce__(self):                                    # for copies, and for other processes
        return NumpyEngine, (self.config, self.parameters)

    def refresh(self):
        """There is nothing to do: the parameters are read where they lie."""

    def watch(self, gradients):
        self.layers = watched(layers, self.parameters.sublayer, gradients.sublayer)

    def loss_and_gradients(self, batch, gradients, objectives=(LIKELIHOOD,)):
        """-> {objective's name: loss}, and the images' gradient (None for uint8); gradients are overwritten

        The gradients are those of the sum of the losses, each times its objective's weight.
        """
        gradients.flat[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):   # what is not finite shows in the loss or in the norm
            losses, cache = wiring.loss_forward(self.layers, self.config, self.parameters.sublayer, batch, objectives)
            dimages = wiring.loss_backward(self.layers, 1.0, cache, gradients.sublayer)
        return {name: float(loss) for name, loss in losses.items()}, dimages

    def update(self, gradients, m, v, decay, step, settings):
        """One step of AdamW -> the gradients' norm before it was clipped. Their values are lost.  settings AdamW

        If the norm is not finite, nothing is changed.
        """
        norm = adamw.clip(gradients.flat, settings.clip_norm)
        if math.isfinite(norm):
            adamw.adamw(self.parameters.flat, gradients.flat, m, v, decay, step, settings)
        return norm

    def encode(self, images):
        return wiring.encode_forward(self.layers, self.config, self.parameters.sublayer, images)[0]

    def decode_loss(self, source, owners, ids):
        """Nats of all targets of captions ids (M, L) together; caption m is beside source[owners[m]]."""
        p = self.parameters.sublayer
        x, _ = wiring.decode_forward(self.layers, self.config, p, ids[:, :-1], source[owners])
        return float(self.layers.output_loss_forward(x, p["output"], ids[:, 1:], 1)[0])

    def decode_logits(self, source, owners, ids):
        """Scores of what follows each token of captions ids (M, L) -> (M, L - 1, V), where padding follows undefined"""
        p = self.parameters.sublayer
        x, _ = wiring.decode_forward(self.layers, self.config, p, ids[:, :-1], source[owners])
        return self.layers.output_forward(x, p["output"])[0]

    def remember(self, images, count):
        """-> the Memory of `count` captions for each image, none of them begun"""
        found = remember(self.layers, self.config, self.parameters.sublayer, self.encode(images))
        return Memory(no_text(self.config, len(images) * count, self.parameters.flat.dtype), found)

    def step(self, ids, place, memory):
        """Scores of what may follow the captions' tokens ids (R,) at `place` -> (R, V); memory is added to."""
        return decode_step(self.layers, self.config, self.parameters.sublayer, ids, place, memory)

    def employ(self):
        """There is nobody to wait for."""

    def each(self, work, items):
        """work(engine, item) of each item, in order"""
        return (work(self, item) for item in items)
