"""Attention of one new token for each of R captions of B images, over a memory; see the textbook's steps.py.

x and out (R, C); text (R, L, 2C), keys (B, H, .) packed, kv (B, S, 2C). `room` holds all intermediate arrays in one
piece: for a single caption, each array argument costs a tenth of the product's time.
"""
import numpy as np

from .attention import attend, fused_attention_forward
from .compilation import compiled, kernel
from .layernorm import fused_layernorm_forward
from .matmul import multiply, pack_transposed, panels_size
from .simd import F1, F2, F3, I


@compiled
def piece(room, start, rows, columns):
    """A piece of room as a matrix -> (rows, columns)"""
    return room[start:start + rows * columns].reshape(rows, columns)


def self_attention_room(rows, channels, heads, tokens):
    """Size of room, in numbers: normed, seen, qkv, means, rstd, the probabilities and a head's packed keys"""
    return rows * (5 * channels + 2) + heads * tokens + panels_size(channels // heads, tokens)


@kernel
def fused_self_attention_step(
        x: F2, norm_w: F1, norm_b: F1, qkv_panels: F1, proj_panels: F1, proj_b: F1, heads: I,
        text: F3, place: I, room: F1, out: F2):
    (rows, channels), tokens = x.shape, place + 1
    each = rows * channels
    normed, seen = piece(room, 0, rows, channels), piece(room, each, rows, channels)
    qkv = piece(room, 2 * each, rows, 3 * channels)
    means, rstd, rest = room[5 * each:][:rows], room[5 * each + rows:][:rows], room[5 * each + 2 * rows:]
    probabilities, panels = rest[:heads * tokens].reshape(heads, 1, tokens), rest[heads * tokens:]
    fused_layernorm_forward(x, norm_w, norm_b, means, rstd, normed)
    multiply(normed, qkv_panels, room[:0], x[:0], qkv)
    for r in range(rows):
        text[r, place] = qkv[r, channels:]
        fused_attention_forward(qkv[r:r + 1], 0, text[r][:tokens], 0, channels, heads, False, probabilities,
                                seen[r:r + 1], panels)
    multiply(seen, proj_panels, proj_b, x, out)


@kernel
def pack_keys(kv: F2, heads: I, keys: F2):
    """Pack each head's keys, in the first columns of kv (S, 2C), into its row of keys (H, panels_size(D, S))."""
    size = kv.shape[1] // (2 * heads)
    for h in range(heads):
        pack_transposed(kv.reshape(-1), h * size, kv.shape[1], keys[h], size, kv.shape[0])


def cross_attention_room(rows, channels, images, sources):
    """Size of room, in numbers: normed, seen, q, means, rstd and the probabilities of an image's captions"""
    return rows * (3 * channels + 2) + rows // images * sources


@kernel
def fused_cross_attention_step(
        x: F2, norm_w: F1, norm_b: F1, q_panels: F1, proj_panels: F1, proj_b: F1, heads: I,
        keys: F3, kv: F3, room: F1, out: F2):
    (rows, channels), (images, sources, _) = x.shape, kv.shape
    each, size, count = rows * channels, channels // heads, rows // images
    normed, seen = piece(room, 0, rows, channels), piece(room, each, rows, channels)
    q = piece(room, 2 * each, rows, channels)
    means, rstd, rest = room[3 * each:][:rows], room[3 * each + rows:][:rows], room[3 * each + 2 * rows:]
    probabilities, scale = piece(rest, 0, count, sources), np.float32(1 / np.sqrt(size))
    fused_layernorm_forward(x, norm_w, norm_b, means, rstd, normed)
    multiply(normed, q_panels, room[:0], x[:0], q)
    for b in range(images):
        mine = slice(b * count, b * count + count)
        for h in range(heads):
            attend(q[mine], h * size, keys[b, h], kv[b], channels + h * size, 0, count, False, scale, probabilities,
                   seen[mine], h * size, size)
    multiply(seen, proj_panels, proj_b, x, out)
