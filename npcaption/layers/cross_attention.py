"""Sublayer: cross-attention, by which every token of the text attends to the image."""
import numpy as np

from .attention import attention_backward, attention_forward, attention_map
from .dropout import dropout_backward, dropout_forward
from .heads import merge_heads_backward, merge_heads_forward, split_heads_backward, split_heads_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward, projection_backward, projection_forward


def cross_attention_forward(x, source, p, heads, rate, key):
    """out = x + dropout(merge(attention(q, k, v)) Wproj + b),  q = split(layernorm(x) Wq),  k, v = split(source Wkv)

    x (..., T, C), source (..., S, C) the encoder's output, without a layernorm -> (..., T, C)
    """
    normed, norm = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (..., T, C)
    q, q_proj = projection_forward(normed, p["q.weight"])    # (..., T, C)
    kv, kv_proj = projection_forward(source, p["kv.weight"])  # (..., S, 2C)
    k, v = np.split(kv, 2, axis=-1)                          # (..., S, C) each
    q, split = split_heads_forward(q, heads)                 # (..., H, T, D)
    k, _ = split_heads_forward(k, heads)                     # (..., H, S, D)
    v, _ = split_heads_forward(v, heads)                     # (..., H, S, D)
    seen, attend = attention_forward(q, k, v, causal=False)  # (..., H, T, D)
    merged, merge = merge_heads_forward(seen)                # (..., T, C)
    branch, proj = linear_forward(merged, p["proj.weight"], p["proj.bias"])  # (..., T, C)
    kept, drop = dropout_forward(branch, rate, key)          # (..., T, C)
    return x + kept, (norm, q_proj, kv_proj, split, attend, merge, proj, drop)


def cross_attention_backward(dout, cache, g):
    """dx = dout + dinner: x took two paths, around the branch and into the queries. dsource = [dk dv] Wkv^T

    dk and dv are concatenated as k and v were, so one product with Wkv^T sums both contributions. Through dsource the
    loss of the text reaches the encoder.
    """
    norm, q_proj, kv_proj, split, attend, merge, proj, drop = cache
    dbranch = dropout_backward(dout, drop)                   # (..., T, C)
    dmerged, dw_proj, db_proj = linear_backward(dbranch, proj)  # (..., T, C), (C, C), (C,)
    dseen = merge_heads_backward(dmerged, merge)             # (..., H, T, D)
    dheads = attention_backward(dseen, attend)               # (..., H, T, D), (..., H, S, D), (..., H, S, D)
    dq, dk, dv = (split_heads_backward(d, split) for d in dheads)  # (..., T, C), (..., S, C), (..., S, C)
    dkv = np.concatenate([dk, dv], axis=-1)                  # (..., S, 2C)
    dsource, dw_kv = projection_backward(dkv, kv_proj)       # (..., S, C), (C, 2C)
    dnormed, dw_q = projection_backward(dq, q_proj)          # (..., T, C), (C, C)
    dinner, dw_norm, db_norm = layernorm_backward(dnormed, norm)  # (..., T, C), (C,), (C,)
    g["proj.weight"] += dw_proj
    g["proj.bias"] += db_proj
    g["kv.weight"] += dw_kv
    g["q.weight"] += dw_q
    g["norm.weight"] += dw_norm
    g["norm.bias"] += db_norm
    return dout + dinner, dsource                            # the sum over both paths of x


def cross_attention_map(cache):
    """Attention weights of each token over the source tokens; they sum to 1.  -> (..., H, T, S)"""
    _, _, _, _, attend, *_ = cache
    return attention_map(attend)
