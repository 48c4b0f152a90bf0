"""The trainer: a model with gradients and AdamW's moments, and the training step."""
import math
from contextlib import contextmanager

import numpy as np

from .. import layers
from ..errors import TrainingError
from ..layers.adamw import AdamW
from ..model.engines import make_engine
from ..model.objectives import LIKELIHOOD, chosen
from ..model.parameters import Parameters, decay_of
from .ranks import ALONE

FROZEN = ("token_embed.weight",)                             # with freeze_word_vectors


class Trainer:
    """A model in training: parameters, gradients, AdamW's moments, and the training step."""

    def __init__(self, config, parameters, optimiser=None, ranks=ALONE):
        """config Config; optimiser: a Checkpoint's, to resume from, or None to begin; ranks: see training.ranks"""
        self.config, self.ranks = config, ranks
        threads = ranks.threads(config.training.threads)
        self.engine = make_engine(config.training.engine, config.model, parameters, threads)
        if ranks.layout:
            self.engine.shares = sum(ranks.layout)
        self.parameters, self.gradients = parameters, Parameters(config.model, parameters.flat.dtype)
        self.optimiser = optimiser or (np.zeros_like(parameters.flat), np.zeros_like(parameters.flat),
                                       *[parameters.flat.copy()] * bool(config.training.average))
        self.decay = decay_of(parameters, config.training.weight_decay, config.training.decay)
        self.frozen = [name for name in FROZEN if config.training.freeze_word_vectors]
        for name in self.frozen:
            Parameters(config.model, flat=self.decay).named[name][...] = 0
        self.objectives = chosen(config)
        self.sampler = None                                  # a SelfCritical, in self-critical training

    def step(self, batch, number, learning_rate):
        """Training step `number`, counted from 1, on a Batch -> {objective's name: loss before the step}

        With several ranks the Batch is this one's part, the losses are those of the whole.

        In self-critical training the captions are sampled here, and what is told of them is in the mapping, too.

        TrainingError if a loss or a gradient is not finite; no parameter is changed then.
        """
        t = self.config.training
        keys = layers.fold_key(layers.fold_key(t.seed, number), self.ranks.mine(batch.image_count))  # (B,)
        batch, told = batch._replace(keys=keys), {}
        if self.sampler:
            batch, told = self.sampler.sampled(batch, number)
        try:
            losses, _ = self.engine.loss_and_gradients(batch, self.gradients, self.objectives)
            losses = self.ranks.add(self.engine, self.gradients.flat, losses)
        except TrainingError as error:                       # by an engine that is watched
            raise TrainingError(f"In step {number} {error}.") from error
        for name in self.frozen:                             # without gradient and decay, AdamW changes nothing
            self.gradients.named[name][...] = 0
        settings = AdamW(learning_rate, t.beta1, t.beta2, t.epsilon, t.clip_norm)
        finite = math.isfinite(sum(losses.values()))
        norm = math.nan
        if finite:
            norm = self.engine.update(self.gradients, *self.optimiser[:2], self.decay, number, settings)
        if not math.isfinite(norm):
            raise TrainingError(f"In step {number} the loss is {losses[LIKELIHOOD.name]:.6g} and "
                                f"{self._where_not_finite(batch)}.")
        if self.average is not None:                         # until step t.average a plain mean of all steps
            self.average[...] += (self.parameters.flat - self.average) / np.float32(min(number, t.average))
        return losses | told

    @property
    def average(self):
        """The exponential average of the weights, (N,), or None"""
        return self.optimiser[2] if len(self.optimiser) > 2 else None

    @contextmanager
    def averaged(self):
        """Context with the parameters replaced by their average."""
        kept = self.parameters.flat.copy()
        try:
            self.parameters.flat[...] = self.average
            self.engine.refresh()
            yield
        finally:
            self.parameters.flat[...] = kept
            self.engine.refresh()

    def _where_not_finite(self, batch):
        """Diagnose a step with a NaN or an infinity: repeat it with every sublayer watched -> text"""
        bad = [name for name, view in self.gradients.named.items() if not np.isfinite(view).all()]
        told = f"{len(bad)} gradients are not finite"
        told += f" ({', '.join(bad[:3])}{', ...' * (len(bad) > 3)})" if bad else ""
        try:
            self.engine.watch(self.gradients)
            self.engine.loss_and_gradients(batch, self.gradients, self.objectives)
        except TrainingError as error:
            return f"{told}; {error}"
        return f"{told}; every gradient is finite, so their norm is too large" if not bad else told
