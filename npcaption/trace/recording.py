"""The recording: inputs and outputs of every sublayer, forward and backward, in float64.

The wiring runs on the textbook with wrapped sublayers, without dropout. The image has no batch axis and is given in
floats: an integer image, as in training, has no gradient.
"""
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from .. import layers
from ..model import wiring
from ..model.parameters import Parameters

BEFORE = 2.0 ** -10  # value of all gradients before the backward: `=` instead of `+=` gives a wrong result


@dataclass
class Visit:
    """One sublayer: its forward, and its backward once it has run."""
    name: str                   # such as encoder.0.attention
    layer: str                  # its pair in the textbook, such as self_attention
    inputs: tuple               # x, or x and source, or image, or ids
    out: np.ndarray             # an array, or the loss
    cache: tuple
    dout: np.ndarray | None = None
    gradients: tuple = ()       # the inputs' gradients, in their order; none for ids

    @property
    def dsource(self):
        """The gradient of the encoder's output, or None if this sublayer does not read it."""
        return {"cross_attention": self.gradients[1:], "bag_loss": self.gradients}.get(self.layer, (None,))[0]

    def backward(self, dout, g):
        """Run the textbook's backward on another dout. The parameters' gradients are added into g, Parameters."""
        getattr(layers, f"{self.layer}_backward")(dout, self.cache, g.sublayer[self.name])


@dataclass
class Recording:
    """A forward and a backward of one image with one caption."""
    config: object              # ModelConfig
    parameters: Parameters      # float64
    gradients: Parameters
    batch: object               # Batch of one image: arrays without a batch axis
    objectives: tuple
    losses: dict                # {objective's name: loss}
    visits: list                # Visits in the order of the forward
    image_gradient: np.ndarray  # (S, S, 3), per unit of the 0 to 255 scale
    encoder: tuple              # the encoder's cache, for wiring.encode_backward

    @property
    def loss(self):
        """Weighted sum of the objectives' losses."""
        return self._sum(self.losses)

    def loss_now(self):
        """The loss at the present values of the image and the parameters."""
        p = self.parameters.sublayer
        return self._sum(wiring.loss_forward(layers, self.config, p, self.batch, self.objectives)[0])

    def _sum(self, losses):
        return float(sum(objective.weight * losses[objective.name] for objective in self.objectives))

    def visit(self, name):
        return next(visit for visit in self.visits if visit.name == name)


def record(config, parameters, batch, objectives):
    """The Recording of a Batch of one image with one caption.  parameters Parameters of any float type"""
    batch = batch.of(0)._replace(inputs=batch.inputs[0].astype(np.float64))
    parameters = Parameters(config, np.float64, parameters.flat.astype(np.float64))
    gradients, visits = Parameters(config, np.float64), []
    gradients.flat[...] = BEFORE
    recorder = recorded(parameters.sublayer, gradients.sublayer, visits)
    losses, cache = wiring.loss_forward(recorder, config, parameters.sublayer, batch, objectives)
    dimage = wiring.loss_backward(recorder, 1.0, cache, gradients.sublayer)
    gradients = Parameters(config, np.float64, gradients.flat - BEFORE)  # fresh views: entries may be replaced
    return Recording(config, parameters, gradients, batch, objectives, losses, visits, dimage, cache[0])


def recorded(p, g, visits):
    """The textbook as an engine whose sublayers append to `visits`.  p, g: parameters and gradients by sublayer"""
    names = {id(mapping): name for view in (p, g) for name, mapping in view.items()}

    def position(arguments):
        return next(i for i, argument in enumerate(arguments) if id(argument) in names)

    def forward_of(layer, function):
        def forward(*arguments):
            out, cache = function(*arguments)
            place = position(arguments)
            visits.append(Visit(names[id(arguments[place])], layer, arguments[:place], out, cache))
            return out, cache
        return forward

    def backward_of(function):
        def backward(dout, cache, mapping):
            returned = function(dout, cache, mapping)
            visit = next(visit for visit in visits if visit.name == names[id(mapping)])
            gradients = returned if isinstance(returned, tuple) else (returned,)
            visit.dout, visit.gradients = np.asarray(dout), tuple(d for d in gradients if d is not None)
            return returned
        return backward

    pairs = [name.removesuffix("_backward") for name in dir(layers) if name.endswith("_backward")]
    wrapped = {f"{pair}_forward": forward_of(pair, getattr(layers, f"{pair}_forward")) for pair in pairs}
    wrapped |= {f"{pair}_backward": backward_of(getattr(layers, f"{pair}_backward")) for pair in pairs}
    return SimpleNamespace(**vars(layers) | wrapped)


def rms(array):
    """Root of the mean square of all entries."""
    return float(np.sqrt(np.mean(np.square(array))))
