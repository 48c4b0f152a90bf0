"""One image's MLP sublayer as one call.

x, normed, out and their gradients (T, C), wide, active, slope, dwide (T, F), means and rstd (T,); other arguments as in
self_attention.py.
"""
from .compilation import kernel
from .gelu import fused_gelu_backward, fused_gelu_forward
from .layernorm import fused_layernorm_again, fused_layernorm_backward, fused_layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2


@kernel
def fused_mlp_forward(
        x: F2, norm_w: F1, norm_b: F1, up_panels: F1, up_b: F1, down_panels: F1, down_b: F1, residual: F2,
        means: F1, rstd: F1, wide: F2, active: F2, normed: F2, out: F2):
    """wide: first the product with up, on return GELU's slope"""
    fused_layernorm_forward(x, norm_w, norm_b, means, rstd, normed)
    multiply(normed, up_panels, up_b, residual[:0], wide)
    fused_gelu_forward(wide.reshape(-1), active.reshape(-1))
    multiply(active, down_panels, down_b, residual, out)


@kernel
def fused_mlp_backward(
        dbranch: F2, dx: F2, x: F2, norm_w: F1, norm_b: F1, up_transposed: F1, down_transposed: F1,
        means: F1, rstd: F1, slope: F2, active: F2, dwide: F2, dnormed: F2,
        dup_w: F2, dup_b: F1, ddown_w: F2, ddown_b: F1, dnorm_w: F1, dnorm_b: F1, nothing: F1):
    """dbranch: dout, after dropout if there is any; dx: holds dout on entry, the result on return"""
    accumulate(active, dbranch, ddown_w, ddown_b)
    multiply(dbranch, down_transposed, nothing, dx[:0], dwide)
    fused_gelu_backward(dwide.reshape(-1), slope.reshape(-1))
    fused_layernorm_again(x, norm_w, norm_b, means, rstd, dnormed)
    accumulate(dnormed, dwide, dup_w, dup_b)
    multiply(dwide, up_transposed, nothing, dx[:0], dnormed)
    fused_layernorm_backward(dnormed, x, means, rstd, norm_w, dnorm_w, dnorm_b, dx)
