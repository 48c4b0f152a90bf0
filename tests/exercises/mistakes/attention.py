"""Mistakes in attention."""
import numpy as np

from npcaption import layers as L

from .common import mistake, t


def attention(cause, says):
    return mistake("attention_backward", cause, says)


@attention("only v's gradient reaches: dq and dk zero", r"(?i)zero")
def _(dout, cache):
    q, k, v, att, scale = cache
    return np.zeros_like(q), np.zeros_like(k), t(att) @ dout


@attention("plus sum in the softmax's backward", r"(?i)(mean|second|sum|row).*sign")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt + (datt * att).sum(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("datt forgotten: the softmax's derivative att (1 - att) alone", r"(?i)datt|dout|diagonal")
def _(dout, cache):
    q, k, v, att, scale = cache
    ds = att * (1 - att) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("the row sum of datt alone, not weighted by att", r"(?i)weight|att|sum")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - datt.sum(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("the plain mean of datt, not weighted by att", r"(?i)weight|plain mean")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - datt.mean(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("att in front forgotten", r"(?i)\batt\b|softmax")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = (datt - (datt * att).sum(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("dscores @ q for dk without the transpose, cut to fit", r"(?i)transpos|shape|dk")
def _(dout, cache):
    q, k, v, att, scale = cache
    dq, dk, dv = L.attention_backward(dout, cache)
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).sum(-1, keepdims=True)) * scale
    return dq, t(ds @ k), dv


@attention("multiplied by sqrt(D) where it must be divided", r"(?i)sqrt|D = \d+")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).sum(-1, keepdims=True)) / scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("divided by D, not by its root", r"(?i)sqrt|twice")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).sum(-1, keepdims=True)) / q.shape[-1]
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("scale on dq only", r"(?i)dk.*(sqrt|D = )")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).sum(-1, keepdims=True))
    return ds @ k * scale, t(ds) @ q, t(att) @ dout


@attention("scale on dv too", r"(?i)dv.*(sqrt|D = )")
def _(dout, cache):
    dq, dk, dv = L.attention_backward(dout, cache)
    return dq, dk, dv * cache[-1]


@attention("dv = att^T v: dout forgotten", r"(?i)dout|\bv\b|shape")
def _(dout, cache):
    q, k, v, att, scale = cache
    dq, dk, dv = L.attention_backward(dout, cache)
    return dq, dk, t(att) @ (att @ v)


@attention("order dv, dk, dq", r"(?i)order|this is d[qkv]|shape")
def _(dout, cache):
    return L.attention_backward(dout, cache)[::-1]


@attention("dk and dv exchanged, which have one shape", r"(?i)order|this is d[qkv]|exchang|place")
def _(dout, cache):
    dq, dk, dv = L.attention_backward(dout, cache)
    return dq, dv, dk


@attention("dv through the gradient of the softmax as well", r"(?i)dv")
def _(dout, cache):
    q, k, v, att, scale = cache
    dq, dk, dv = L.attention_backward(dout, cache)
    ds = att * (1 - att)
    return dq, dk, t(ds) @ dout


@attention("softmax's Jacobian applied over the wrong axis", r"(?i)axis|column|queries|sources|rows")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).sum(-2, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("att squared in the subtracted term's place: sum(datt att^2)", r"(?i)weight|att|mean|sum")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att * att).sum(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@attention("dq with q, dk with k", r"(?i)shape|\bq\b|\bk\b|exchang")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).sum(-1, keepdims=True)) * scale
    return (ds @ t(ds)) @ q, (t(ds) @ ds) @ k, t(att) @ dout
