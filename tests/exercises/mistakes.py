"""Mistakes in backward passes, written as people write them, each with its cause.

All were written before the diagnoses that have to name them, and are other ones than those of the first prototype. The
cause is a sentence for people; `says` is a pattern that a diagnosis must contain to count as having named it.
"""
from typing import NamedTuple

import numpy as np

from npcaption import layers as L

MISTAKES = []


class Mistake(NamedTuple):
    exercise: str
    function: str
    cause: str
    says: str
    written: object


def mistake(function, cause, says, exercise=None):
    def register(written):
        MISTAKES.append(Mistake(exercise or (function if function == "decode_backward" else function.removesuffix("_backward")), function, cause, says, written))
        return written
    return register


# ------------------------------------------------------------------------------------------------------------- linear

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


@linear("dw takes the outer product of the means", r"(?i)sum.*(before|first|each)|mean.*(before|first|each)|row by row|outer")
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


# --------------------------------------------------------------------------------------------------------------- gelu

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


@mistake("gelu_backward", "phi's 1 / sqrt(2 pi) written 1 / sqrt(pi)", r"(?i)sqrt\(2 ?pi\)|constant|(phi|density).*times")
def _(dout, cache):
    x, cdf = cache
    return dout * (cdf + x * np.exp(-x ** 2 / 2) / np.sqrt(np.pi))


@mistake("gelu_backward", "derivative of the logistic approximation, x sigmoid(1.702 x)", r"(?i)sigmoid|logistic|approximation")
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


@mistake("gelu_backward", "the forward again, times dout: nothing was differentiated", r"(?i)forward|out itself|not.*deriv")
def _(dout, cache):
    x, cdf = cache
    return dout * x * cdf


@mistake("gelu_backward", "x times Phi in place of Phi in the sum", r"(?i)x Phi|forward|Phi.*without x|x.*too many|multiplied by x")
def _(dout, cache):
    x, cdf = cache
    pdf = np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    return dout * (x * cdf + x * pdf)


@mistake("gelu_backward", "only cdf' multiplied: the chain of factors is a product, not a sum", r"(?i)product|phi.*missing|multipl")
def _(dout, cache):
    x, cdf = cache
    pdf = np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    return dout * cdf * pdf


@mistake("gelu_backward", "written into dout", r"(?i)writes? to dout")
def _(dout, cache):
    x, cdf = cache
    dout *= cdf + x * np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    return dout


# ------------------------------------------------------------------------------------------------------ cross entropy

def softmax_of(cache):
    log_probs, targets, shares, total = cache
    return np.exp(log_probs), np.eye(log_probs.shape[-1])[targets], shares, total


@mistake("cross_entropy_backward", "averaged over T and then over the batch, not by total", r"(?i)total")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    d = (p - onehot) * shares[..., None]
    return dloss * d / shares.shape[-1] / shares.shape[0]


@mistake("cross_entropy_backward", "minus 1 at every vocabulary entry instead of the target", r"(?i)target|onehot|one-hot|everywhere")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - 1) * shares[..., None] / total


@mistake("cross_entropy_backward", "softmax forgotten: only minus the onehot", r"(?i)softmax.*missing")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return -dloss * onehot * shares[..., None] / total


@mistake("cross_entropy_backward", "onehot forgotten: only the softmax", r"(?i)(onehot|one-hot|target).*missing")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * p * shares[..., None] / total


@mistake("cross_entropy_backward", "plus in place of minus", r"(?i)(onehot|one-hot|target).*sign")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p + onehot) * shares[..., None] / total


@mistake("cross_entropy_backward", "the weights of the captions forgotten", r"(?i)weight")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * (shares != 0)[..., None] / total


@mistake("cross_entropy_backward", "divided by the targets that count here, in place of total", r"(?i)total|piece")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * shares[..., None] / np.count_nonzero(cache[1])


@mistake("cross_entropy_backward", "derivative of log p taken only at the target: -1/p", r"(?i)1 ?/ ?p|log|softmax.*(left out|missing)|probabilit")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * -onehot / p * shares[..., None] / total


