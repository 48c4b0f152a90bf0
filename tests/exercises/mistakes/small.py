"""Mistakes in dropout and the binary cross-entropy."""
import numpy as np

from .common import mistake


@mistake("dropout_backward", "the mask forgotten", r"(?i)mask")
def _(dout, cache):
    return dout


@mistake("dropout_backward", "kept, but not scaled by 1 / (1 - rate)", r"(?i)rate|scal|times too")
def _(dout, cache):
    mask, = cache
    return dout if mask is None else dout * (mask > 0)


@mistake("dropout_backward", "the mask applied twice", r"(?i)mask.*twice|twice.*mask|scaled twice")
def _(dout, cache):
    mask, = cache
    return dout if mask is None else dout * mask * mask


@mistake("dropout_backward", "divided by the mask", r"(?i)divi|finite")
def _(dout, cache):
    mask, = cache
    return dout if mask is None else dout / mask


@mistake("dropout_backward", "rate 0 forgotten: the mask is None", r"(?i)NoneType|rate 0|None")
def _(dout, cache):
    mask, = cache
    return dout * mask


@mistake("binary_cross_entropy_backward", "not divided by total", r"(?i)total = \d+ times too large")
def _(dloss, cache):
    logits, t_, total = cache
    return dloss * (1 / (1 + np.exp(-logits)) - t_)


@mistake("binary_cross_entropy_backward", "target minus sigmoid", r"(?i)sign")
def _(dloss, cache):
    logits, t_, total = cache
    return dloss * (t_ - 1 / (1 + np.exp(-logits))) / total


@mistake("binary_cross_entropy_backward", "the sigmoid's derivative too: p (1 - p) (p - t)",
         r"(?i)p ?\(1 - p\)|sigmoid'?s? (slope|deriv)")
def _(dloss, cache):
    logits, t_, total = cache
    p = 1 / (1 + np.exp(-logits))
    return dloss * (p - t_) * p * (1 - p) / total


@mistake("binary_cross_entropy_backward", "derivative with respect to p: sigmoid's own forgotten",
         r"(?i)p ?\(1 - p\)|with respect to p|sigmoid")
def _(dloss, cache):
    logits, t_, total = cache
    p = 1 / (1 + np.exp(-logits))
    return dloss * (-t_ / p + (1 - t_) / (1 - p)) / total


@mistake("binary_cross_entropy_backward", "only the words that are there",
         r"(?i)(t = 1|words that|1 - t|absent|target|places)")
def _(dloss, cache):
    logits, t_, total = cache
    p = 1 / (1 + np.exp(-logits))
    return dloss * t_ * (p - 1) / total


@mistake("binary_cross_entropy_backward", "divided by W too, a mean over the words", r"(?i)W = \d+ times too small")
def _(dloss, cache):
    logits, t_, total = cache
    p = 1 / (1 + np.exp(-logits))
    return dloss * (p - t_).mean() * 0 + dloss * (p - t_) / total / logits.shape[-1]


@mistake("binary_cross_entropy_backward", "logits minus targets: no sigmoid", r"(?i)sigmoid|logits")
def _(dloss, cache):
    logits, t_, total = cache
    return dloss * (logits - t_) / total


@mistake("binary_cross_entropy_backward", "dloss forgotten", r"(?i)dloss")
def _(dloss, cache):
    logits, t_, total = cache
    return (1 / (1 + np.exp(-logits)) - t_) / total
