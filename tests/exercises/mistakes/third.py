"""The third set of mistakes, written when the diagnoses were finished for the one before."""
import numpy as np

from npcaption import layers as L

from .common import Mistake, mean, rest, softmax_of, t

THIRD = []


def third(exercise, function, cause, says):
    def register(written):
        THIRD.append(Mistake(exercise, function, cause, says, written))
        return written
    return register


@third("linear", "linear_backward", "dw and db both negative", r"sign")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    return dx, -dw, -db


@third("linear", "linear_backward", "dx divided by the number of outputs", r"O = 11 times too small")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    return dx / dout.shape[-1], dw, db


@third("linear", "linear_backward", "tokens summed before the product, the batch kept apart",
       r"(?i)summed.*(before|first)|token|row")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    return dx, np.einsum("bi,bo->io", cache[0].sum(1), dout.sum(1)), db


@third("linear", "linear_backward", "the first token of each sequence only", r"(?i)first.*axis 1|first.*token")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    return dx, cache[0][:, 0].T @ dout[:, 0], db


@third("linear", "linear_backward", "w updated in place as if it were a training step", r"(?i)writes? to")
def _(dout, cache):
    dx, dw, db = L.linear_backward(dout, cache)
    w = cache[1]
    w -= 0.1 * dw
    return dx, dw, db


@third("linear", "projection_backward", "dout squared in dw", r"(?i)dout.*twice")
def _(dout, cache):
    x, w = cache
    return dout @ w.T, np.einsum("bti,bto->io", x, dout ** 2)


@third("gelu", "gelu_backward", "sign lost in the exponent", r"(?i)exponent|sign|grows")
def _(dout, cache):
    x, cdf = cache
    return dout * (cdf + x * np.exp(x ** 2 / 2) / np.sqrt(2 * np.pi))


@third("gelu", "gelu_backward", "1 - Phi in Phi's place", r"(?i)Phi")
def _(dout, cache):
    x, cdf = cache
    return dout * (1 - cdf + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


@third("gelu", "gelu_backward", "x squared beside phi", r"(?i)\bx\b")
def _(dout, cache):
    x, cdf = cache
    return dout * (cdf + x * x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


@third("gelu", "gelu_backward", "a factor 1/2 left from erf", r"2 times too small")
def _(dout, cache):
    return L.gelu_backward(dout, cache) / 2


@third("cross_entropy", "cross_entropy_backward", "sign turned and total forgotten", r"sign.*total")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return -dloss * (p - onehot) * shares[..., None]


@third("cross_entropy", "cross_entropy_backward", "weights and total both forgotten", r"(?i)weight")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * (shares != 0)[..., None]


@third("cross_entropy", "cross_entropy_backward", "softmax over the tokens' axis", r"(?i)axis|token|softmax")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    q = np.exp(cache[0])
    q = q / q.sum(-2, keepdims=True)
    return dloss * (q - onehot) * shares[..., None] / total


@third("cross_entropy", "cross_entropy_backward", "onehot with the target's id one too high",
       r"(?i)target|onehot|shift")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - np.roll(onehot, 1, -1)) * shares[..., None] / total


@third("cross_entropy", "cross_entropy_backward", "the loss's mean weight: weights divided by their sum",
       r"(?i)weight|total|times")
def _(dloss, cache):
    p, onehot, shares, total = softmax_of(cache)
    return dloss * (p - onehot) * shares[..., None] / total / 2


@third("binary_cross_entropy", "binary_cross_entropy_backward", "sigmoid plus target", r"(?i)target.*sign")
def _(dloss, cache):
    logits, t_, total = cache
    return dloss * (1 / (1 + np.exp(-logits)) + t_) / total


@third("binary_cross_entropy", "binary_cross_entropy_backward", "hard decisions: p > 1/2", r"(?i)sigmoid")
def _(dloss, cache):
    logits, t_, total = cache
    return dloss * ((logits > 0) - t_) / total


@third("embedding", "embedding_backward", "a table of counts: dout left out", r"(?i)dout.*left out")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids, 1.0)
    return dw