@mistake("cross_entropy_backward", "p (1 - p) on the diagonal: the softmax treated elementwise", r"(?i)diagonal|elementwise|target only")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    dp = -onehot / p
    return dloss * dp * p * (1 - p) * shares[..., None] / total


@mistake("cross_entropy_backward", "the targets shifted by one place", r"(?i)shift|other place|next|target")
def _(dloss, cache):
    log_probs, targets, shares, total = cache
    p = np.exp(log_probs)
    onehot = np.eye(p.shape[-1])[np.roll(targets, 1, -1)]
    return dloss * (p - onehot) * shares[..., None] / total


@mistake("cross_entropy_backward", "p changed in place where p lies in the cache", r"(?i)writes? to.*cache")
def _(dloss, cache):
    log_probs, targets, shares, total = cache
    p = np.exp(log_probs, out=log_probs)
    p -= np.eye(p.shape[-1])[targets]
    return dloss * p * shares[..., None] / total


@mistake("cross_entropy_backward", "log-softmax used where the softmax belongs", r"(?i)log")
def _(dloss, cache):
    log_probs, targets, shares, total = cache
    return dloss * (log_probs - np.eye(log_probs.shape[-1])[targets]) * shares[..., None] / total


@mistake("cross_entropy_backward", "loss of a mean over V as well: divided by V", r"(?i)V = \d+ times too small")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * shares[..., None] / total / p.shape[-1]


# ----------------------------------------------------------------------------------------------- embedding, position

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


@embedding("starts from w in place of zeros: the table itself is added", r"(?i)\bw\b.*(itself|added|not zero)|zeros|begin")
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


@embedding("summed over tokens instead of the batch and spread over places", r"(?i)tokens|places|axis|axes", "position_backward")
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


# ---------------------------------------------------------------------------------------------------------- layernorm

def layernorm(cause, says):
    return mistake("layernorm_backward", cause, says)


def mean(x):
    return x.mean(-1, keepdims=True)


def rest(dout, xhat):
    return (dout * xhat).sum((0, 1)), dout.sum((0, 1))


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


# ---------------------------------------------------------------------------------------------------------- attention

def attention(cause, says):
    return mistake("attention_backward", cause, says)


def t(x):
    return x.swapaxes(-1, -2)


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


# ------------------------------------------------------------------------------------------------------ heads, patches

def heads(cause, says, function):
    return mistake(function, cause, says, "heads")


@heads("reshaped without the swap of axes", r"(?i)swap|axes|transpos|reshape", "split_heads_backward")
def _(dout, cache):
    return dout.reshape(*dout.shape[:-3], dout.shape[-2], -1)


@heads("the heads' channels interleaved: head index last", r"(?i)order|interleav|axes|last|channel", "split_heads_backward")
def _(dout, cache):
    d = np.moveaxis(dout, -3, -1)
    return d.reshape(*d.shape[:-2], -1)


@heads("the heads summed", r"(?i)shape|sum", "split_heads_backward")
def _(dout, cache):
    return dout.sum(-3)


@heads("reshaped to heads without the swap", r"(?i)swap|axes|transpos|reshape", "merge_heads_backward")
def _(dout, cache):
    heads, = cache
    return dout.reshape(*dout.shape[:-2], heads, dout.shape[-2], -1)


@heads("the token and head axes left as they are", r"(?i)swap|axes|transpos|shape", "merge_heads_backward")
def _(dout, cache):
    heads, = cache
    return dout.reshape(*dout.shape[:-1], heads, -1)


@heads("channels split as (D, H)", r"(?i)order|interleav|axes|channel", "merge_heads_backward")
def _(dout, cache):
    heads, = cache
    d = dout.reshape(*dout.shape[:-1], -1, heads)
    return np.moveaxis(d, -1, -3)


@mistake("patches_backward", "reshaped in one go: patches never taken apart", r"(?i)order|moved|axes|swap|reshape")
def _(dout, cache):
    n, size, channels = cache
    return dout.reshape(*dout.shape[:-2], n * size, n * size, channels)


@mistake("patches_backward", "channels taken as last in a patch", r"(?i)order|channel|axes|\(c, y, x\)")
def _(dout, cache):
    n, size, channels = cache
    d = dout.reshape(*dout.shape[:-2], n, n, size, size, channels)
    return d.swapaxes(-4, -3).reshape(*dout.shape[:-2], n * size, n * size, channels)


