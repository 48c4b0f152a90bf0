"""Mistakes in layernorm."""
from npcaption import layers as L

from .common import mean, mistake, rest


def layernorm(cause, says):
    return mistake("layernorm_backward", cause, says)


@layernorm("rstd forgotten in front of everything", r"(?i)rstd|standard deviation.*(left out|forgot|missing|not div)")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return d - mean(d) - xhat * mean(d * xhat), *rest(dout, xhat)


@layernorm("rstd squared", r"(?i)rstd.*twice|twice|squared")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd ** 2 * (d - mean(d) - xhat * mean(d * xhat)), *rest(dout, xhat)


@layernorm("multiplied by the standard deviation where it must be divided", r"(?i)divid|std|inverse|1 ?/ ?rstd|upside")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return (d - mean(d) - xhat * mean(d * xhat)) / rstd, *rest(dout, xhat)


@layernorm("plus in front of the mean term", r"(?i)mean.*sign")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d + mean(d) - xhat * mean(d * xhat)), *rest(dout, xhat)


@layernorm("plus in front of the deviation's term", r"(?i)deviation.*sign")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) + xhat * mean(d * xhat)), *rest(dout, xhat)


@layernorm("mean(dxhat) mean(xhat) in place of mean(dxhat xhat)", r"(?i)deviation|product")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - xhat * mean(d) * mean(xhat)), *rest(dout, xhat)


@layernorm("xhat in front of the deviation's mean forgotten", r"(?i)xhat.*(left out|forgot|missing|not mult)")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - mean(d * xhat)), *rest(dout, xhat)


@layernorm("sums instead of means in both terms", r"(?i)C = \d+|sum.*mean|mean.*sum")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    s = lambda a: a.sum(-1, keepdims=True)
    return rstd * (d - s(d) - xhat * s(d * xhat)), *rest(dout, xhat)


@layernorm("means over the tokens, not the channels", r"(?i)(over|axis|token|channel)")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    m = lambda a: a.mean(-2, keepdims=True)
    return rstd * (d - m(d) - xhat * m(d * xhat)), *rest(dout, xhat)


@layernorm("one mean over the whole array", r"(?i)(whole|over|axis|all)")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - d.mean() - xhat * (d * xhat).mean()), *rest(dout, xhat)


@layernorm("w only on the first term", r"(?i)\bw\b|dxhat|dout")
def _(dout, cache):
    xhat, rstd, w = cache
    return rstd * (dout * w - mean(dout) - xhat * mean(dout * xhat)), *rest(dout, xhat)


@layernorm("w applied twice", r"(?i)\bw\b.*twice|twice.*\bw\b")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w * w
    return rstd * (d - mean(d) - xhat * mean(d * xhat)), *rest(dout, xhat)


@layernorm("dout divided by w", r"(?i)\bw\b")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout / w
    return rstd * (d - mean(d) - xhat * mean(d * xhat)), *rest(dout, xhat)


@layernorm("dw and db exchanged", r"(?i)order|this is d[wb]|d[wb].*place|exchang|swap")
def _(dout, cache):
    dx, dw, db = L.layernorm_backward(dout, cache)
    return dx, db, dw


@layernorm("dw not summed over the batch, only over tokens", r"(?i)summed over ax")
def _(dout, cache):
    dx, dw, db = L.layernorm_backward(dout, cache)
    xhat, rstd, w = cache
    return dx, (dout * xhat).sum(-2), db


@layernorm("dw includes rstd", r"(?i)rstd|deviation")
def _(dout, cache):
    dx, dw, db = L.layernorm_backward(dout, cache)
    xhat, rstd, w = cache
    return dx, (dout * xhat * rstd).sum((0, 1)), db


@layernorm("dw is a mean over rows", r"(?i)(B T|rows).*times too small")
def _(dout, cache):
    dx, dw, db = L.layernorm_backward(dout, cache)
    return dx, dw / dout[..., 0].size, db


@layernorm("db multiplied by w", r"(?i)\bw\b|dxhat")
def _(dout, cache):
    dx, dw, db = L.layernorm_backward(dout, cache)
    xhat, rstd, w = cache
    return dx, dw, (dout * w).sum((0, 1))


@layernorm("the mean's term and 1/2 of the deviation's, from d sqrt", r"(?i)deviation.*(half|2|twice|small|0\.5)")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - 0.5 * xhat * mean(d * xhat)), *rest(dout, xhat)
