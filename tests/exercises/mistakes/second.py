"""The second set of mistakes, written when the diagnoses were finished for the one before."""
import numpy as np

from npcaption import layers as L

from .common import Mistake, mean, rest, softmax_of, t

SECOND = []


def second(exercise, function, cause, says):
    def register(written):
        SECOND.append(Mistake(exercise, function, cause, says, written))
        return written
    return register


@second("linear", "linear_backward", "dx multiplied by w where w^T belongs, on joined rows",
        r"(?i)raises|w\^T|transpos")
def _(dout, cache):
    x, w = cache
    return dout @ w, np.einsum("...i,...o->io", x, dout), dout.sum((0, 1))


@second("linear", "linear_backward", "dw from normalised rows: divided by the number of tokens",
        r"T = 5 times too small")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, np.einsum("bti,bto->io", x, dout) / x.shape[1], dout.sum((0, 1))


@second("linear", "linear_backward", "db with keepdims", r"(?i)reshaped")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, np.einsum("bti,bto->io", x, dout), dout.sum((0, 1), keepdims=True)


@second("linear", "linear_backward", "dw summed over the batch, not over the tokens", r"summed over axes")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, np.einsum("bti,bto->tio", x, dout), dout.sum((0, 1))


@second("linear", "linear_backward", "weight decay added to dw", r"(?i)\bw\b")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, np.einsum("bti,bto->io", x, dout) + 0.01 * w, dout.sum((0, 1))


@second("linear", "linear_backward", "db is the largest entry of each channel", r"(?i)max|largest|sum")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, np.einsum("bti,bto->io", x, dout), dout.max((0, 1))


@second("linear", "projection_backward", "x added for the residual that is not there", r"(?i)\bx\b.*added")
def _(dout, cache):
    x, w = cache
    return dout @ w.T + x, np.einsum("...i,...o->io", x, dout)


@second("gelu", "gelu_backward", "only phi: x and Phi both forgotten", r"(?i)Phi.*missing|x is left out")
def _(dout, cache):
    x, cdf = cache
    return dout * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


@second("gelu", "gelu_backward", "phi taken of x / sqrt(2), as in erf", r"(?i)exponent|sqrt|phi")
def _(dout, cache):
    x, cdf = cache
    z = x / np.sqrt(2)
    return dout * (cdf + x * np.exp(-z * z / 2) / np.sqrt(2 * np.pi))


@second("gelu", "gelu_backward", "sigmoid in Phi's place", r"(?i)sigmoid|Phi")
def _(dout, cache):
    x, cdf = cache
    s = 1 / (1 + np.exp(-x))
    return dout * (s + x * s * (1 - s))


@second("gelu", "gelu_backward", "derivative of erf left at 2/sqrt(pi): factors not combined", r"(?i)times too large")
def _(dout, cache):
    x, cdf = cache
    return dout * (cdf + x * np.exp(-x * x / 2) * 2 / np.sqrt(np.pi))


@second("cross_entropy", "cross_entropy_backward", "weights applied twice", r"(?i)weights?.*(twice|multiplied)")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * shares[..., None] ** 2 / total


@second("cross_entropy", "cross_entropy_backward", "onehot - softmax and padding counted", r"(?i)padding")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    w = shares.max(-1)[..., None, None]
    return dloss * (onehot - p) * w / total


@second("cross_entropy", "cross_entropy_backward", "divided by the sum of the weights", r"(?i)total")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * shares[..., None] / shares.sum()


@second("cross_entropy", "cross_entropy_backward", "1 not subtracted but multiplied at the target: gradient 0 there",
        r"(?i)onehot|target")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * p * (1 - onehot) * shares[..., None] / total


@second("cross_entropy", "cross_entropy_backward", "dloss twice", r"(?i)dloss.*twice")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * dloss * (p - onehot) * shares[..., None] / total


@second("cross_entropy", "cross_entropy_backward", "the target's column zeroed, as with padding in other codes",
        r"(?i)column|\b0\b.*axis|axis")
def _(dloss, cache):
    d = L.cross_entropy_backward(dloss, cache)
    d[..., 0] = 0
    return d


@second("binary_cross_entropy", "binary_cross_entropy_backward", "tanh without its halves", r"(?i)sigmoid")
def _(dloss, cache):
    logits, t_, total = cache
    return dloss * (np.tanh(logits) - t_) / total


@second("binary_cross_entropy", "binary_cross_entropy_backward", "target forgotten", r"(?i)target.*missing")
def _(dloss, cache):
    logits, t_, total = cache
    return dloss / (1 + np.exp(-logits)) / total


@second("embedding", "embedding_backward", "onehot^T dout divided by the rows", r"(?i)times too small")
def _(dout, cache):
    ids, w = cache
    onehot = np.eye(len(w))[ids.ravel()]
    return onehot.T @ dout.reshape(-1, w.shape[1]) / ids.size


@second("embedding", "embedding_backward", "only the first sequence", r"(?i)first")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids[0], dout[0])
    return dw


@second("embedding", "embedding_backward", "np.add.at with -dout", r"(?i)sign")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids, -dout)
    return dw