@mistake("patches_backward", "rows and columns of the image exchanged", r"(?i)order|transpos|rows|columns|axes")
def _(dout, cache):
    dx = L.patches_backward(dout, cache)
    return dx.swapaxes(-2, -3)


@mistake("patches_backward", "rows and columns inside a patch exchanged", r"(?i)order|transpos|rows|columns|axes")
def _(dout, cache):
    n, size, channels = cache
    d = dout.reshape(*dout.shape[:-2], n, n, channels, size, size).swapaxes(-1, -2)
    return L.patches_backward(d.reshape(dout.shape), cache)


@mistake("windows_backward", "= in place of +=: the last window wins", r"(?i)overlap|last|sum|add")
def _(dout, cache):
    shape, side, size, stride = cache
    margin = size // 2
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dp = np.zeros(shape)
    for y in range(size):
        for x in range(size):
            dp[..., y:y + side:stride, x:x + side:stride, :] = d[..., y, x, :]
    return dp[..., margin:margin + side, margin:margin + side, :]


@mistake("windows_backward", "the margin is not cut off", r"(?i)margin|shape|pad")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dp = np.zeros(shape)
    for y in range(size):
        for x in range(size):
            dp[..., y:y + side:stride, x:x + side:stride, :] += d[..., y, x, :]
    return dp


@mistake("windows_backward", "the corner cut in the margin's place", r"(?i)margin|shift|corner|pad")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dp = np.zeros(shape)
    for y in range(size):
        for x in range(size):
            dp[..., y:y + side:stride, x:x + side:stride, :] += d[..., y, x, :]
    return dp[..., :side, :side, :]


