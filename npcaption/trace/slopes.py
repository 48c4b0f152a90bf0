"""Measured slopes of the loss, to compare with the gradients.

All parameters of a sublayer are moved together, and the slope of the loss is measured by the central difference of
npcaption/gradcheck/numeric.py, at steps h and 2h. Along the gradient, g / |g|, it must be |g|, as g . g / |g| = |g|.
That is not enough: if a whole term of g is missing, such as a bias's, the rest still has the right slope along itself.
Therefore the slope is also measured along a random direction r, where it must be g . r.

This checks a sublayer along two directions; `npcaption gradcheck` checks single entries.
"""
from typing import NamedTuple

import numpy as np

from ..gradcheck.numeric import TOLERANCE
from ..support.progress import progress

STEP = 2e-6         # step along g, relative to the arrays' norm: truncation, h^4, and rounding, 1e-16 / h, stay small
RANDOM = 2e-5       # the same along a random direction, where the slope is smaller
ENTRY = 3e-3        # step of one entry, relative to the array's standard deviation
ROUNDING = 1e-14    # relative rounding error of the loss by a float64 forward


class Slope(NamedTuple):
    written: float              # by the backward
    measured: float
    rounding: float             # absolute rounding error of the measurement
    usual: float = 0.0          # typical slope along such a direction; a single one may be small by chance

    @property
    def apart(self):
        """Difference relative to the larger of the slope and the usual slope; 0 if all are 0."""
        largest = self._largest()
        return abs(self.written - self.measured) / largest if largest else 0.0

    @property
    def agrees(self):
        """False for NaN."""
        return abs(self.written - self.measured) <= TOLERANCE * self._largest() + self.rounding

    def _largest(self):
        return max(abs(self.written), abs(self.measured), self.usual)


class Slopes(NamedTuple):
    """The two slopes of a sublayer's parameters, or of the image."""
    along: Slope                # along the gradient: |g|
    random: Slope               # along a random direction r: g . r

    @property
    def apart(self):
        return max(slope.apart for slope in self)

    @property
    def agrees(self):
        return all(slope.agrees for slope in self)


def slopes(recording):
    """{"image" and each sublayer's name: Slopes}, in the order of the forward.

    A tied matrix is moved with the token embedding only. Its gradient is the sum of both uses; moved with the output, a
    mistake far behind the output would make the output look wrong.
    """
    p, g = recording.parameters.named, recording.gradients.named
    moved = {"image": ([recording.batch.inputs], [recording.image_gradient])}
    for visit in recording.visits:
        names = [name for name in p if name.startswith(f"{visit.name}.")]
        moved[visit.name] = [p[name] for name in names], [g[name] for name in names]
    watched = progress(moved.items(), len(moved), "measuring slopes", "sublayers")
    return {name: slopes_of(recording.loss_now, *pair) for name, pair in watched}


def slopes_of(f, arrays, gradients):
    """The Slopes of f() -> float, which reads the arrays. They are moved and restored.

    All arrays have equal shares of the random direction; otherwise a bias beside a matrix would not count.
    """
    size = norm(arrays) or np.sqrt(sum(x.size for x in arrays))
    length = norm(gradients)
    directions = [dx / length for dx in gradients] if length else [np.zeros_like(x) for x in arrays]
    along = Slope(float(length), *difference(f, arrays, directions, STEP * size))
    rng, share = np.random.default_rng(0), len(arrays) ** -0.5
    directions = [share * r / norm([r]) for r in (rng.standard_normal(x.shape) for x in arrays)]
    written = sum((dx * r).sum() for dx, r in zip(gradients, directions))
    usual = np.sqrt(sum(np.square(dx).mean() for dx in gradients)) * share
    return Slopes(along, Slope(float(written), *difference(f, arrays, directions, RANDOM * size), float(usual)))


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
        ahead, behind, far_ahead, far_behind = (at(steps * h) for steps in (1, -1, 2, -2))
    finally:
        for x, kept in zip(arrays, keep):
            x[...] = kept
    slope = (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * h)
    return slope, ROUNDING * abs(ahead) / h


def norm(arrays):
    """Norm over all entries of all arrays."""
    return np.sqrt(sum(np.square(x).sum() for x in arrays))
