"""The convolutions between the pixels and the patches, if a model has any.

A convolution knows what attention must learn from examples: that what belongs together lies side by side, and that a dog
is a dog wherever it stands. With only some thousand photographs that is worth a lot (Xiao et al. 2021, arXiv:2106.14881).
"""
from .convolution import SIZE, convolution_backward, convolution_forward
from .gelu import gelu_backward, gelu_forward
from .layernorm import layernorm_backward, layernorm_forward


def stem_forward(x, p):
    """x = gelu(layernorm(convolution(x))), once for each convolution that p has: conv.0, conv.1, ...

    One that changes the number of channels halves height and width; one that keeps it keeps them, and is added to its x.
    x (..., S, S, C) -> (..., S / 2^n, S / 2^n, O) after n that halve
    """
    blocks = []
    for conv in (name.removesuffix(".norm.weight") for name in p if name.endswith(".norm.weight")):
        inputs, outputs = p[f"{conv}.weight"].shape
        residual = inputs == SIZE * SIZE * outputs
        mixed, convolution = convolution_forward(x, p[f"{conv}.weight"], p[f"{conv}.bias"], 1 if residual else 2)
        normed, norm = layernorm_forward(mixed, p[f"{conv}.norm.weight"], p[f"{conv}.norm.bias"])  # (..., N, N, O)
        active, gelu = gelu_forward(normed)                  # (..., N, N, O)
        x = x + active if residual else active
        blocks.append((conv, residual, convolution, norm, gelu))
    return x, (blocks,)


def stem_backward(dout, cache, g):
    """The steps in reverse, the last convolution first."""
    blocks, = cache
    dx = dout
    for conv, residual, convolution, norm, gelu in reversed(blocks):
        dnormed = gelu_backward(dx, gelu)                    # (..., N, N, O)
        dmixed, dw_norm, db_norm = layernorm_backward(dnormed, norm)  # (..., N, N, O)
        dbranch, dw, db = convolution_backward(dmixed, convolution)  # (..., S, S, C)
        dx = dx + dbranch if residual else dbranch
        g[f"{conv}.norm.weight"] += dw_norm
        g[f"{conv}.norm.bias"] += db_norm
        g[f"{conv}.weight"] += dw
        g[f"{conv}.bias"] += db
    return dx
