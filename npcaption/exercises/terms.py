"""Terms of the primitives' gradients: the right addends, and typical mistakes in them.

Each formula below takes a function `pick`: pick(right, change=wrong, ...) returns the wrong value if that change is
selected, else the right one. So one formula gives the right gradient and all typical mistakes, alone and combined;
WORDS has a sentence for every change. Gradients of the arguments are {argument: {term: array}}; the terms add up.
"""
import numpy as np

from .. import layers
from ..layers.layernorm import EPSILON


def mean(x, axis=-1):
    return x.mean(axis, keepdims=True)


def t(x):
    return x.swapaxes(-1, -2)


def rows_sum(x):
    return x.reshape(-1, x.shape[-1]).sum(0)


def projection(pick, x, w, dout):
    rows, drows = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    return {"x": {"dout w^T": dout @ w.T},
            "w": {"x^T dout": pick(rows.T @ drows, outer=np.outer(rows.sum(0), drows.sum(0)),
                                        **outers(x, dout))}}


def outers(x, dout):
    """dw with one axis of the rows summed before the product."""
    found = {}
    for axis, name in ((0, "batch_first"), (-2, "tokens_first")):
        if x.ndim > 2:
            found[name] = np.tensordot(x.sum(axis), dout.sum(axis), (tuple(range(x.ndim - 2)),) * 2)
    return found


def linear(pick, x, w, b, dout):
    return projection(pick, x, w, dout) | {"b": {"the sum of dout": rows_sum(dout)}}


def gelu(pick, x, dout):
    cdf, root = layers.gelu_forward(x)[1][1], np.sqrt(2 * np.pi)
    pdf = pick(np.exp(-x * x / 2), exponent=np.exp(-x * x), growing=np.exp(np.minimum(x * x / 2, 300)),
               of_root=np.exp(-x * x / 4)) / root
    logistic, swish = 1 / (1 + np.exp(-1.702 * x)), 1 / (1 + np.exp(-x))
    tanh = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))
    slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)
    return {"x": {
        "the term of Phi": dout * pick(
            cdf, tail=1 - cdf, times_x=x * cdf, again=x * cdf, relu=x > 0, multiplied=cdf * pdf,
            multiplied_x=cdf * x * pdf, logistic=logistic, swish=swish, tanh=0.5 * (1 + tanh)),
        "the term of the density phi": dout * pick(x, no_x=1, again=0, relu=0, multiplied=0, multiplied_x=0) * pick(
            pdf, logistic=1.702 * logistic * (1 - logistic), swish=swish * (1 - swish),
                tanh=0.5 * (1 - tanh ** 2) * slope)}}


def cross_entropy(pick, logits, targets, total, dout, weights=None):
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    v = np.arange(logits.shape[-1])
    columns = np.exp(np.log(p) - np.log(p).max())
    onehot = (targets[..., None] == v) * 1.0
    each = np.ones(targets.shape[:-1]) if weights is None else weights
    counts = pick(targets != 0, padding=np.ones(targets.shape))
    share = (counts * pick(each, no_weights=np.ones_like(each))[..., None])[..., None] * dout / total
    return {"logits": {
        "the softmax": share * pick(p, log=np.log(p), logits=logits, over_p=0 * p,
                                    elementwise=0 * p, over_tokens=columns / columns.sum(-2, keepdims=True)),
        "the onehot of the target": -share * pick(
            onehot, all_ones=1, over_p=onehot / p, elementwise=onehot * (1 - p), at_target=p * onehot,
            later=np.roll(onehot, 1, -2), earlier=np.roll(onehot, -1, -2),
            id_higher=np.roll(onehot, 1, -1), id_lower=np.roll(onehot, -1, -1))}}


def binary_cross_entropy(pick, logits, targets, total, dout):
    p = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    slope = pick(1, own_slope=p * (1 - p), to_p=1 / (p * (1 - p)), present=targets, absent=1 - targets) * dout / total
    p = pick(p, no_sigmoid=logits, hard=logits > 0, tanh=np.tanh(logits))
    return {"logits": {"the sigmoid": p * slope, "the target": -targets * slope}}


def embedding(pick, ids, w, dout):
    flat, d = ids.reshape(-1), dout.reshape(-1, w.shape[1])
    d = d * pick(1, times_w=w[flat], no_padding=(flat != 0)[:, None])
    right, last, first = (np.zeros_like(w) for _ in range(3))
    np.add.at(right, flat, d)
    last[flat] = d
    first[flat[::-1]] = d[::-1]
    often = np.maximum(np.bincount(flat, minlength=len(w)), 1)[:, None]
    return {"w": {"the sum over an id's places": pick(right, last_id=last, first_id=first, average=right / often)}}


def position(pick, x, w, dout):
    lengths, d = dout.shape[-2], dout.reshape(-1, *dout.shape[-2:]).sum(0)
    dw = np.zeros_like(w)
    start = pick(0, at_end=len(w) - lengths)
    dw[start:start + lengths] = pick(d, over_tokens=d.sum(0))
    return {"x": {"dout": dout}, "w": {"the sum over the batch": dw}}


