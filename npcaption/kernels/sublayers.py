"""The numba engine's sublayers: the textbook's names, signatures and mathematics, on one image at a time.

x is (T, C), float32, without a batch axis. p and g are as in the textbook, but p comes from `prepare`: its weight
matrices are packed. Activations are in the thread's arena; the caller resets it before each image. A cache serves one
backward, which may write over it, and over dout: a residual sublayer's dx is dout, added to in place.
"""
from typing import NamedTuple

import numpy as np

from ..support.lines import whole_lines
from .arena import Room, arena
from .attention import BLOCK
from .binary_cross_entropy import fused_binary_cross_entropy
from .cross_attention import fused_cross_attention_backward, fused_cross_attention_forward
from .cross_entropy import fused_cross_entropy
from .dropout import add_kept, fold_key
from .embedding import add_at, add_rows, cut, embed, paste, scale_bytes, scale_floats
from .layernorm import fused_layernorm_backward, fused_layernorm_forward
from .matmul import accumulate, multiply, pack_weight, panels_size
from .mlp import fused_mlp_backward, fused_mlp_forward
from .self_attention import fused_self_attention_backward, fused_self_attention_forward
from .stem import fused_stem_block_backward, fused_stem_block_forward
from .steps import (
    cross_attention_room,
    fused_cross_attention_step,
    fused_self_attention_step,
    pack_keys,
    self_attention_room,
)

NO_VECTOR, NO_MATRIX, NO_IMAGE = (np.empty((0,) * axes, np.float32) for axes in (1, 2, 3))


class Matrix(NamedTuple):
    """A weight matrix (inputs, outputs), packed."""
    w: np.ndarray               # row-major, or (tied output weights) the transpose of a row-major matrix
    panels: np.ndarray          # panels of w, for x w
    transposed: np.ndarray      # panels of w^T, for dy w^T

    def pack(self):
        """Write both panels, again after each change of the parameters."""
        if self.w.flags.c_contiguous:
            pack_weight(self.w, self.panels, self.transposed)
        else:
            pack_weight(self.w.T, self.transposed, self.panels)


def panels_room(parameters):
    """Size of the panels of all weight matrices, in numbers."""
    return sum(whole_lines(panels_size(*shape)) for views in parameters.sublayer.values()
               for w in views.values() if w.ndim == 2 for shape in (w.shape, w.shape[::-1]))


def prepare(parameters, room=None, pack=True):
    """Parameters for the sublayers.  float32 Parameters -> {sublayer: {name: array or Matrix}}; see `matrices`, too

    room: memory for all panels, panels_room(parameters) numbers in one large piece, which the system may map in large
    pages. pack: False if another process packs the matrices in this room.
    """
    room = room or Room(panels_room(parameters))
    return {layer: prepare_sublayer(views, room, pack) for layer, views in parameters.sublayer.items()}


def prepare_sublayer(views, room, pack=True):
    p = dict(views)
    for name, w in views.items():
        if w.ndim == 2 and name.endswith(".weight"):
            p[name] = Matrix(w, *(room.take(panels_size(*shape)) for shape in (w.shape, w.shape[::-1])))
            if pack:
                p[name].pack()
    return p


def matrices(p):
    """All Matrix objects in p, to be packed again after each change of the parameters."""
    return [value for views in p.values() for value in views.values() if isinstance(value, Matrix)]


# ---------------------------------------------------------------------------------- shared parts of the sublayers

def linear(x, matrix, bias=NO_VECTOR, residual=NO_MATRIX):
    out = arena().take(len(x), matrix.w.shape[1])
    multiply(x, matrix.panels, bias, residual, out)
    return out


def linear_backward(dout, x, matrix, dw, db=NO_VECTOR):
    if dw.flags.c_contiguous:
        accumulate(x, dout, dw, db)
    else:                                                    # tied weights: dw^T = dout^T x
        accumulate(dout, x, dw.T, NO_VECTOR)
        db += dout.sum(0)
    dx = arena().take(len(x), matrix.w.shape[0])
    multiply(dout, matrix.transposed, NO_VECTOR, NO_MATRIX, dx)
    return dx


def dropped(x, base, rate, key):
    """base + x * mask, base (T, C) or empty"""
    out = arena().take(*x.shape)
    add_kept(x.reshape(-1), base.reshape(-1), fold_key(key, 0), np.uint32(rate * 2 ** 32), np.float32(1 / (1 - rate)),
             out.reshape(-1))
    return out


