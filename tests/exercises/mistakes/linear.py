"""Mistakes in the linear layer."""
import numpy as np

from npcaption import layers as L

from .common import mistake


def linear(cause, says, function="linear_backward"):
    return mistake(function, cause, says, "linear")


@linear("db sums over the channels instead of the rows", r"(?i)db.*(axis|axes|rows|batch)")
def _(dout, cache):
    x, w = cache
    dx = dout @ w.T
    dw = np.tensordot(x, dout, ((0, 1), (0, 1)))
    return dx, dw, dout.sum(axis=-1)


@linear("dw is a mean over all rows", r"(?i)dw.*(rows|B T|times too small)")
def _(dout, cache):
    x, w = cache
    X, D = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    return dout @ w.T, X.T @ D / len(X), D.sum(0)


@linear("dw and db are averaged over the batch", r"(?i)B = \d+ times too small")
def _(dout, cache):
    x, w = cache
    n = x.shape[0]
    dw = sum(x[i].T @ dout[i] for i in range(n)) / n
    db = dout.sum((0, 1)) / n
    return dout @ w.T, dw, db


@linear("gradients in the order dw, dx, db", r"(?i)order|this is dw|dw.*place")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    return dw, dx, db


@linear("only two gradients, db is not returned", r"(?i)\b2\b|two|three|\b3\b")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, x.reshape(-1, x.shape[-1]).T @ dout.reshape(-1, dout.shape[-1])


@linear("dw is computed from the last sequence: = in the loop in += 's place", r"(?i)last")
def _(dout, cache):
    x, w = cache
    dw = np.zeros_like(w)
    for i in range(x.shape[0]):
        dw = x[i].T @ dout[i]
    return dout @ w.T, dw, dout.sum((0, 1))


@linear("dw multiplies sums: x summed first, then the outer product", r"(?i)sum.*(before|first|each)|row by row|outer")
def _(dout, cache):
    x, w = cache
    dw = np.outer(x.sum((0, 1)), dout.sum((0, 1)))
    return dout @ w.T, dw, dout.sum((0, 1))


@linear("dw takes the outer product of the means",
        r"(?i)sum.*(before|first|each)|mean.*(before|first|each)|row by row|outer")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, np.outer(x.mean((0, 1)), dout.sum((0, 1))), dout.sum((0, 1))


@linear("dw has the sign of a descent step", r"(?i)dw.*sign")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    return dx, -dw, db


@linear("dw does not use dout, ones in its place", r"(?i)dout.*(left out|missing|not used|forgot)|ones")
def _(dout, cache):
    x, w = cache
    dw = x.reshape(-1, x.shape[-1]).T @ np.ones_like(dout).reshape(-1, dout.shape[-1])
    return dout @ w.T, dw, dout.sum((0, 1))


@linear("db counts rows: dout left out", r"(?i)dout.*(left out|missing|not used|forgot)|ones")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    return dx, dw, np.full_like(db, dout[..., 0].size)


@linear("dw returned transposed", r"(?i)transpos", "projection_backward")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, dout.reshape(-1, w.shape[1]).T @ x.reshape(-1, w.shape[0])


@linear("dx keeps the rows joined: not reshaped to x's shape", r"(?i)reshape", "projection_backward")
def _(dout, cache):
    x, w = cache
    d = dout.reshape(-1, w.shape[1])
    return d @ w.T, x.reshape(-1, w.shape[0]).T @ d


@linear("dw keeps the batch axis", r"(?i)summed over ax", "projection_backward")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, x.swapaxes(-1, -2) @ dout


@linear("dw uses abs of dout", r"(?i)abs|sign", "projection_backward")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, x.reshape(-1, w.shape[0]).T @ np.abs(dout).reshape(-1, w.shape[1])
