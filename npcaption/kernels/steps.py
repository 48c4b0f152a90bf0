"""Attention of one new token for each of R captions of B images, over a memory; see the textbook's steps.py.

x, normed, q, seen, out (R, C), qkv (R, 3C), rstd (R,); text (R, L, 2C), keys (B, H, .) packed, kv (B, S, 2C); att is room
for the probabilities of one caption, or of an image's, and panels for a head's packed keys.
"""
import numpy as np

from .attention import attend, attention_forward
from .layernorm import layernorm_forward
from .matmul import multiply, pack_transposed
from .simd import F1, F2, F3, I, kernel


@kernel(F2, F1, F1, F1, F1, F1, I, F3, I, F2, F1, F2, F2, F1, F1, F2, F2, F1)
def self_attention_step(x, norm_w, norm_b, qkv_panels, proj_panels, proj_b, heads, text, place,
                        xhat, rstd, normed, qkv, att, panels, seen, out, nothing):
    channels, tokens = x.shape[1], place + 1
    layernorm_forward(x, norm_w, norm_b, xhat, rstd, normed)
    multiply(normed, qkv_panels, nothing, x[:0], qkv)
    probabilities = att[:heads * tokens].reshape(heads, 1, tokens)
    for r in range(x.shape[0]):
        text[r, place] = qkv[r, channels:]
        attention_forward(qkv[r:r + 1], 0, text[r][:tokens], 0, channels, heads, False, probabilities, seen[r:r + 1], panels)
    multiply(seen, proj_panels, proj_b, x, out)


@kernel(F2, I, F2)
def pack_keys(kv, heads, keys):
    """The keys of each head, the first columns of kv (S, 2C), into its row of keys (H, panels_size(D, S))"""
    size = kv.shape[1] // (2 * heads)
    for h in range(heads):
        pack_transposed(kv.reshape(-1), h * size, kv.shape[1], keys[h], size, kv.shape[0])


@kernel(F2, F1, F1, F1, F1, F1, I, F3, F3, F2, F1, F2, F2, F2, F2, F2, F1)
def cross_attention_step(x, norm_w, norm_b, q_panels, proj_panels, proj_b, heads, keys, kv,
                         xhat, rstd, normed, q, att, seen, out, nothing):
    channels, images = x.shape[1], kv.shape[0]
    size, count = channels // heads, x.shape[0] // images
    scale = np.float32(1 / np.sqrt(size))
    layernorm_forward(x, norm_w, norm_b, xhat, rstd, normed)
    multiply(normed, q_panels, nothing, x[:0], q)
    for b in range(images):
        mine = slice(b * count, b * count + count)
        for h in range(heads):
            attend(q[mine], h * size, keys[b, h], kv[b], channels + h * size, 0, count, False, scale, att, seen[mine],
                   h * size, size)
    multiply(seen, proj_panels, proj_b, x, out)
