"""Mistakes in the lookup tables."""
import numpy as np

from .common import mistake


def embedding(cause, says, function="embedding_backward"):
    return mistake(function, cause, says, "embedding")


@embedding("a loop that assigns: the last of a repeated id wins", r"(?i)repeat|last")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    for where in np.ndindex(ids.shape):
        dw[ids[where]] = dout[where]
    return dw


@embedding("the first place of each id only (np.unique's index)", r"(?i)repeat|first")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    unique, first = np.unique(ids, return_index=True)
    dw[unique] = dout.reshape(-1, w.shape[1])[first]
    return dw


@embedding("dw has the shape of the rows looked up", r"(?i)shape")
def _(dout, cache):
    return dout


@embedding("divided by the batch", r"(?i)B = \d+ times too small")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids, dout)
    return dw / len(ids)


@embedding("id 0, the padding, gets no gradient", r"(?i)padding|id 0|row.* 0|\[0\]")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids, dout)
    dw[0] = 0
    return dw


@embedding("starts from w in place of zeros: the table itself is added",
           r"(?i)\bw\b.*(itself|added|not zero)|zeros|begin")
def _(dout, cache):
    ids, w = cache
    dw = w.copy()
    np.add.at(dw, ids, dout)
    return dw


@embedding("multiplied by w, as if the lookup were a product", r"(?i)\bw\b")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids, dout * w[ids])
    return dw


@embedding("a gradient of the ids is returned too", r"(?i)\b2\b|two|\b1\b|one")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids, dout)
    return np.zeros(ids.shape), dw


@embedding("dw of the positions has only T rows", r"(?i)shape|rows|beyond", "position_backward")
def _(dout, cache):
    w, = cache
    return dout, dout.sum(0)


@embedding("the batch is not summed but the last sequence taken", r"(?i)last", "position_backward")
def _(dout, cache):
    w, = cache
    dw = np.zeros_like(w)
    for sequence in dout:
        dw[:dout.shape[-2]] = sequence
    return dout, dw


@embedding("summed over tokens instead of the batch and spread over places",
           r"(?i)tokens|places|axis|axes", "position_backward")
def _(dout, cache):
    w, = cache
    dw = np.zeros_like(w)
    dw[:dout.shape[-2]] = dout.sum((0, 1))
    return dout, dw


@embedding("divided by the batch", r"(?i)B = \d+ times too small", "position_backward")
def _(dout, cache):
    w, = cache
    dw = np.zeros_like(w)
    dw[:dout.shape[-2]] = dout.sum(0) / dout.shape[0]
    return dout, dw


@embedding("the rows stand at the table's end", r"(?i)end|first|place|row", "position_backward")
def _(dout, cache):
    w, = cache
    dw = np.zeros_like(w)
    dw[-dout.shape[-2]:] = dout.sum(0)
    return dout, dw
