"""Realistic mistakes in backward passes, each with its cause.

All were written before the diagnoses that must name them, and differ from those of the first prototype. The cause is a
sentence for people; `says` is a pattern that the diagnosis must contain to count as named.
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
        own = function if function == "decode_backward" else function.removesuffix("_backward")
        MISTAKES.append(Mistake(exercise or own, function, cause, says, written))
        return written
    return register


def softmax_of(cache):
    log_probs, targets, shares, total = cache
    return np.exp(log_probs), np.eye(log_probs.shape[-1])[targets], shares, total


def mean(x):
    return x.mean(-1, keepdims=True)


def rest(dout, xhat):
    return (dout * xhat).sum((0, 1)), dout.sum((0, 1))


def t(x):
    return x.swapaxes(-1, -2)


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
