"""Decoding steps in ONNX: the decoder's sublayers for one new token, over memories in a graph.

As in npcaption.layers.steps, with two differences: a memory grows instead of being written to, so its length is the
position; and attention maps are kept. R captions of B images, K = R / B of each; an image's captions are adjacent.
"""
import numpy as np

from ..layers.attention import attention_forward
from ..layers.heads import merge_heads_forward, split_heads_forward
from ..layers.layernorm import layernorm_forward
from ..layers.linear import linear_forward, projection_forward
from .onnx_graph import op


def self_attention_step(x, p, heads, memory, place):
    """x (R, C) -> (R, C).  memory [kv (R, T, 2C)], replaced by [kv (R, T + 1, 2C)]"""
    normed, _ = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (R, C)
    qkv, _ = projection_forward(normed, p["qkv.weight"])     # (R, 3C)
    q, new = np.split(qkv, [x.shape[-1]], axis=-1)           # (R, C), (R, 2C)
    longer = np.concatenate([memory[0], new[:, None]], axis=1)
    memory[0] = longer.known_as(*new.shape[:1], "T + 1", *new.shape[1:])  # (R, T + 1, 2C)
    seen, _ = attend(q[:, None], memory[0], heads)           # (R, 1, C)
    branch, _ = linear_forward(seen[:, 0], p["proj.weight"], p["proj.bias"])  # (R, C)
    return x + branch


def cross_attention_step(x, p, heads, memory):
    """x (R, C) -> (R, C).  memory [kv (B, P, 2C)]; the maps (R, H, P) are appended"""
    normed, _ = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (R, C)
    q, _ = projection_forward(normed, p["q.weight"])         # (R, C)
    images = op("Shape", memory[0], end=1)                   # [B]
    apart = op("Concat", images, [-1, x.shape[-1]], axis=0)  # [B, K, C]
    q = op("Reshape", q, apart).known_as("B", "K", x.shape[-1])  # (B, K, C)
    seen, att = attend(q, memory[0], heads)                  # (B, K, C), (B, H, K, P)
    memory.append(op("Reshape", att.transpose(0, 2, 1, 3), [-1, *att.shape[1::2]]))  # (R, H, P)
    seen = op("Reshape", seen, [-1, x.shape[-1]]).known_as(*x.shape)  # (R, C)
    branch, _ = linear_forward(seen, p["proj.weight"], p["proj.bias"])  # (R, C)
    return x + branch


def attend(q, kv, heads):
    """q (..., T, C), kv (..., S, 2C) -> (..., T, C), and the weights (..., H, T, S)"""
    q, k, v = (split_heads_forward(part, heads)[0] for part in (q, *np.split(kv, 2, axis=-1)))  # (..., H, T or S, D)
    seen, (_, _, _, att, _) = attention_forward(q, k, v, causal=False)
    return merge_heads_forward(seen)[0], att