def layernorm(pick, x, w, b, dout):
    centred = x - mean(x)
    n = x.shape[-1]
    var = mean(centred * centred) * pick(1, bessel=n / (n - 1))
    rstd = (var + pick(EPSILON, no_epsilon=0)) ** -0.5
    xhat = centred * rstd
    axis = pick(-1, over_batch=0, over_tokens=max(-2, -x.ndim), over_all=tuple(range(x.ndim)))
    average = pick(lambda a: mean(a, axis), summed=lambda a: a.sum(-1, keepdims=True))
    d = dout * w
    first = pick(d, no_w=dout, w_twice=d * w, over_w=dout / w)
    inner = pick(first, w_first_only=dout, w_outside=dout)
    outer = pick(1, w_outside=w)
    before = pick(rstd, no_rstd=1, rstd_twice=rstd ** 2, over_rstd=1 / rstd)
    inside = pick(xhat, no_rstd_third=centred, x_in=x, xhat_squared=xhat * xhat)
    outside = pick(xhat, x_out=x, no_xhat=1)
    third = outside * pick(average(pick(inner, no_w_third=dout) * inside), no_xhat_in=average(inner))
    second = average(pick(inner, no_w_second=dout))
    return {"x": {"x's own term": before * first, "the term of the row's mean": -before * outer * second,
                  "the term of the row's standard deviation": -before * outer * third},
            "w": {"the sum of dout xhat": rows_sum(
                pick(dout, w_in_dw=d) * pick(xhat, x_for_xhat=x, centred_for_xhat=centred, rstd_in_dw=xhat * rstd))},
            "b": {"the sum of dout": rows_sum(pick(dout, w_in_db=d))}}


def attention(pick, q, k, v, causal, dout):
    _, (_, _, _, att, scale) = layers.attention_forward(q, k, v, causal)
    datt = dout @ pick(t(v), k_for_v=t(k))
    weights = pick(att, plain_sum=1, plain_mean=1 / att.shape[-1], squared=att * att)
    axis = pick(-1, over_queries=-2)
    total = (datt * weights).sum(axis, keepdims=True)
    total = pick(total, over_matrix=(datt * att).sum((-1, -2), keepdims=True))
    front = pick(att, no_att=1)
    own = pick(front * datt, no_att_first=datt, no_softmax=datt, diagonal=att * (1 - att) * datt,
               no_datt=att * (1 - att))
    other = pick(front * total, no_att_second=total, no_softmax=0, diagonal=0, no_datt=0)
    own, other = own * scale, -scale * (other + 0 * att)       # (..., H, T, S) each
    keys = pick(k, v_for_k=v)
    return {"q": {"the term of datt itself": own @ keys, "the term of the row's weighted mean": other @ keys},
            "k": {"the term of datt itself": t(own) @ q, "the term of the row's weighted mean": t(other) @ q},
            "v": {"att^T dout": pick(t(att), softmax_in_dv=t(att * (1 - att))) @ pick(dout, out_for_dout=att @ v)}}


def dropout(pick, x, rate, key, dout):
    mask = layers.dropout_forward(np.ones_like(x), rate, key)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"x": {"dout * mask": dout * pick(
            mask, no_mask=1, unscaled=mask > 0, mask_twice=mask ** 2, over_mask=1 / mask, undropped=mask.max(),
            other_mask=1 - mask)}}


def split_heads(pick, x, heads, dout):
    moved = dout.swapaxes(-2, -3)
    return {"x": {"dout": pick(moved, no_swap=dout, interleaved=np.moveaxis(dout, -3, -1)).reshape(x.shape)}}


def merge_heads(pick, x, dout):
    *front, h, n, d = x.shape
    parted = dout.reshape(*front, n, h, d)
    return {"x": {"dout": pick(parted.swapaxes(-2, -3), no_swap=dout.reshape(x.shape),
                               interleaved=np.moveaxis(dout.reshape(*front, n, d, h), -1, -3))}}


def patches(pick, image, size, dout):
    *front, side, _, c = image.shape
    n = side // size
    tiles = dout.reshape(*front, n, n, c, size, size)
    last = dout.reshape(*front, n, n, size, size, c)
    tiles = np.moveaxis(tiles, -3, -1)
    tiles = pick(tiles, channels_last=last, pixels_turned=tiles.swapaxes(-3, -2))
    made = tiles.swapaxes(-4, -3).reshape(image.shape)
    return {"image": {"dout": pick(made, only_reshape=dout.reshape(image.shape), image_turned=made.swapaxes(-3, -2))}}


def windows(pick, image, size, stride, dout):
    (_, (shape, side, _, _)), margin = layers.windows_forward(image, size, stride), size // 2
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    d = pick(d, window_turned=d.swapaxes(-3, -2), window_reversed=d[..., ::-1, ::-1, :])
    added, last, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for y, x in np.ndindex(size, size):
        at = ..., slice(y, y + side, stride), slice(x, x + side, stride), slice(None)
        added[at] += d[..., y, x, :]
        last[at] = d[..., y, x, :]
        counts[at] += 1
    middle = np.zeros(shape)
    middle[..., margin:margin + side:stride, margin:margin + side:stride, :] = d[..., margin, margin, :]
    found = pick(added, last_window=last, middle=middle, averaged=added / np.maximum(counts, 1))
    start = pick(margin, corner=0, far_corner=2 * margin)
    return {"image": {"the sum over the windows": found[..., start:start + side, start:start + side, :]}}


FORMULAS = {f.__name__: f for f in (
    projection, linear, gelu, cross_entropy, binary_cross_entropy, embedding, position, layernorm, attention, dropout,
    split_heads, merge_heads, patches, windows)}


def right(value, **wrong):
    return value


def changed(*changes):
    """The `pick` that selects some changes; its attribute `used` holds those that occur in the formula."""
    def pick(value, **wrong):
        for change in changes:
            if change in wrong:
                pick.used.add(change)
                return wrong[change]
        return value
    pick.used = set()
    return pick
