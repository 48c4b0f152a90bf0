"""Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1), every head at once."""
import numpy as np


def attention_forward(q, k, v, causal):
    """out = softmax(scores) v,  scores = q k^T / sqrt(D).  q (..., H, T, D), k and v (..., H, S, D) -> (..., H, T, D)

    causal: token t sees sources 0 to S - T + t; if S = T, itself and the earlier ones. ValueError if S < T.
    """
    scale = q.shape[-1] ** -0.5
    scores = q @ k.swapaxes(-1, -2)                          # (..., H, T, S)
    scores *= scale
    if causal:
        t, s = scores.shape[-2:]
        if s < t:
            raise ValueError(f"Causal attention of {t} tokens to {s} sources leaves token 0 no source to attend to. "
                             "Pass at least as many sources as tokens, or causal=False.")
        np.copyto(scores, -np.inf, where=~np.tri(t, s, s - t, dtype=bool))
    scores -= scores.max(-1, keepdims=True)                  # exp of at most 0 cannot overflow
    att = np.exp(scores, out=scores)                         # (..., H, T, S)
    att /= att.sum(-1, keepdims=True)                        # rows sum to 1, masked entries are 0
    return att @ v, (q, k, v, att, scale)


def attention_backward(dout, cache):
    """dv = att^T dout, dscores = att * (datt - sum(datt * att)), dq = dscores k / sqrt(D), dk = dscores^T q / sqrt(D)

    The softmax's Jacobian is d att_i / d score_j = att_i (1[i=j] - att_j): applied to datt it needs one sum per row,
    never the matrix. That sum is the mean of datt, weighted by att: if a source's datt is below the mean, gradient
    descent raises its score. A masked score needs no mask here: att is 0, so dscores is 0.
    """
    q, k, v, att, scale = cache
    dv = att.swapaxes(-1, -2) @ dout                         # (..., H, S, D)
    datt = dout @ v.swapaxes(-1, -2)                         # (..., H, T, S)
    mean = (datt * att).sum(-1, keepdims=True)               # (..., H, T, 1)
    dscores = att * (datt - mean)                            # (..., H, T, S)
    dq = dscores @ k * scale                                 # (..., H, T, D)
    dk = dscores.swapaxes(-1, -2) @ q * scale                # (..., H, S, D)
    return dq, dk, dv


def attention_map(cache):
    """Attention weights of each token over the source tokens; they sum to 1.  -> (..., H, T, S)"""
    _, _, _, att, _ = cache
    return att