@third("embedding", "embedding_backward", "ids shifted by 1", r"(?i)row|place|id")
def _(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    np.add.at(dw, ids + 1, dout)
    return dw


@third("embedding", "position_backward", "an axis too many is summed: one vector for the table",
       r"(?i)token|same everywhere|axis")
def _(dout, cache):
    w, = cache
    return dout, np.zeros_like(w) + dout.sum((0, 1))


@third("embedding", "position_backward", "the mean over the batch and the first token only",
       r"(?i)first|times too small")
def _(dout, cache):
    w, = cache
    dw = np.zeros_like(w)
    dw[0] = dout[:, 0].sum(0)
    return dout, dw


@third("layernorm", "layernorm_backward", "the variance's way forgotten and rstd too",
       r"(?i)deviation.*missing|rstd.*left out")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return d - mean(d), *rest(dout, xhat)


@third("layernorm", "layernorm_backward", "xhat squared in the mean", r"(?i)xhat")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - xhat * mean(d * xhat * xhat)), *rest(dout, xhat)


@third("layernorm", "layernorm_backward", "w forgotten in the deviation's term",
       r"(?i)deviation.*\bw\b|\bw\b.*deviation")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - xhat * mean(dout * xhat)), *rest(dout, xhat)


@third("layernorm", "layernorm_backward", "w forgotten in the mean's term", r"(?i)mean.*\bw\b|\bw\b.*mean")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(dout) - xhat * mean(d * xhat)), *rest(dout, xhat)


@third("layernorm", "layernorm_backward", "the whole divided by C again", r"C = 7 times too small")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d - mean(d) - xhat * mean(d * xhat)) / d.shape[-1], *rest(dout, xhat)


@third("layernorm", "layernorm_backward", "signs of both statistics' terms turned", r"(?i)mean.*sign")
def _(dout, cache):
    xhat, rstd, w = cache
    d = dout * w
    return rstd * (d + mean(d) + xhat * mean(d * xhat)), *rest(dout, xhat)


@third("layernorm", "layernorm_backward", "db of the first token only", r"(?i)first")
def _(dout, cache):
    dx, dw, db = L.layernorm_backward(dout, cache)
    return dx, dw, dout[:, 0].sum(0)


@third("attention", "attention_backward", "softmax's second half forgotten and scale too", r"(?i)mean.*missing")
def _(dout, cache):
    q, k, v, att, scale = cache
    ds = att * (dout @ t(v))
    return ds @ k, t(ds) @ q, t(att) @ dout


@third("attention", "attention_backward", "sum over the whole matrix, not the row", r"(?i)row|axis|mean")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = att * (datt - (datt * att).sum((-1, -2), keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@third("attention", "attention_backward", "att missing in the first term only", r"(?i)\batt\b|softmax")
def _(dout, cache):
    q, k, v, att, scale = cache
    datt = dout @ t(v)
    ds = (datt - att * (datt * att).sum(-1, keepdims=True)) * scale
    return ds @ k, t(ds) @ q, t(att) @ dout


@third("attention", "attention_backward", "dv with a factor sqrt(D), as if it were scaled too", r"sqrt\(D\)")
def _(dout, cache):
    dq, dk, dv = L.attention_backward(dout, cache)
    return dq, dk, dv / cache[-1]


@third("attention", "attention_backward", "dk's sign", r"dk.*sign")
def _(dout, cache):
    dq, dk, dv = L.attention_backward(dout, cache)
    return dq, -dk, dv


@third("attention", "attention_backward", "scale squared on dq, none on dk", r"dq.*sqrt\(D\).*")
def _(dout, cache):
    dq, dk, dv = L.attention_backward(dout, cache)
    s = cache[-1]
    return dq * s, dk / s, dv


@third("attention", "attention_backward", "dv of the normalised weights' transpose over the heads",
       r"(?i)shape|axes|transpos|sum")
def _(dout, cache):
    q, k, v, att, scale = cache
    dq, dk, dv = L.attention_backward(dout, cache)
    return dq, dk, dv.sum(1)


@third("dropout", "dropout_backward", "scaled, but nothing dropped", r"(?i)mask|times too large|scale")
def _(dout, cache):
    mask, = cache
    return dout if mask is None else dout * mask.max()


@third("heads", "merge_heads_backward", "heads in the opposite order", r"(?i)order|heads|places")
def _(dout, cache):
    return L.merge_heads_backward(dout, cache)[..., ::-1, :, :]


@third("patches", "patches_backward", "upside down", r"(?i)order|places|rows")
def _(dout, cache):
    return L.patches_backward(dout, cache)[..., ::-1, :, :]


@third("windows", "windows_backward", "the window's places in reverse, as in a true convolution",
       r"(?i)order|revers|flip|window")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1)[..., ::-1, ::-1, :].reshape(dout.shape)
    return L.windows_backward(d, cache)
