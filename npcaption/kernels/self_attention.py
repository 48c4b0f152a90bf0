"""One image's self-attention sublayer as one call: Python's lock is released once, not for every product.

x, normed, seen, out and their gradients (T, C), qkv (T, 3C), att (heads, T, T), means and rstd (T,); keys: room for a
head's packed keys; datt: room for a block's (BLOCK, T). The backward reads x, means, rstd, qkv, att, seen; its
dnormed is first the norm's output once more.
"""
from .attention import fused_attention_backward, fused_attention_forward
from .compilation import kernel
from .layernorm import fused_layernorm_again, fused_layernorm_backward, fused_layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2, F3, I


@kernel
def fused_self_attention_forward(
        x: F2, norm_w: F1, norm_b: F1, qkv_panels: F1, proj_panels: F1, proj_b: F1, residual: F2, heads: I, causal: I,
        means: F1, rstd: F1, qkv: F2, att: F3, keys: F1, seen: F2, normed: F2, out: F2, nothing: F1):
    """out = residual + the branch; residual is x, or has no rows if dropout comes between.  nothing: an empty vector"""
    channels = x.shape[1]
    fused_layernorm_forward(x, norm_w, norm_b, means, rstd, normed)
    multiply(normed, qkv_panels, nothing, residual[:0], qkv)
    fused_attention_forward(qkv, 0, qkv, channels, 2 * channels, heads, causal, att, seen, keys)
    multiply(seen, proj_panels, proj_b, residual, out)


@kernel
def fused_self_attention_backward(
        dbranch: F2, dx: F2, x: F2, norm_w: F1, norm_b: F1, qkv_transposed: F1, proj_transposed: F1, heads: I,
        means: F1, rstd: F1, qkv: F2, att: F3, keys: F1, seen: F2, dseen: F2, dqkv: F2, datt: F2, dnormed: F2,
        dqkv_w: F2, dproj_w: F2, dproj_b: F1, dnorm_w: F1, dnorm_b: F1, nothing: F1):
    """dbranch: dout, after dropout if there is any; dx: holds dout on entry, the result on return"""
    channels, no_residual = dx.shape[1], dx[:0]
    accumulate(seen, dbranch, dproj_w, dproj_b)
    multiply(dbranch, proj_transposed, nothing, no_residual, dseen)
    fused_attention_backward(dseen, qkv, 0, qkv, channels, 2 * channels, heads, att, dqkv, dqkv, keys, datt)
    fused_layernorm_again(x, norm_w, norm_b, means, rstd, dnormed)
    accumulate(dnormed, dqkv, dqkv_w, nothing)
    multiply(dqkv, qkv_transposed, nothing, no_residual, dnormed)
    fused_layernorm_backward(dnormed, x, means, rstd, norm_w, dnorm_w, dnorm_b, dx)
