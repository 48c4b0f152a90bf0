"""exp(x) for x <= 0 as a polynomial that LLVM vectorises; it does not vectorise math.exp."""
import numpy as np

from .compilation import compiled
from .simd import power_of_two, round_even

LOG2_E = np.float32(1.4426950408889634)
SMALLEST = np.float32(-126.0)  # the least exponent of a normal float32
# 2^r on [-1/2, 1/2] by interpolation at Chebyshev nodes, computed with mpmath at 40 digits. Error of exp: at most
# 6.7e-8 absolute; relative 1.2e-7 on [-1, 0], growing with the rounding of x log2(e) to 3.9e-6 at -87. Below, where exp
# is under 1.7e-38, this gives about 1.2e-38.
P0, P1, P2, P3, P4, P5, P6 = (np.float32(c) for c in (
    1.0, 0.693147206703, 0.240226509223, 0.0555032722667, 0.00961805667852, 0.00134004281776, 0.000154614446986))


@compiled
def exp_of_negative(x):
    """exp(x) = 2^n 2^r, n + r = x log2(e), n whole.  x <= 0 or NaN, float32"""
    t = x * LOG2_E
    t = SMALLEST if t < SMALLEST else t                      # false for NaN, so NaN reaches the result
    n = round_even(t)
    r = t - n
    return ((((((P6 * r + P5) * r + P4) * r + P3) * r + P2) * r + P1) * r + P0) * power_of_two(n)
