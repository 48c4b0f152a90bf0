"""One image's MLP sublayer as one call.

x, normed, out and their gradients (T, C), wide, active, slope, dwide (T, F), rstd (T,); the rest as in self_attention.py.
"""
from .compilation import kernel
from .gelu import gelu_backward, gelu_forward
from .layernorm import layernorm_backward, layernorm_forward
from .matmul import accumulate, multiply
from .simd import F1, F2


@kernel(F2, F1, F1, F1, F1, F1, F1, F2, F2, F1, F2, F2, F2, F2)
def mlp_forward(x, norm_w, norm_b, up_panels, up_b, down_panels, down_b, residual,
                xhat, rstd, normed, wide, active, out):
    """wide, after the product with up, is overwritten by gelu's slope."""
    layernorm_forward(x, norm_w, norm_b, xhat, rstd, normed)
    multiply(normed, up_panels, up_b, residual[:0], wide)
    gelu_forward(wide.reshape(-1), active.reshape(-1))
    multiply(active, down_panels, down_b, residual, out)


@kernel(F2, F2, F1, F1, F1, F2, F1, F2, F2, F2, F2, F2, F2, F1, F2, F1, F1, F1, F1)
def mlp_backward(dbranch, dx, norm_w, up_transposed, down_transposed,
                 xhat, rstd, normed, slope, active, dwide, dnormed,
                 dup_w, dup_b, ddown_w, ddown_b, dnorm_w, dnorm_b, nothing):
    """dbranch is dout, through dropout if there is any; dx holds dout and becomes dx."""
    accumulate(active, dbranch, ddown_w, ddown_b)
    multiply(dbranch, down_transposed, nothing, dx[:0], dwide)
    gelu_backward(dwide.reshape(-1), slope.reshape(-1))
    accumulate(normed, dwide, dup_w, dup_b)
    multiply(dwide, up_transposed, nothing, dx[:0], dnormed)
    layernorm_backward(dnormed, xhat, rstd, norm_w, dnorm_w, dnorm_b, dx)
