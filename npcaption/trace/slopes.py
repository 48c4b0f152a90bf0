"""Measured slopes: how fast the loss really rises, beside what the gradient says.

All parameters of a sublayer are moved together, and the slope of the loss is measured by the central difference of
npcaption/gradcheck/numeric.py, at steps h and 2h. Along the gradient, g / |g|, it must be |g|, as g . g / |g| = |g|.
That alone would not do: if a whole term of g is missing, such as a bias's, what is left still has the right slope along
itself. So there is a second direction r, random, along which the slope must be g . r.

Two numbers prove a sublayer along two directions; `npcaption gradcheck` checks single entries.
"""
from typing import NamedTuple

import numpy as np

from ..gradcheck.numeric import TOLERANCE
from ..support.progress import progress

STEP = 2e-6         # of the norm of what is moved along g: truncation, h^4, and rounding, 1e-16 / h, both stay small
RANDOM = 2e-5       # along a random direction, which the loss feels less
ENTRY = 3e-3        # of the spread of the array, to move one entry
ROUNDING = 1e-14    # of the loss: what a float64 forward may be off by


class Slope(NamedTuple):
    written: float              # by the backward
    measured: float
    rounding: float             # what the measurement may be off by, whatever the gradient
    usual: float = 0.0          # what the slope along such a direction is like; one may be small by chance

    @property
    def apart(self):
        """Difference, relative to the slope or the usual one, whichever is larger; 0 if all are 0."""
        largest = self._largest()
        return abs(self.written - self.measured) / largest if largest else 0.0

    @property
    def agrees(self):
        """NaN does not."""
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

    A matrix that the output shares (tied) is moved with the token embedding, whose it is: its gradient is the sum of
    both uses, and would make the output look wrong where a fault lies far behind it.
    """
    p, g = recording.parameters.named, recording.gradients.named
    moved = {"image": ([recording.batch.inputs], [recording.image_gradient])}
    for visit in recording.visits:
        names = [name for name in p if name.startswith(f"{visit.name}.")]
        moved[visit.name] = [p[name] for name in names], [g[name] for name in names]
    watched = progress(moved.items(), len(moved), "measuring slopes", "sublayers")
    return {name: slopes_of(recording.loss_now, *pair) for name, pair in watched}


def slopes_of(f, arrays, gradients):
    """The Slopes of f() -> float, which reads the arrays. They are moved and put back.

    Each array has the same share in the random direction: a bias beside a matrix would not be felt.
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
    """Of all entries of all arrays together."""
    return np.sqrt(sum(np.square(x).sum() for x in arrays))
