"""CLIP's vision transformer (Radford et al. 2021, arXiv:2103.00020), forward only, from the textbook's primitives.

Differences from npcaption's own encoder: a class token before the patches, a layernorm after the positions, biases on
queries, keys and values, and, in OpenAI's models, QuickGELU.
"""
from typing import NamedTuple

import numpy as np

from ..layers import (
    attention_forward,
    gelu_forward,
    layernorm_forward,
    linear_forward,
    merge_heads_forward,
    patches_forward,
    projection_forward,
    split_heads_forward,
)


class Weights(NamedTuple):
    """All float32; matrices are (in, out)."""
    embedding: dict     # patch.weight (3*size*size, C), class_token (C,), position (P, C), norm.weight, norm.bias (C,)
    blocks: list        # one dict per block: attention.{norm,qkv,proj}.*, mlp.{norm,up,down}.*


def quick_gelu(x):
    """out = x sigmoid(1.702 x), OpenAI's approximation of the GELU.  x (...)

    sigmoid(z) = (1 + tanh(z / 2)) / 2; unlike exp, tanh cannot overflow.
    """
    gate = np.tanh(x * np.float32(0.851))                    # (...)
    gate += 1
    gate *= 0.5
    gate *= x
    return gate


def gelu(x):
    out, _ = gelu_forward(x)
    return out


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu}


def tokens_of(pixels, weights, heads, activation):
    """Tokens after the last block.  pixels (B, A, A, 3), preprocessed -> (B, P, C): class token, then patches by rows

    activation: a function of ACTIVATIONS.
    """
    x = embed(pixels, weights.embedding)                     # (B, P, C)
    for p in weights.blocks:
        x += attention_branch(x, p, heads)
        x += mlp_branch(x, p, activation)
    return x


def embed(pixels, p):
    """out = layernorm(concat(class token, patches(pixels) W) + position).  (B, A, A, 3) -> (B, P, C)"""
    w, position = p["patch.weight"], p["position"]           # (3*size*size, C), (P, C)
    patches, _ = patches_forward(pixels, round((len(w) / 3) ** 0.5))  # (B, P - 1, 3*size*size)
    projected, _ = projection_forward(patches, w)            # (B, P - 1, C)
    x = np.empty((len(pixels), *position.shape), np.float32)  # (B, P, C)
    x[:, 0] = p["class_token"]
    x[:, 1:] = projected
    x += position
    return layernorm_forward(x, p["norm.weight"], p["norm.bias"])[0]


def attention_branch(x, p, heads):
    """merge(attention(q, k, v)) Wproj + b,  q, k, v = split(layernorm(x) Wqkv + b).  (B, P, C) -> (B, P, C)"""
    normed, _ = layernorm_forward(x, p["attention.norm.weight"], p["attention.norm.bias"])  # (B, P, C)
    qkv, _ = linear_forward(normed, p["attention.qkv.weight"], p["attention.qkv.bias"])  # (B, P, 3C)
    q, k, v = (split_heads_forward(part, heads)[0] for part in np.split(qkv, 3, axis=-1))  # (B, H, P, D) each
    seen, _ = attention_forward(q, k, v, causal=False)       # (B, H, P, D)
    merged, _ = merge_heads_forward(seen)                    # (B, P, C)
    return linear_forward(merged, p["attention.proj.weight"], p["attention.proj.bias"])[0]


def mlp_branch(x, p, activation):
    """activation(layernorm(x) Wup + b) Wdown + b.  (B, P, C) -> (B, P, C)"""
    normed, _ = layernorm_forward(x, p["mlp.norm.weight"], p["mlp.norm.bias"])  # (B, P, C)
    wide, _ = linear_forward(normed, p["mlp.up.weight"], p["mlp.up.bias"])  # (B, P, F)
    return linear_forward(activation(wide), p["mlp.down.weight"], p["mlp.down.bias"])[0]