@mistake("windows_backward", "only the window's middle sends back", r"(?i)middle|centre|center|overlap|window")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dx = np.zeros((*shape[:-3], side, side, shape[-1]))
    dx[..., ::stride, ::stride, :] = d[..., size // 2, size // 2, :]
    return dx


@mistake("windows_backward", "averaged over how many windows hold a pixel", r"(?i)average|mean|overlap|count")
def _(dout, cache):
    counts = L.windows_backward(np.ones_like(dout), cache)
    return L.windows_backward(dout, cache) / np.maximum(counts, 1)


@mistake("convolution_backward", "db summed over the batch only", r"(?i)summed over ax")
def _(dout, cache):
    dx, dw, db = L.convolution_backward(dout, cache)
    return dx, dw, dout.sum(0)


@mistake("convolution_backward", "the windows' gradient returned for dx", r"(?i)window|shape")
def _(dout, cache):
    cut, linear = cache
    return L.linear_backward(dout, linear)


@mistake("convolution_backward", "dw averaged over the windows", r"(?i)times too small")
def _(dout, cache):
    dx, dw, db = L.convolution_backward(dout, cache)
    return dx, dw / dout.shape[-2] ** 2, db


# -------------------------------------------------------------------------------------------- dropout, binary entropy

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


@mistake("binary_cross_entropy_backward", "the sigmoid's derivative too: p (1 - p) (p - t)", r"(?i)p ?\(1 - p\)|sigmoid'?s? (slope|deriv)")
def _(dloss, cache):
    logits, t_, total = cache
    p = 1 / (1 + np.exp(-logits))
    return dloss * (p - t_) * p * (1 - p) / total


@mistake("binary_cross_entropy_backward", "derivative with respect to p: sigmoid's own forgotten", r"(?i)p ?\(1 - p\)|with respect to p|sigmoid")
def _(dloss, cache):
    logits, t_, total = cache
    p = 1 / (1 + np.exp(-logits))
    return dloss * (-t_ / p + (1 - t_) / (1 - p)) / total


@mistake("binary_cross_entropy_backward", "only the words that are there", r"(?i)(t = 1|words that|1 - t|absent|target|places)")
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


# ---------------------------------------------------------------------------------------------------------- sublayers

def mlp_steps(dout, cache, g, skip=(), add=True):
    norm, up, gelu, down, drop = cache
    d = dout if "dropout" in skip else L.dropout_backward(dout, drop)
    d, g_w, g_b = L.linear_backward(d, down)
    g["down.weight"] += g_w
    g["down.bias"] += g_b
    d = d if "gelu" in skip else L.gelu_backward(d, gelu)
    d, g_w, g_b = L.linear_backward(d, up)
    g["up.weight"] += g_w
    g["up.bias"] += g_b
    d2, g_w, g_b = L.layernorm_backward(d, norm)
    g["norm.weight"] += g_w
    g["norm.bias"] += g_b
    return d if "layernorm" in skip else d2


@mistake("mlp_backward", "the residual path forgotten", r"(?i)(residual|around).*missing")
def _(dout, cache, g):
    return mlp_steps(dout, cache, g)


@mistake("mlp_backward", "the branch forgotten: only dout comes back", r"(?i)branch.*missing|into.*missing")
def _(dout, cache, g):
    mlp_steps(dout, cache, g)
    return dout


@mistake("mlp_backward", "the residual added twice", r"(?i)(residual|around).*(2|twice)")
def _(dout, cache, g):
    return 2 * dout + mlp_steps(dout, cache, g)


@mistake("mlp_backward", "gelu's backward skipped", r"(?i)gelu")
def _(dout, cache, g):
    return dout + mlp_steps(dout, cache, g, skip=("gelu",))


@mistake("mlp_backward", "dropout's backward skipped", r"(?i)dropout")
def _(dout, cache, g):
    return dout + mlp_steps(dout, cache, g, skip=("dropout",))


@mistake("mlp_backward", "layernorm's backward skipped", r"(?i)layernorm")
def _(dout, cache, g):
    return dout + mlp_steps(dout, cache, g, skip=("layernorm",))


@mistake("mlp_backward", "g assigned, not added to", r"(?i)replac|overwrit|add")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in g:
        g[n] = new[n]
    return dx


@mistake("mlp_backward", "g assigned in place", r"(?i)replac|overwrit|add")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in g:
        g[n][...] = new[n]
    return dx


@mistake("mlp_backward", "the norm's gradients never stored", r"(?i)norm\.(weight|bias).*(nothing|not|unchanged)")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in ("down.weight", "down.bias", "up.weight", "up.bias"):
        g[n] += new[n]
    return dx


@mistake("mlp_backward", "the parameters' gradients returned in a tuple", r"(?i)\b7\b|\bone\b|\b1\b|into g")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    return dx, *new.values()


@mistake("mlp_backward", "dx multiplied, not added, with the branch", r"(?i)add|sum|product|multipl")
def _(dout, cache, g):
    return dout * mlp_steps(dout, cache, g)


@mistake("mlp_backward", "subtracted from g: a step of descent", r"(?i)sign|subtract")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in g:
        g[n] -= new[n]
    return dx


def self_steps(dout, cache, g, order=(0, 1, 2), skip=(), keep=(1, 1, 1)):
    norm, qkv_proj, split, attend, merge, proj, drop = cache
    d = dout if "dropout" in skip else L.dropout_backward(dout, drop)
    d, dw, db = L.linear_backward(d, proj)
    g["proj.weight"] += dw
    g["proj.bias"] += db
    d = L.attention_backward(L.merge_heads_backward(d, merge), attend)
    d = [L.split_heads_backward(d[i] * keep[i], split) for i in order]
    d, dw = L.projection_backward(np.concatenate(d, -1), qkv_proj)
    g["qkv.weight"] += dw
    inner, dw, db = L.layernorm_backward(d, norm)
    g["norm.weight"] += dw
    g["norm.bias"] += db
    return d if "layernorm" in skip else inner


@mistake("self_attention_backward", "q, k, v concatenated as k, q, v", r"(?i)order|exchang|d[qkv]")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, order=(1, 0, 2))


@mistake("self_attention_backward", "q, k, v concatenated as v, k, q", r"(?i)order|exchang|d[qkv]")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, order=(2, 1, 0))


@mistake("self_attention_backward", "the residual path forgotten", r"(?i)(residual|around).*missing")
def _(dout, cache, g):
    return self_steps(dout, cache, g)


