"""One image's self-attention sublayer as one call: Python's lock changes hands once, not for every product.

x, normed, seen, out and their gradients (T, C), qkv (T, 3C), att (heads, T, T), rstd (T,); keys is room for a head's packed
keys, datt for a block's (BLOCK, T). xhat, rstd, normed, qkv, att, seen are what the backward needs.
"""
from .attention import attention_backward, attention_forward
from .compilation import kernel
from .layernorm import layernorm_backward, layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2, F3, I


@kernel(F2, F1, F1, F1, F1, F1, F2, I, I, F2, F1, F2, F2, F3, F1, F2, F2, F1)
def self_attention_forward(x, norm_w, norm_b, qkv_panels, proj_panels, proj_b, residual, heads, causal,
                           xhat, rstd, normed, qkv, att, keys, seen, out, nothing):
    """out = residual + the branch; residual is x, or has no rows if dropout comes between. nothing: an empty vector."""
    channels = x.shape[1]
    layernorm_forward(x, norm_w, norm_b, xhat, rstd, normed)
    multiply(normed, qkv_panels, nothing, residual[:0], qkv)
    attention_forward(qkv, 0, qkv, channels, 2 * channels, heads, causal, att, seen, keys)
    multiply(seen, proj_panels, proj_b, residual, out)


@kernel(F2, F2, F1, F1, F1, I, F2, F1, F2, F2, F3, F1, F2, F2, F2, F2, F2, F2, F2, F1, F1, F1, F1)
def self_attention_backward(dbranch, dx, norm_w, qkv_transposed, proj_transposed, heads,
                            xhat, rstd, normed, qkv, att, keys, seen, dseen, dqkv, datt, dnormed,
                            dqkv_w, dproj_w, dproj_b, dnorm_w, dnorm_b, nothing):
    """dbranch is dout, through dropout if there is any; dx holds dout and becomes dx."""
    channels, no_residual = dx.shape[1], dx[:0]
    accumulate(seen, dbranch, dproj_w, dproj_b)
    multiply(dbranch, proj_transposed, nothing, no_residual, dseen)
    attention_backward(dseen, qkv, 0, qkv, channels, 2 * channels, heads, att, dqkv, dqkv, keys, datt)
    accumulate(normed, dqkv, dqkv_w, nothing)
    multiply(dqkv, qkv_transposed, nothing, no_residual, dnormed)
    layernorm_backward(dnormed, xhat, rstd, norm_w, dnorm_w, dnorm_b, dx)