@second("embedding", "position_backward", "w added to dx", r"(?i)\bw\b|added")
def _(dout, cache):
    w, = cache
    dx, dw = L.position_backward(dout, cache)
    return dx + w[:dout.shape[-2]], dw


@second("layernorm", "layernorm_backward", "the mean's term lost, w forgotten, both",
        r"(?i)mean.*missing|w is left out")
def _(dout, cache):
    xhat, rstd, w = cache
    return rstd * (dout - xhat * mean(dout * xhat)), *rest(dout, xhat)


@second("layernorm", "layernorm_backward", "the deviation's term with rstd again", r"(?i)deviation|rstd")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - rstd * xhat * mean(d * xhat)), *rest(dout, xhat)


@second("layernorm", "layernorm_backward", "rstd only on the first term (missing parentheses)", r"(?i)rstd|parenthes")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * d - mean(d) - xhat * mean(d * xhat), *rest(dout, xhat)


@second("layernorm", "layernorm_backward", "only the statistics' terms", r"(?i)own term.*missing")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return -rstd * (mean(d) + xhat * mean(d * xhat)), *rest(dout, xhat)


@second("layernorm", "layernorm_backward", "2 / C in the variance's term", r"(?i)deviation.*2 times too large")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - 2 * xhat * mean(d * xhat)), *rest(dout, xhat)


@second("layernorm", "layernorm_backward", "a sum in the deviation's term only",
        r"(?i)deviation.*C = 7 times too large")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - xhat * (d * xhat).sum(-1, keepdims=True)), *rest(dout, xhat)


@second("layernorm", "layernorm_backward", "dw without dout", r"(?i)dout is left out")
def _(dout, cache):
    dx, dw, db = L.layernorm_backward(dout, cache)
    return dx, np.broadcast_to(cache[0], dout.shape).sum((0, 1)), db


@second("layernorm", "layernorm_backward", "the output in place of xhat in dw", r"(?i)xhat|output")
def _(dout, cache):
    xhat, rstd, w = cache
    dx, dw, db = L.layernorm_backward(dout, cache)
    return dx, (dout * xhat * w).sum((0, 1)), db


@second("attention", "attention_backward", "datt from dout @ v without the transpose, einsum with wrong letters",
        r"(?i)transpos|raises|datt")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = np.einsum("bhtd,bhsd->bhts", dout, k)
    ds = att * (datt - (datt * att).sum(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@second("attention", "attention_backward", "scale from sqrt(T) instead of sqrt(D)", r"(?i)sqrt|T = |D = ")
def _(dout, cache):
    q, k, v, att, scale = cache
    dq, dk, dv = L.attention_backward(dout, cache)
    f = 1 / scale / np.sqrt(q.shape[-2])
    return dq * f, dk * f, dv


@second("attention", "attention_backward", "minus forgotten outside: negative dscores", r"(?i)sign")
def _(dout, cache):
    dq, dk, dv = L.attention_backward(dout, cache)
    return -dq, -dk, dv


@second("attention", "attention_backward", "the mean term divided by S: mean() in sum()'s place",
        r"(?i)S = 11 times too small")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).mean(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@second("attention", "attention_backward", "dv averaged over the heads", r"(?i)H = 5|head|axis")
def _(dout, cache):
    dq, dk, dv = L.attention_backward(dout, cache)
    return dq, dk, dv.mean(1, keepdims=True) + 0 * dv


@second("attention", "attention_backward", "exp of scores again: softmax of att", r"(?i)softmax|att")
def _(dout, cache):
    q, k, v, att, scale = cache
    a = np.exp(att) / np.exp(att).sum(-1, keepdims=True)
    dq, dk, dv = L.attention_backward(dout, (q, k, v, a, scale))
    return dq, dk, dv


@second("heads", "split_heads_backward", "token and batch swapped", r"(?i)axes|shape|transpos|order")
def _(dout, cache):
    return np.moveaxis(dout, -3, -2).reshape(dout.shape[-2], -1, dout.shape[-1] * dout.shape[-3])


@second("patches", "patches_backward", "patches column by column", r"(?i)rows and columns|order")
def _(dout, cache):
    n, size, c = cache
    d = dout.reshape(*dout.shape[:-2], n, n, -1).swapaxes(-2, -3).reshape(dout.shape)
    return L.patches_backward(d, cache)


@second("windows", "windows_backward", "stride forgotten", r"(?i)raises|stride")
def _(dout, cache):
    shape, side, size, stride = cache
    return L.windows_backward(dout, (shape, side, size, 1))


@second("windows", "windows_backward", "x and y of the window exchanged", r"(?i)exchang|order|rows and columns|places")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1).swapaxes(-2, -3).reshape(dout.shape)
    return L.windows_backward(d, cache)


@second("dropout", "dropout_backward", "1 - mask", r"(?i)mask")
def _(dout, cache):
    mask, = cache
    return dout if mask is None else dout * (1 - mask)


@second("dropout", "dropout_backward", "a new mask is drawn", r"(?i)mask|twice|other gradients")
def _(dout, cache):
    mask, = cache
    return dout if mask is None else dout * (np.random.random(dout.shape) > 0.3) / 0.7