@mistake("self_attention_backward", "dout with a minus on the branch", r"(?i)(branch|into).*sign")
def _(dout, cache, g):
    return dout - self_steps(dout, cache, g)


@mistake("self_attention_backward", "dropout's backward skipped", r"(?i)dropout")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, skip=("dropout",))


@mistake("self_attention_backward", "the keys' way forgotten", r"(?i)(keys?|\bdk\b|\bk\b).*missing")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, keep=(1, 0, 1))


@mistake("self_attention_backward", "only the values send back", r"(?i)(quer|keys?|\bdk\b|\bdq\b).*missing")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, keep=(0, 0, 1))


@mistake("self_attention_backward", "layernorm's backward skipped", r"(?i)layernorm")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, skip=("layernorm",))


def cross_steps(dout, cache, g, order=(0, 1, 2), keep=(1, 1, 1), skip=()):
    norm, q_proj, kv_proj, split, attend, merge, proj, drop = cache
    d = dout if "dropout" in skip else L.dropout_backward(dout, drop)
    d, dw, db = L.linear_backward(d, proj)
    g["proj.weight"] += dw
    g["proj.bias"] += db
    d = L.attention_backward(L.merge_heads_backward(d, merge), attend)
    dq, dk, dv = (L.split_heads_backward(d[i] * keep[i], split) for i in order)
    dsource, dw = L.projection_backward(np.concatenate([dk, dv], -1), kv_proj)
    g["kv.weight"] += dw
    d, dw = L.projection_backward(dq, q_proj)
    g["q.weight"] += dw
    d, dw, db = L.layernorm_backward(d, norm)
    g["norm.weight"] += dw
    g["norm.bias"] += db
    return d, dsource


@mistake("cross_attention_backward", "dsource from the keys only", r"(?i)value.*missing|dv.*missing")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, keep=(1, 1, 0))
    return dout + d, ds


@mistake("cross_attention_backward", "dsource from the values only", r"(?i)keys?.*missing|dk.*missing")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, keep=(1, 0, 1))
    return dout + d, ds


@mistake("cross_attention_backward", "dv before dk in the concatenation", r"(?i)order|exchang|d[kv]")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, order=(0, 2, 1))
    return dout + d, ds


@mistake("cross_attention_backward", "dsource not returned", r"(?i)\b2\b|two|\b1\b|one")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d


@mistake("cross_attention_backward", "dsource before dx", r"(?i)order|shape")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return ds, dout + d


@mistake("cross_attention_backward", "the residual path forgotten", r"(?i)(residual|around).*missing")
def _(dout, cache, g):
    return cross_steps(dout, cache, g)


@mistake("cross_attention_backward", "the source taken as a constant: dsource zeros", r"(?i)zero")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d, np.zeros_like(ds)


@mistake("cross_attention_backward", "the source averaged over the tokens: divided by T", r"(?i)T = \d+ times too small")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d, ds / dout.shape[-2]


@mistake("cross_attention_backward", "dropout's backward skipped", r"(?i)dropout")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, skip=("dropout",))
    return dout + d, ds


@mistake("output_backward", "layernorm's backward skipped", r"(?i)layernorm")
def _(dlogits, cache, g):
    norm, linear = cache
    d, dw, db = L.linear_backward(dlogits, linear)
    g["linear.weight"] += dw
    g["linear.bias"] += db
    dx, dw, db = L.layernorm_backward(d, norm)
    g["norm.weight"] += dw
    g["norm.bias"] += db
    return d


@mistake("output_backward", "the norm's gradients into the wrong names", r"(?i)norm\.(weight|bias).*(other|this is|exchang|place|gradient of)")
def _(dlogits, cache, g):
    norm, linear = cache
    d, dw, db = L.linear_backward(dlogits, linear)
    g["linear.weight"] += dw
    g["linear.bias"] += db
    dx, dw, db = L.layernorm_backward(d, norm)
    g["norm.weight"] += db
    g["norm.bias"] += dw
    return dx


@mistake("output_loss_backward", "dloss taken as 1", r"(?i)dloss", "output")
def _(dloss, cache, g):
    output, entropy = cache
    return L.output_backward(L.cross_entropy_backward(1.0, entropy), output, g)


