"""Embeddings, lookup tables: one row for each token id, one row for each position."""
import numpy as np


def embedding_forward(ids, w):
    """out_t = w[ids_t].  ids (..., T) integers, w (V, C) -> (..., T, C)"""
    return w[ids], (ids, w)


def embedding_backward(dout, cache):
    """dw_v is the sum of dout over the positions with id v: a repeated id receives a gradient from each of them."""
    ids, w = cache
    dw = np.zeros_like(w)                                    # (V, C)
    np.add.at(dw, ids, dout)                                 # dw[ids] += dout would keep only one of a repeated id
    return dw


def position_forward(x, w):
    """out_t = x_t + w_t, a learned vector for each position.  x (..., T, C), w (L, C), L >= T -> (..., T, C)"""
    return x + w[:x.shape[-2]], (w,)


def position_backward(dout, cache):
    """dx = dout; w_t was added once for each sequence of the batch, so dw_t sums over them and is 0 beyond T."""
    w, = cache
    dw = np.zeros_like(w)                                    # (L, C)
    dw[:dout.shape[-2]] = dout.sum(tuple(range(dout.ndim - 2)))
    return dout, dw
