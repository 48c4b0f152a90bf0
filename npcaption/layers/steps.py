"""Decoding: the decoder's sublayers for one new token of each caption, over a key-value memory of the earlier tokens.

R captions are decoded together: K for each of B images, those of one image in consecutive rows, so R = B K. The results
equal the sublayers' forward at that token; the earlier tokens are not computed again. Only `memory` is written to.
Decoding has no loss, so these functions have no backward.
"""
import numpy as np

from .attention import attention_forward
from .heads import merge_heads_forward, split_heads_forward
from .layernorm import layernorm_forward
from .linear import linear_forward, projection_forward


def token_embed_step(ids, p, place):
    """token_embed_forward at one position: all captions have the same length.  ids (R,) integers -> (R, C)"""
    tokens = p["weight"][ids]                                # (R, C or E)
    if "proj.weight" in p:
        tokens, _ = linear_forward(tokens, p["proj.weight"], p["proj.bias"])  # (R, C)
    return tokens + p["position"][place]


def self_attention_step(x, p, heads, memory, place):
    """Each new token attends to those before it and to itself.  x (R, C) -> (R, C)

    memory (R, L, 2C): keys and values of the earlier tokens; the new token's are written at `place`.
    """
    normed, _ = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (R, C)
    qkv, _ = projection_forward(normed, p["qkv.weight"])     # (R, 3C)
    q, memory[:, place] = np.split(qkv, [x.shape[-1]], axis=-1)  # (R, C), (R, 2C)
    seen = attend(q[:, None], memory[:, :place + 1], heads)  # (R, 1, C)
    branch, _ = linear_forward(seen[:, 0], p["proj.weight"], p["proj.bias"])  # (R, C)
    return x + branch


def cross_attention_memory(source, p, heads):
    """Keys and values of the images, computed once.  source (B, S, C) -> a tuple of arrays (B, ...)"""
    return projection_forward(source, p["kv.weight"])[:1]    # (B, S, 2C)


def cross_attention_step(x, p, heads, memory):
    """Each new token attends to its image, the tokens of an image's K captions in one product.  x (R, C) -> (R, C)"""
    kv, = memory                                             # (B, S, 2C)
    normed, _ = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (R, C)
    q, _ = projection_forward(normed, p["q.weight"])         # (R, C)
    seen = attend(q.reshape(len(kv), -1, q.shape[-1]), kv, heads)  # (B, K, C)
    branch, _ = linear_forward(seen.reshape(x.shape), p["proj.weight"], p["proj.bias"])  # (R, C)
    return x + branch


def attend(q, kv, heads):
    """q (..., T, C), kv (..., S, 2C) -> (..., T, C)"""
    q, k, v = (split_heads_forward(part, heads)[0] for part in (q, *np.split(kv, 2, axis=-1)))  # (..., H, T or S, D)
    return merge_heads_forward(attention_forward(q, k, v, causal=False)[0])[0]