@mistake("output_loss_backward", "an embedding's residual: dout added where there is no fork", r"(?i)runs|shape|residual|not.*fork|broadcast|added", "output")
def _(dloss, cache, g):
    output, entropy = cache
    return dloss + L.output_backward(L.cross_entropy_backward(dloss, entropy), output, g)


@mistake("token_embed_backward", "+= with repeated ids", r"(?i)repeat")
def _(dout, cache, g):
    (ids, w), place = cache
    g["position"] += L.position_backward(dout, place)[1]
    g["weight"][ids] += dout


@mistake("token_embed_backward", "the positions' gradient forgotten", r"(?i)position.*(nothing|not|unchanged)")
def _(dout, cache, g):
    lookup, place = cache
    g["weight"] += L.embedding_backward(dout, lookup)


@mistake("token_embed_backward", "dout returned as the ids' gradient", r"(?i)\b0\b|none|no gradient|integers")
def _(dout, cache, g):
    L.token_embed_backward(dout, cache, g)
    return dout


@mistake("patch_embed_backward", "the division by 127.5 forgotten", r"(?i)127\.5 times too large")
def _(dout, cache, g):
    d = L.patch_embed_backward(dout, cache, g)
    return None if d is None else d * 127.5


@mistake("patch_embed_backward", "multiplied by 127.5", r"(?i)127\.5")
def _(dout, cache, g):
    d = L.patch_embed_backward(dout, cache, g)
    return None if d is None else d * 127.5 ** 2


@mistake("patch_embed_backward", "nothing returned: an image has no gradient", r"(?i)None|no gradient|\b0\b|\b1\b|one")
def _(dout, cache, g):
    L.patch_embed_backward(dout, cache, g)


@mistake("patch_embed_backward", "the positions' gradient forgotten", r"(?i)position.*(nothing|not|unchanged)")
def _(dout, cache, g):
    kept = g["position"].copy()
    d = L.patch_embed_backward(dout, cache, g)
    g["position"][...] = kept
    return d


@mistake("stem_backward", "the residual of the stride-1 convolution forgotten", r"(?i)(residual|around|stride)")
def _(dout, cache, g):
    blocks, = cache
    dx = dout
    for conv, stride, convolution, norm, gelu in reversed(blocks):
        d, dw, db = L.layernorm_backward(L.gelu_backward(dx, gelu), norm)
        g[f"{conv}.norm.weight"] += dw
        g[f"{conv}.norm.bias"] += db
        dx, dw, db = L.convolution_backward(d, convolution)
        g[f"{conv}.weight"] += dw
        g[f"{conv}.bias"] += db
    return dx


@mistake("stem_backward", "gelu's backward skipped", r"(?i)gelu")
def _(dout, cache, g):
    blocks, = cache
    dx = dout
    for conv, stride, convolution, norm, gelu in reversed(blocks):
        d, dw, db = L.layernorm_backward(dx, norm)
        g[f"{conv}.norm.weight"] += dw
        g[f"{conv}.norm.bias"] += db
        inner, dw, db = L.convolution_backward(d, convolution)
        g[f"{conv}.weight"] += dw
        g[f"{conv}.bias"] += db
        dx = dx + inner if stride == 1 else inner
    return dx


@mistake("stem_backward", "the first convolution first", r"(?i)IndexError|ValueError|order|revers|last")
def _(dout, cache, g):
    blocks, = cache
    return L.stem_backward(dout, (blocks[::-1],), g)


@mistake("bag_loss_backward", "the mean's 1 / P forgotten", r"(?i)P = \d+ times too large")
def _(dloss, cache, g):
    patches, output, entropy = cache
    d = L.output_backward(L.binary_cross_entropy_backward(dloss, entropy), output, g)
    return np.repeat(d[..., None, :], patches, -2)


@mistake("bag_loss_backward", "the gradient given to the first patch only", r"(?i)patch|only|first")
def _(dloss, cache, g):
    patches, output, entropy = cache
    d = L.output_backward(L.binary_cross_entropy_backward(dloss, entropy), output, g)
    out = np.zeros((*d.shape[:-1], patches, d.shape[-1]))
    out[..., 0, :] = d
    return out


