"""One image's cross-attention sublayer as one call.

x, normed, q, seen, out and their gradients (T, C), source and dsource (S, C), kv (S, 2C), att (heads, T, S), means and
rstd (T,); other arguments as in self_attention.py.
"""
from .attention import fused_attention_backward, fused_attention_forward
from .compilation import kernel
from .layernorm import fused_layernorm_again, fused_layernorm_backward, fused_layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2, F3, I


@kernel
def fused_cross_attention_forward(
        x: F2, source: F2, norm_w: F1, norm_b: F1, q_panels: F1, kv_panels: F1, proj_panels: F1, proj_b: F1,
        residual: F2, heads: I,
        means: F1, rstd: F1, q: F2, kv: F2, att: F3, keys: F1, seen: F2, normed: F2, out: F2, nothing: F1):
    fused_layernorm_forward(x, norm_w, norm_b, means, rstd, normed)
    multiply(normed, q_panels, nothing, residual[:0], q)
    multiply(source, kv_panels, nothing, residual[:0], kv)
    fused_attention_forward(q, 0, kv, 0, x.shape[1], heads, False, att, seen, keys)
    multiply(seen, proj_panels, proj_b, residual, out)


@kernel
def fused_cross_attention_backward(
        dbranch: F2, dx: F2, x: F2, source: F2, norm_w: F1, norm_b: F1, q_transposed: F1, kv_transposed: F1,
        proj_transposed: F1, heads: I,
        means: F1, rstd: F1, q: F2, kv: F2, att: F3, keys: F1, seen: F2,
        dseen: F2, dq: F2, dkv: F2, datt: F2, dnormed: F2, dsource: F2,
        dq_w: F2, dkv_w: F2, dproj_w: F2, dproj_b: F1, dnorm_w: F1, dnorm_b: F1, nothing: F1):
    """dbranch: dout, after dropout if there is any; dx: holds dout on entry, the result on return"""
    no_residual = dx[:0]
    accumulate(seen, dbranch, dproj_w, dproj_b)
    multiply(dbranch, proj_transposed, nothing, no_residual, dseen)
    fused_attention_backward(dseen, q, 0, kv, 0, dx.shape[1], heads, att, dq, dkv, keys, datt)
    accumulate(source, dkv, dkv_w, nothing)
    multiply(dkv, kv_transposed, nothing, no_residual, dsource)
    fused_layernorm_again(x, norm_w, norm_b, means, rstd, dnormed)
    accumulate(dnormed, dq, dq_w, nothing)
    multiply(dq, q_transposed, nothing, no_residual, dnormed)
    fused_layernorm_backward(dnormed, x, means, rstd, norm_w, dnorm_w, dnorm_b, dx)