# ------------------------------------------------------------------------------------------------- the sublayers
# A residual sublayer's kernel adds x in its last product, unless dropout comes between. Inputs may be read-only, like
# the image store, or have another layout or integer type: np.require copies them then.

def patch_embed_forward(image, p, patch_size, stem):
    take = arena().take
    x, blocks = take(*image.shape), []
    if image.dtype.kind != "f":
        scale_bytes(np.require(image, np.uint8, "CW"), x)
    else:
        scale_floats(np.require(image, np.float32, "CW"), x)
    for i, (_, _, stride) in enumerate(stem):
        x, block = stem_block_forward(x, f"conv.{i}", p, stride)
        blocks.append(block)
    patches = take(len(p["position"]), p["proj.weight"].w.shape[0])
    cut(x, patch_size, patches)
    out = linear(patches, p["proj.weight"], p["proj.bias"], p["position"])
    return out, (image.dtype, x.shape, blocks, patches, p["proj.weight"], patch_size)


def patch_embed_backward(dout, cache, g):
    dtype, shape, blocks, patches, matrix, patch_size = cache
    add_rows(dout, g["position"])
    if dtype.kind != "f" and not blocks:                     # integers have no gradient
        accumulate(patches, dout, g["proj.weight"], g["proj.bias"])
        return None
    dx = arena().take(*shape)
    paste(linear_backward(dout, patches, matrix, g["proj.weight"], g["proj.bias"]), patch_size, dx)
    for number, block in reversed(list(enumerate(blocks))):
        dx = stem_block_backward(dx, block, g, number > 0 or dtype.kind == "f")
    return dx / np.float32(127.5) if dtype.kind == "f" else None


