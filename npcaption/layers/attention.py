"""Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1), every head at once."""
import numpy as np


def attention_forward(q, k, v, causal):
    """out = softmax(q k^T / sqrt(D)) v.  q (..., H, T, D), k and v (..., H, S, D) -> (..., H, T, D)

    causal: token t sees the sources up to its own place, counted from the end, so that the last token sees them all.
    """
    scale = q.shape[-1] ** -0.5
    att = q @ k.swapaxes(-1, -2)                             # (..., H, T, S), still the scores
    att *= scale
    if causal:
        t, s = att.shape[-2:]
        np.copyto(att, -np.inf, where=~np.tri(t, s, s - t, dtype=bool))
    att -= att.max(-1, keepdims=True)                        # exp of at most 0 cannot overflow
    np.exp(att, out=att)
    att /= att.sum(-1, keepdims=True)                        # rows sum to 1, a masked place is 0
    return att @ v, (q, k, v, att, scale)


def attention_backward(dout, cache):
    """dscores = att * (datt - sum(datt * att)) / sqrt(D),  dq = dscores k,  dk = dscores^T q,  dv = att^T dout

    The softmax's Jacobian is d att_i / d score_j = att_i (1[i=j] - att_j): applied to datt it needs one sum a row,
    never the matrix. A masked score needs no mask here: its att is 0, so its dscores is 0.
    """
    q, k, v, att, scale = cache
    dv = att.swapaxes(-1, -2) @ dout                         # (..., H, S, D)
    datt = dout @ v.swapaxes(-1, -2)                         # (..., H, T, S)
    pull = np.einsum("...ts,...ts->...t", datt, att)         # (..., H, T), the sum over the sources
    dscores = datt - pull[..., None]                         # (..., H, T, S)
    dscores *= att
    dscores *= scale
    dq = dscores @ k                                         # (..., H, T, D)
    dk = dscores.swapaxes(-1, -2) @ q                        # (..., H, S, D)
    return dq, dk, dv
