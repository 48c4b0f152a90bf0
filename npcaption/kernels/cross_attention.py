"""One image's cross-attention sublayer as one call.

x, normed, q, seen, out and their gradients (T, C), source and dsource (S, C), kv (S, 2C), att (heads, T, S), rstd (T,); the
rest as in self_attention.py.
"""
from .attention import attention_backward, attention_forward
from .compilation import kernel
from .layernorm import layernorm_backward, layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2, F3, I


@kernel(F2, F2, F1, F1, F1, F1, F1, F1, F2, I, F2, F1, F2, F2, F2, F3, F1, F2, F2, F1)
def cross_attention_forward(x, source, norm_w, norm_b, q_panels, kv_panels, proj_panels, proj_b, residual, heads,
                            xhat, rstd, normed, q, kv, att, keys, seen, out, nothing):
    layernorm_forward(x, norm_w, norm_b, xhat, rstd, normed)
    multiply(normed, q_panels, nothing, residual[:0], q)
    multiply(source, kv_panels, nothing, residual[:0], kv)
    attention_forward(q, 0, kv, 0, x.shape[1], heads, False, att, seen, keys)
    multiply(seen, proj_panels, proj_b, residual, out)


@kernel(F2, F2, F2, F1, F1, F1, F1, I, F2, F1, F2, F2, F2, F3, F1, F2, F2, F2, F2, F2, F2, F2, F2, F2, F2, F1, F1, F1, F1)
def cross_attention_backward(dbranch, dx, source, norm_w, q_transposed, kv_transposed, proj_transposed, heads,
                             xhat, rstd, normed, q, kv, att, keys, seen, dseen, dq, dkv, datt, dnormed, dsource,
                             dq_w, dkv_w, dproj_w, dproj_b, dnorm_w, dnorm_b, nothing):
    """dbranch is dout, through dropout if there is any; dx holds dout and becomes dx."""
    no_residual = dx[:0]
    accumulate(seen, dbranch, dproj_w, dproj_b)
    multiply(dbranch, proj_transposed, nothing, no_residual, dseen)
    attention_backward(dseen, q, 0, kv, 0, dx.shape[1], heads, att, dq, dkv, keys, datt)
    accumulate(source, dkv, dkv_w, nothing)
    multiply(dkv, kv_transposed, nothing, no_residual, dsource)
    accumulate(normed, dq, dq_w, nothing)
    multiply(dq, q_transposed, nothing, no_residual, dnormed)
    layernorm_backward(dnormed, xhat, rstd, norm_w, dnorm_w, dnorm_b, dx)