def stem_block_forward(x, conv, p, stride):
    """One convolution of the stem with its norm, GELU and residual path.  x (A, A, C) -> (N, N, O)"""
    take, matrix, norm_weight = arena().take, p[f"{conv}.weight"], p[f"{conv}.norm.weight"]
    inputs, channels = matrix.w.shape
    n = -(-len(x) // stride)
    saved = (take(n * n, inputs), take(n * n, channels), take(n * n), take(n * n), take(n * n, channels))
    out = take(n * n, channels)
    fused_stem_block_forward(x, matrix.panels, p[f"{conv}.bias"], norm_weight, p[f"{conv}.norm.bias"], stride, *saved,
                             out)
    return out.reshape(n, n, channels), (conv, x.shape, matrix, norm_weight, stride, saved)


def stem_block_backward(dout, cache, g, wanted):
    """wanted: whether dx is needed"""
    conv, shape, matrix, norm_weight, stride, saved = cache
    dx = arena().take(*shape) if wanted else NO_IMAGE
    scratch = arena().scratch(saved[1].shape, saved[0].shape)
    fused_stem_block_backward(dout.reshape(saved[1].shape), matrix.transposed, norm_weight, stride, *saved, *scratch,
                              dx, g[f"{conv}.weight"], g[f"{conv}.bias"], g[f"{conv}.norm.weight"],
                              g[f"{conv}.norm.bias"], NO_VECTOR)
    return dx


def feature_embed_forward(features, p, rate, key):
    take, norm = arena().take, None
    x = take(*features.shape)
    x[...] = features
    if "norm.weight" in p:
        norm = x, take(len(x)), take(len(x))
        x = take(*x.shape)
        fused_layernorm_forward(norm[0], p["norm.weight"], p["norm.bias"], *norm[1:], x)
    if rate:
        x = dropped(x, NO_VECTOR, rate, key)
    out = linear(x, p["proj.weight"], p["proj.bias"], p.get("position", NO_MATRIX))
    return out, (features.dtype, norm, p.get("norm.weight"), x, p["proj.weight"], rate, key)


def feature_embed_backward(dout, cache, g):
    dtype, norm, norm_weight, x, matrix, rate, key = cache
    if "position" in g:
        add_rows(dout, g["position"])
    if dtype.itemsize == 2 and norm is None:               # stored features: no dx needed
        accumulate(x, dout, g["proj.weight"], g["proj.bias"])
        return None
    dx = linear_backward(dout, x, matrix, g["proj.weight"], g["proj.bias"])
    if rate:
        dx = dropped(dx, NO_VECTOR, rate, key)
    if norm is not None:
        dnormed, dx = dx, arena().take(*dx.shape)
        dx[:] = 0                                            # this norm has no residual path
        fused_layernorm_backward(dnormed, *norm, norm_weight, g["norm.weight"], g["norm.bias"], dx)
    return None if dtype.itemsize == 2 else dx.copy()        # a copy: the arena is used again


def token_embed_forward(ids, p):
    ids = np.require(ids, np.int64, "CW")
    if "proj.weight" not in p:
        out = arena().take(len(ids), p["weight"].shape[1])
        embed(ids, p["weight"], p["position"], out)
        return out, (ids, None, None)
    tokens, matrix = arena().take(len(ids), p["weight"].shape[1]), p["proj.weight"]
    tokens[...] = p["weight"][ids]
    return linear(tokens, matrix, p["proj.bias"], p["position"][:len(ids)]), (ids, tokens, matrix)


def token_embed_backward(dout, cache, g):
    ids, tokens, matrix = cache
    add_rows(dout, g["position"])
    if tokens is not None:
        dout = linear_backward(dout, tokens, matrix, g["proj.weight"], g["proj.bias"])
    add_at(dout, ids, g["weight"])


def self_attention_forward(x, p, heads, causal, rate, key):
    take, (tokens, channels) = arena().take, x.shape
    saved = (take(tokens), take(tokens), take(tokens, 3 * channels), take(heads, tokens, tokens),
             take(panels_size(channels // heads, tokens)), take(tokens, channels))
    (normed,), out = arena().scratch(x.shape), take(tokens, channels)
    fused_self_attention_forward(x, p["norm.weight"], p["norm.bias"], p["qkv.weight"].panels, p["proj.weight"].panels,
                                 p["proj.bias"], NO_MATRIX if rate else x, heads, causal, *saved, normed, out,
                                 NO_VECTOR)
    return dropped(out, x, rate, key) if rate else out, (x, p, heads, saved, rate, key)


def self_attention_backward(dout, cache, g):
    x, p, heads, saved, rate, key = cache
    tokens, channels = dout.shape
    dbranch = dropped(dout, NO_VECTOR, rate, key) if rate else dout
    scratch = arena().scratch(x.shape, (tokens, 3 * channels), (BLOCK, tokens), x.shape)
    fused_self_attention_backward(dbranch, dout, x, p["norm.weight"], p["norm.bias"], p["qkv.weight"].transposed,
                                  p["proj.weight"].transposed, heads, *saved, *scratch, g["qkv.weight"],
                                  g["proj.weight"], g["proj.bias"], g["norm.weight"], g["norm.bias"], NO_VECTOR)
    return dout


def cross_attention_forward(x, source, p, heads, rate, key):
    take, (tokens, channels), sources = arena().take, x.shape, len(source)
    saved = (take(tokens), take(tokens), take(tokens, channels), take(sources, 2 * channels),
             take(heads, tokens, sources), take(panels_size(channels // heads, sources)), take(tokens, channels))
    (normed,), out = arena().scratch(x.shape), take(tokens, channels)
    fused_cross_attention_forward(x, source, p["norm.weight"], p["norm.bias"], p["q.weight"].panels,
                                  p["kv.weight"].panels, p["proj.weight"].panels, p["proj.bias"],
                                  NO_MATRIX if rate else x, heads, *saved, normed, out, NO_VECTOR)
    return dropped(out, x, rate, key) if rate else out, (x, source, p, heads, saved, rate, key)


def cross_attention_backward(dout, cache, g):
    x, source, p, heads, saved, rate, key = cache
    sources, channels = source.shape
    dbranch = dropped(dout, NO_VECTOR, rate, key) if rate else dout
    scratch = arena().scratch(x.shape, x.shape, (sources, 2 * channels), (BLOCK, sources), x.shape)
    dsource = arena().take(sources, channels)
    fused_cross_attention_backward(dbranch, dout, x, source, p["norm.weight"], p["norm.bias"], p["q.weight"].transposed,
                                   p["kv.weight"].transposed, p["proj.weight"].transposed, heads, *saved, *scratch,
                                   dsource, g["q.weight"], g["kv.weight"], g["proj.weight"], g["proj.bias"],
                                   g["norm.weight"], g["norm.bias"], NO_VECTOR)
    return dout, dsource


def mlp_forward(x, p, rate, key):
    take, (tokens, channels), hidden = arena().take, x.shape, p["up.bias"].size
    saved = take(tokens), take(tokens), take(tokens, hidden), take(tokens, hidden)
    (normed,), out = arena().scratch(x.shape), take(tokens, channels)
    fused_mlp_forward(x, p["norm.weight"], p["norm.bias"], p["up.weight"].panels, p["up.bias"], p["down.weight"].panels,
                      p["down.bias"], NO_MATRIX if rate else x, *saved, normed, out)
    return dropped(out, x, rate, key) if rate else out, (x, p, saved, rate, key)


def mlp_backward(dout, cache, g):
    x, p, saved, rate, key = cache
    dbranch = dropped(dout, NO_VECTOR, rate, key) if rate else dout
    scratch = arena().scratch((len(x), p["up.bias"].size), x.shape)
    fused_mlp_backward(dbranch, dout, x, p["norm.weight"], p["norm.bias"], p["up.weight"].transposed,
                       p["down.weight"].transposed, *saved, *scratch, g["up.weight"], g["up.bias"], g["down.weight"],
                       g["down.bias"], g["norm.weight"], g["norm.bias"], NO_VECTOR)
    return dout


def output_forward(x, p):
    take = arena().take
    saved = take(len(x)), take(len(x)), take(*x.shape)
    fused_layernorm_forward(x, p["norm.weight"], p["norm.bias"], *saved)
    return linear(saved[2], p["linear.weight"], p["linear.bias"]), (x, saved, p["norm.weight"], p["linear.weight"])


def output_backward(dlogits, cache, g):
    x, (means, rstd, normed), norm_weight, matrix = cache
    dnormed = linear_backward(dlogits, normed, matrix, g["linear.weight"], g["linear.bias"])
    dx = arena().take(*dnormed.shape)
    dx[:] = 0                                                # the last norm has no residual path
    fused_layernorm_backward(dnormed, x, means, rstd, norm_weight, g["norm.weight"], g["norm.bias"], dx)
    return dx


def output_loss_forward(x, p, targets, total, weights=None):
    logits, cache = output_forward(x, p)
    row_loss, share = arena().take(len(x)), np.float32(1 if weights is None else weights) / np.float32(total)
    fused_cross_entropy(logits, np.require(targets, np.int64, "CW"), share, row_loss)
    return row_loss.sum(dtype=np.float64), (logits, cache)   # logits now holds its own gradient


def output_loss_backward(dloss, cache, g):
    dlogits, output = cache
    if dloss != 1:
        dlogits *= np.float32(dloss)
    return output_backward(dlogits, output, g)


def bag_loss_forward(source, p, words, total):
    logits, cache = output_forward(source.mean(0, keepdims=True), p)  # (1, W)
    losses = words.astype(np.float32)                        # first the targets; the kernel writes the losses
    fused_binary_cross_entropy(logits, losses, np.float32(1 / total))
    return losses.sum(dtype=np.float64), (len(source), logits, cache)  # logits now holds its own gradient


def bag_loss_backward(dloss, cache, g):
    patches, dlogits, output = cache
    if dloss != 1:
        dlogits *= np.float32(dloss)
    dmean = output_backward(dlogits, output, g)              # (1, C)
    return np.repeat(dmean / np.float32(patches), patches, axis=0)


# ----------------------------------------------------------------------------- decoding: one new token per caption

def token_embed_step(ids, p, place):
    tokens = p["weight"][ids]
    if "proj.weight" in p:
        tokens = linear(tokens, p["proj.weight"], p["proj.bias"])
    return tokens + p["position"][place]


def self_attention_step(x, p, heads, memory, place):
    out = arena().take(*x.shape)
    room, = arena().scratch((self_attention_room(*x.shape, heads, place + 1),))
    fused_self_attention_step(x, p["norm.weight"], p["norm.bias"], p["qkv.weight"].panels, p["proj.weight"].panels,
                              p["proj.bias"], heads, memory, place, room, out)
    return out


def cross_attention_memory(source, p, heads):
    """Memory of one image.  source (S, C) -> its keys (H, .) packed, and kv (S, 2C)"""
    sources, channels = source.shape
    kv = np.empty((sources, 2 * channels), np.float32)
    keys = np.empty((heads, panels_size(channels // heads, sources)), np.float32)
    multiply(source, p["kv.weight"].panels, NO_VECTOR, NO_MATRIX, kv)
    pack_keys(kv, heads, keys)
    return keys, kv


def cross_attention_step(x, p, heads, memory):
    keys, kv = memory
    out = arena().take(*x.shape)
    room, = arena().scratch((cross_attention_room(*x.shape, *kv.shape[:2]),))
    fused_cross_attention_step(x, p["norm.weight"], p["norm.bias"], p["q.weight"].panels, p["proj.weight"].panels,
                               p["proj.bias"], heads, keys, kv, room, out)
    return out
