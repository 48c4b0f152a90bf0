"""The exact GELU (Hendrycks, Gimpel 2016, arXiv:1606.08415)."""
import numpy as np

from .erf import erf


def gelu_forward(x):
    """out = x Phi(x), where Phi(x) = (1 + erf(x / sqrt(2))) / 2 is the normal distribution function.  x (...)"""
    cdf = erf(x * np.sqrt(x.dtype.type(0.5)))                # (...)
    cdf += 1
    cdf *= 0.5
    return x * cdf, (x, cdf)


def gelu_backward(dout, cache):
    """dx = dout * (Phi(x) + x phi(x)): the product rule, with Phi'(x) = phi(x) = exp(-x^2 / 2) / sqrt(2 pi)"""
    x, cdf = cache
    pdf = np.exp(-0.5 * x * x) * (2 * np.pi) ** -0.5         # (...)
    return dout * (cdf + x * pdf)
