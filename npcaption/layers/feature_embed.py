"""Sublayer: feature embedding, from the features of a frozen encoder to one vector per feature token."""
from .dropout import dropout_backward, dropout_forward
from .embedding import position_backward, position_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward


def feature_embed_forward(features, p, rate, key):
    """out = dropout(layernorm(features)) W + b + position.  features (..., P, I) -> (..., P, C)

    The layernorm and the position are optional: they are applied if p has their parameters.
    """
    x, norm = features.astype(p["proj.weight"].dtype), None  # (..., P, I)
    if "norm.weight" in p:
        x, norm = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (..., P, I)
    x, drop = dropout_forward(x, rate, key)                  # (..., P, I)
    out, proj = linear_forward(x, p["proj.weight"], p["proj.bias"])  # (..., P, C)
    place = None
    if "position" in p:
        out, place = position_forward(out, p["position"])    # (..., P, C)
    return out, (norm, drop, proj, place)


def feature_embed_backward(dout, cache, g):
    """The steps in reverse.  dout (..., P, C) -> dfeatures (..., P, I), unused in training: the encoder is frozen"""
    norm, drop, proj, place = cache
    if place is not None:
        dout, dposition = position_backward(dout, place)     # (..., P, C), (P, C)
        g["position"] += dposition
    dx, dw, db = linear_backward(dout, proj)                 # (..., P, I), (I, C), (C,)
    g["proj.weight"] += dw
    g["proj.bias"] += db
    dx = dropout_backward(dx, drop)                          # (..., P, I)
    if norm is not None:
        dx, dw_norm, db_norm = layernorm_backward(dx, norm)  # (..., P, I), (I,), (I,)
        g["norm.weight"] += dw_norm
        g["norm.bias"] += db_norm
    return dx