@mistake("bag_loss_backward", "the patches' axis forgotten", r"(?i)shape|patch|axis")
def _(dloss, cache, g):
    patches, output, entropy = cache
    return L.output_backward(L.binary_cross_entropy_backward(dloss, entropy), output, g) / patches


# ------------------------------------------------------------------------------- numerical gradient, decoder's wiring

def numerical(cause, says):
    return mistake("numerical_gradient", cause, says)


@numerical("one-sided difference", r"(?i)one.sided|both sides|central|forward difference")
def _(f, x):
    dx, h, y = np.zeros_like(x), 1e-5, f()
    for i in np.ndindex(x.shape):
        x[i] += h
        dx[i] = (f() - y) / h
        x[i] -= h
    return dx


@numerical("divided by h in place of 2h", r"(?i)2 times too large|2h|2 h")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / h
        x[i] = kept
    return dx


@numerical("x is not put back", r"(?i)put back|writes? to x|leaves x|restore")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        x[i] += h
        up = f()
        x[i] -= 2 * h
        dx[i] = (up - f()) / (2 * h)
    return dx


@numerical("every entry moved at once", r"(?i)at once|one entry|each|alone")
def _(f, x):
    kept, h = x.copy(), 1e-5
    x[...] = kept + h
    up = f()
    x[...] = kept - h
    down = f()
    x[...] = kept
    return np.full_like(x, (up - down) / (2 * h))


@numerical("the sign: f(x - h) - f(x + h)", r"(?i)sign")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept - h
        y = f()
        x[i] = kept + h
        dx[i] = (y - f()) / (2 * h)
        x[i] = kept
    return dx


@numerical("h far too large", r"(?i)\bh\b|step")
def _(f, x):
    dx, h = np.zeros_like(x), 0.5
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / (2 * h)
        x[i] = kept
    return dx


@numerical("h far too small: rounding", r"(?i)\bh\b|step|round")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-14
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / (2 * h)
        x[i] = kept
    return dx


@numerical("only the first axis is walked along", r"(?i)axis|entr|zero|places|rows")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in range(len(x)):
        kept = x[i].copy()
        x[i] += h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / (2 * h)
        x[i] = kept
    return dx


def decoder_steps(layers, dx, cache, g, order=reversed):
    embed, blocks = cache
    found = []
    for i, (itself, cross, mlp) in order(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx, ds = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        found.append(ds)
    layers.token_embed_backward(dx, embed, g["token_embed"])
    return found


@mistake("decode_backward", "dsource of the last visited block only", r"(?i)block.*missing")
def _(layers, dx, cache, g):
    return decoder_steps(layers, dx, cache, g)[-1]


@mistake("decode_backward", "dsource of the first visited block only", r"(?i)block.*missing")
def _(layers, dx, cache, g):
    return decoder_steps(layers, dx, cache, g)[0]


@mistake("decode_backward", "blocks in the forward's order", r"(?i)order|revers")
def _(layers, dx, cache, g):
    return sum(decoder_steps(layers, dx, cache, g, order=iter))


@mistake("decode_backward", "the blocks' dsource averaged", r"(?i)times too small|mean|average")
def _(layers, dx, cache, g):
    found = decoder_steps(layers, dx, cache, g)
    return sum(found) / len(found)


@mistake("decode_backward", "self-attention's backward before cross-attention's", r"(?i)order|revers")
def _(layers, dx, cache, g):
    embed, blocks = cache
    dsource = 0
    for i, (itself, cross, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        dx, ds = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dsource = dsource + ds
    layers.token_embed_backward(dx, embed, g["token_embed"])
    return dsource


@mistake("decode_backward", "token_embed's backward forgotten", r"(?i)token_embed.*(nothing|not|unchanged)")
def _(layers, dx, cache, g):
    embed, blocks = cache
    dsource = 0
    for i, (itself, cross, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx, ds = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        dsource = dsource + ds
    return dsource


@mistake("decode_backward", "dx returned: the source's gradient never collected", r"(?i)shape|source")
def _(layers, dx, cache, g):
    decoder_steps(layers, dx, cache, g)
    return dx
