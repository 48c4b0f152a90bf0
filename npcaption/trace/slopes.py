"""Measured slopes: the loss along a gradient must rise by the gradient's norm.

All parameters of a sublayer are moved together along their gradient g / |g|. The slope of the loss is measured by the
central difference of npcaption/gradcheck/numeric.py, at steps h and 2h; if g is right it is |g|, as g . g / |g| = |g|.
One number proves a sublayer only along one direction; `npcaption gradcheck` checks single entries.
"""
from typing import NamedTuple

import numpy as np

from ..gradcheck.numeric import TOLERANCE
from ..support.progress import progress

STEP = 2e-6         # of the norm of what is moved: truncation, h^4, and rounding, 1e-16 / h, both stay small
ENTRY = 3e-3        # of the spread of the array, to move one entry: the loss feels it less
ROUNDING = 1e-14    # of the loss: what a float64 forward may be off by


class Slope(NamedTuple):
    written: float              # by the backward
    measured: float
    rounding: float             # what the measurement may be off by, whatever the gradient

    @property
    def apart(self):
        """Relative difference, 0 if both are 0."""
        largest = max(abs(self.written), abs(self.measured))
        return abs(self.written - self.measured) / largest if largest else 0.0

    @property
    def agrees(self):
        """NaN does not."""
        largest = max(abs(self.written), abs(self.measured))
        return abs(self.written - self.measured) <= TOLERANCE * largest + self.rounding


def slopes(recording):
    """{"image" and each sublayer's name: Slope}, in the order of the forward."""
    p, g = recording.parameters.sublayer, recording.gradients.sublayer
    moved = {"image": ([recording.batch.inputs], [recording.image_gradient])}
    moved |= {visit.name: (list(p[visit.name].values()), list(g[visit.name].values())) for visit in recording.visits}
    watched = progress(moved.items(), len(moved), "measuring slopes", "sublayers")
    return {name: slope_along(recording.loss_now, *pair) for name, pair in watched}


def slope_along(f, arrays, gradients):
    """The Slope of f() -> float, which reads the arrays, along their gradients. The arrays are moved and put back.

    A gradient of 0 has no direction: then it is a random one, along which f must be flat.
    """
    norm = np.sqrt(sum(np.square(d).sum() for d in gradients))
    directions = gradients if norm > 0 else random_like(arrays)
    length = norm if norm > 0 else np.sqrt(sum(np.square(d).sum() for d in directions))
    size = np.sqrt(sum(np.square(x).sum() for x in arrays))
    h = STEP * (size or np.sqrt(sum(x.size for x in arrays)))
    return Slope(float(norm), *difference(f, arrays, [d / length for d in directions], h))


def slope_of_entry(recording, array, index, written):
    """The Slope of the loss along one entry of a parameter, or of the image."""
    direction = np.zeros_like(array)
    direction[index] = 1
    return Slope(float(written), *difference(recording.loss_now, [array], [direction], ENTRY * (np.std(array) or 1)))


def difference(f, arrays, directions, h):
    """-> the slope of f by central differences at h and 2h, and the rounding in it"""
    keep = [x.copy() for x in arrays]

    def at(step):
        for x, kept, direction in zip(arrays, keep, directions):
            x[...] = kept + step * direction
        return f()

    try:
        near, far = at(h) - at(-h), at(2 * h) - at(-2 * h)
        size = abs(at(0))
    finally:
        for x, kept in zip(arrays, keep):
            x[...] = kept
    return (8 * near - far) / (12 * h), ROUNDING * size / h


def random_like(arrays):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(x.shape) for x in arrays]
