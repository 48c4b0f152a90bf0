"""Sublayer: every token of the text looks at the image."""
import numpy as np

from .attention import attention_backward, attention_forward
from .dropout import dropout_backward, dropout_forward
from .heads import merge_heads_backward, merge_heads_forward, split_heads_backward, split_heads_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward, projection_backward, projection_forward


def cross_attention_forward(x, source, p, heads, rate, key):
    """out = x + dropout(merge(attention(q, k, v)) Wproj + b),  q = split(layernorm(x) Wq),  k, v = split(source Wkv)

    x (..., T, C), source (..., S, C) the encoder's output as it is -> (..., T, C)
    """
    normed, norm = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (..., T, C)
    q, q_proj = projection_forward(normed, p["q.weight"])    # (..., T, C)
    kv, kv_proj = projection_forward(source, p["kv.weight"])  # (..., S, 2C)
    k, v = np.split(kv, 2, axis=-1)                          # (..., S, C) each
    q, split = split_heads_forward(q, heads)                 # (..., H, T, D)
    k, _ = split_heads_forward(k, heads)                     # (..., H, S, D)
    v, _ = split_heads_forward(v, heads)
    seen, attend = attention_forward(q, k, v, False)         # (..., H, T, D)
    merged, merge = merge_heads_forward(seen)                # (..., T, C)
    branch, proj = linear_forward(merged, p["proj.weight"], p["proj.bias"])  # (..., T, C)
    kept, drop = dropout_forward(branch, rate, key)
    return x + kept, (norm, q_proj, kv_proj, split, attend, merge, proj, drop)


def cross_attention_backward(dout, cache, g):
    """dx comes through the queries and the residual path, dsource through keys and values: so text teaches the eyes."""
    norm, q_proj, kv_proj, split, attend, merge, proj, drop = cache
    dbranch = dropout_backward(dout, drop)
    dmerged, dw_proj, db_proj = linear_backward(dbranch, proj)
    dseen = merge_heads_backward(dmerged, merge)
    dq, dk, dv = (split_heads_backward(d, split) for d in attention_backward(dseen, attend))  # (..., T or S, C)
    dsource, dw_kv = projection_backward(np.concatenate([dk, dv], axis=-1), kv_proj)
    dnormed, dw_q = projection_backward(dq, q_proj)
    dx, dw_norm, db_norm = layernorm_backward(dnormed, norm)
    g["proj.weight"] += dw_proj
    g["proj.bias"] += db_proj
    g["kv.weight"] += dw_kv
    g["q.weight"] += dw_q
    g["norm.weight"] += dw_norm
    g["norm.bias"] += db_norm
    return dout + dx, dsource


def cross_attention_map(cache):
    """Where the forward looked: each token's shares of the source tokens, which sum to 1.  -> (..., H, T, S)"""
    _, _, _, _, (_, _, _, att, _), _, _, _ = cache
    return att
