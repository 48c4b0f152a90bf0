"""Sublayer: self-attention, by which every token attends to the tokens of its own sequence."""
import numpy as np

from .attention import attention_backward, attention_forward
from .dropout import dropout_backward, dropout_forward
from .heads import merge_heads_backward, merge_heads_forward, split_heads_backward, split_heads_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward, projection_backward, projection_forward


def self_attention_forward(x, p, heads, causal, rate, key):
    """out = x + dropout(merge(attention(q, k, v)) Wproj + b),  q, k, v = split(layernorm(x) Wqkv)

    x (..., T, C) -> (..., T, C); causal: each token sees itself and those before it.
    """
    normed, norm = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (..., T, C)
    qkv, qkv_proj = projection_forward(normed, p["qkv.weight"])  # (..., T, 3C)
    q, k, v = np.split(qkv, 3, axis=-1)                      # (..., T, C) each
    q, split = split_heads_forward(q, heads)                 # (..., H, T, D)
    k, _ = split_heads_forward(k, heads)                     # (..., H, T, D)
    v, _ = split_heads_forward(v, heads)                     # (..., H, T, D)
    seen, attend = attention_forward(q, k, v, causal)        # (..., H, T, D)
    merged, merge = merge_heads_forward(seen)                # (..., T, C)
    branch, proj = linear_forward(merged, p["proj.weight"], p["proj.bias"])  # (..., T, C)
    kept, drop = dropout_forward(branch, rate, key)          # (..., T, C)
    return x + kept, (norm, qkv_proj, split, attend, merge, proj, drop)


def self_attention_backward(dout, cache, g):
    """dx = dout + dinner: x took two paths, around the branch and into it. dinner is the branch's steps in reverse."""
    norm, qkv_proj, split, attend, merge, proj, drop = cache
    dbranch = dropout_backward(dout, drop)                   # (..., T, C)
    dmerged, dw_proj, db_proj = linear_backward(dbranch, proj)  # (..., T, C), (C, C), (C,)
    dseen = merge_heads_backward(dmerged, merge)             # (..., H, T, D)
    dheads = attention_backward(dseen, attend)               # dq, dk, dv, each (..., H, T, D)
    dqkv = np.concatenate([split_heads_backward(d, split) for d in dheads], axis=-1)  # (..., T, 3C)
    dnormed, dw_qkv = projection_backward(dqkv, qkv_proj)    # (..., T, C), (C, 3C)
    dinner, dw_norm, db_norm = layernorm_backward(dnormed, norm)  # (..., T, C), (C,), (C,)
    g["proj.weight"] += dw_proj
    g["proj.bias"] += db_proj
    g["qkv.weight"] += dw_qkv
    g["norm.weight"] += dw_norm
    g["norm.bias"] += db_norm
    return dout + dinner                                     # the sum over both paths of x
