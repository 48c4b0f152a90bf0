"""GELU and its derivative, computed together, on float32 of any length."""
import numpy as np

from .compilation import compiled, kernel
from .exponential import exp_of_negative
from .simd import F1, absolute

# The textbook's polynomial for float32 (layers/erf.py: -log(1 - erf(z)) / z on [0, 6], in u = z / 3 - 1), lowest power
# first. Against float64: gelu is right to 1.3e-7 max(1, |gelu|), its slope to 1.4e-7.
C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12 = (np.float32(c) for c in (
    3.573454353, 2.730299121, 0.1418828161, -0.07516959472, 0.03864380101, -0.0187947041, 0.008234141072,
    -0.002854511601, 0.000801418002, -0.0002744448953, -0.0003954108643, 0.0007346422, -0.000301446754))
ONE, HALF, SIX, THIRD = np.float32(1), np.float32(0.5), np.float32(6), np.float32(1 / 3)
ROOT_HALF, DENSITY = np.float32(0.5 ** 0.5), np.float32((2 * np.pi) ** -0.5)


@compiled
def half_erfc(z):
    """(1 - erf(z)) / 2 = exp(-z P(z)) / 2.  z >= 0"""
    z = SIX if z > SIX else z
    u = z * THIRD - ONE
    p = ((((((((((((C12 * u + C11) * u + C10) * u + C9) * u + C8) * u + C7) * u + C6) * u + C5) * u + C4) * u + C3) * u
           + C2) * u + C1) * u + C0)
    return HALF * exp_of_negative(-z * p)


@kernel
def fused_gelu_forward(x: F1, out: F1):
    """out = x Phi(x); x becomes the slope Phi(x) + x phi(x), the only input of the backward besides dout."""
    for i in range(x.size):
        v = x[i]
        tail = half_erfc(absolute(v) * ROOT_HALF)
        cdf = ONE - tail if v > 0 else tail
        out[i] = v * cdf
        x[i] = cdf + v * DENSITY * exp_of_negative(-HALF * v * v)


@kernel
def fused_gelu_backward(dout: F1, slope: F1):
    """dout becomes dx = dout * slope."""
    for i in range(dout.size):
        dout[i] *= slope[i]
