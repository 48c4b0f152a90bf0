"""The paths of a gradient, and the contribution of each.

Around a branch or through it: a residual sublayer is out = x + branch(x), so dx = dout + dinner; dinner came through
the branch.

To one number: a backward is linear in dout. So dout can be split into the contributions of its senders, and each part
is propagated separately; the resulting parts add up to the number's gradient. The encoder's senders read its output:
the cross-attention of each decoder block, and the bag of words. The senders of a decoder sublayer are the output, by
the residual path around all later branches, and these branches.
"""
from typing import NamedTuple

import numpy as np

from .. import layers
from ..model import wiring
from ..model.parameters import Parameters
from .recording import rms
from .slopes import Slope, slope_of_entry

RESIDUAL = "self_attention", "cross_attention", "mlp"


class Carried(NamedTuple):
    """rms of the gradient by the residual path, through the branch, and of their sum; cosine between the two."""
    residual: float
    branch: float
    together: float
    cosine: float


class Entry(NamedTuple):
    """A number to follow: an entry of the image or of a parameter."""
    name: str                   # "image", or a parameter's full name
    index: tuple

    def __str__(self):
        return f"{self.name}[{','.join(map(str, self.index))}]"


class Followed(NamedTuple):
    """A followed number: its value, its gradient by the backward and measured, and the gradient's parts."""
    entry: Entry
    value: float
    slope: Slope
    parts: list                 # (path, part of the gradient)


def carried(visit):
    """The gradient through a residual sublayer, by path and branch -> Carried, or None for another sublayer"""
    if visit.layer not in RESIDUAL:
        return None
    branch = visit.gradients[0] - visit.dout
    norms = np.linalg.norm(visit.dout) * np.linalg.norm(branch)
    cosine = float((visit.dout * branch).sum() / norms) if norms else 0.0
    return Carried(rms(visit.dout), rms(branch), rms(visit.gradients[0]), cosine)


def follow(recording, entry):
    """The Followed of an Entry of the model or the image"""
    if entry.name == "image":
        array, gradient = recording.batch.inputs, recording.image_gradient
    else:
        array, gradient = recording.parameters.named[entry.name], recording.gradients.named[entry.name]
    slope = slope_of_entry(recording, array, entry.index, gradient[entry.index])
    return Followed(entry, float(array[entry.index]), slope, parts_of(recording, entry))


def parts_of(recording, entry):
    """[(path, part)] of the gradient of an Entry. The parts add up to it."""
    if entry.name == "image":
        return [(path, float(dimage[entry.index])) for path, dimage, _ in through_the_encoder(recording)]
    sublayer = next(visit.name for visit in recording.visits if entry.name.startswith(f"{visit.name}."))
    if sublayer.startswith(("patch_embed", "encoder.")):
        found = [(path, g) for path, _, g in through_the_encoder(recording)]
    else:
        found = through_the_decoder(recording, sublayer)
    if recording.config.tied and entry.name == "token_embed.weight":
        found += [(f"{path}, as the output's matrix", g) for path, g in through_the_decoder(recording, "output")]
    return [(path, float(g.named[entry.name][entry.index])) for path, g in found]


def through_the_encoder(recording):
    """[(path, dimage, Parameters' gradients)] for each reader of the encoder's output"""
    found = []
    for visit in recording.visits:
        if visit.dsource is not None:
            g = Parameters(recording.config, np.float64)
            dimage = wiring.encode_backward(layers, visit.dsource, recording.encoder, g.sublayer)
            found.append((f"by {visit.name}", dimage, g))
    return found


def through_the_decoder(recording, sublayer):
    """[(path, Parameters' gradients)] for each sender of the dout of a decoder sublayer, or of a loss"""
    visit = recording.visit(sublayer)
    found = []
    for path, dout in senders(recording, visit):
        g = Parameters(recording.config, np.float64)
        visit.backward(dout, g)
        found.append((path, g))
    return found


def senders(recording, visit):
    """[(path, part of visit.dout)]"""
    if visit.dout.ndim == 0:
        return [("from the loss", visit.dout)]
    later = recording.visits[recording.visits.index(visit) + 1:]
    branches = [(f"through the branch of {one.name}", one.gradients[0] - one.dout) for one in later
                if one.layer in RESIDUAL]
    return [("from output, around all branches", recording.visit("output").gradients[0]), *branches]
