"""Mistakes in gelu."""
import numpy as np

from .common import mistake


@mistake("gelu_backward", "dx is x times the derivative only: Phi forgotten", r"(?i)(Phi|distribution).*missing")
def _(dout, cache):
    x, cdf = cache
    return dout * x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


@mistake("gelu_backward", "minus in the product rule", r"(?i)(phi|density).*sign")
def _(dout, cache):
    x, cdf = cache
    pdf = np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    return dout * (cdf - x * pdf)


@mistake("gelu_backward", "phi's 1 / sqrt(2 pi) written 1 / (2 pi)", r"(?i)sqrt\(2 ?pi\)|constant|(phi|density).*times")
def _(dout, cache):
    x, cdf = cache
    return dout * (cdf + x * np.exp(-x ** 2 / 2) / (2 * np.pi))


@mistake("gelu_backward", "phi's 1 / sqrt(2 pi) written 1 / sqrt(pi)",
         r"(?i)sqrt\(2 ?pi\)|constant|(phi|density).*times")
def _(dout, cache):
    x, cdf = cache
    return dout * (cdf + x * np.exp(-x ** 2 / 2) / np.sqrt(np.pi))


@mistake("gelu_backward", "derivative of the logistic approximation, x sigmoid(1.702 x)",
         r"(?i)sigmoid|logistic|approximation")
def _(dout, cache):
    x, cdf = cache
    s = 1 / (1 + np.exp(-1.702 * x))
    return dout * (s + 1.702 * x * s * (1 - s))


@mistake("gelu_backward", "ReLU's derivative", r"(?i)relu|step")
def _(dout, cache):
    x, cdf = cache
    return dout * (x > 0)


@mistake("gelu_backward", "phi without the half in the exponent", r"(?i)exp\(-x\^2\)|half|exponent|/ 2")
def _(dout, cache):
    x, cdf = cache
    pdf = np.exp(-x ** 2) / np.sqrt(2 * np.pi)
    return dout * (cdf + x * pdf)


@mistake("gelu_backward", "the forward again, times dout: nothing was differentiated",
         r"(?i)forward|out itself|not.*deriv")
def _(dout, cache):
    x, cdf = cache
    return dout * x * cdf


@mistake("gelu_backward", "x times Phi in place of Phi in the sum",
         r"(?i)x Phi|forward|Phi.*without x|x.*too many|multiplied by x")
def _(dout, cache):
    x, cdf = cache
    pdf = np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    return dout * (x * cdf + x * pdf)


@mistake("gelu_backward", "only cdf' multiplied: the chain of factors is a product, not a sum",
         r"(?i)product|phi.*missing|multipl")
def _(dout, cache):
    x, cdf = cache
    pdf = np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    return dout * cdf * pdf


@mistake("gelu_backward", "written into dout", r"(?i)writes? to dout")
def _(dout, cache):
    x, cdf = cache
    dout *= cdf + x * np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    return dout
