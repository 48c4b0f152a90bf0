"""The convolutions between the pixels and the patches, if a model has any.

A convolution knows what attention must learn from examples: that what belongs together lies side by side, and that a dog
is a dog wherever it stands. With only some thousand photographs that is worth a lot (Xiao et al. 2021, arXiv:2106.14881).
"""
from .convolution import convolution_backward, convolution_forward
from .gelu import gelu_backward, gelu_forward
from .layernorm import layernorm_backward, layernorm_forward


def stem_forward(x, p):
    """x = gelu(layernorm(convolution(x))), once for each convolution that p has: conv.0, conv.1, ...

    x (..., S, S, C) -> (..., S / 2^n, S / 2^n, O) after n of them
    """
    blocks = []
    for conv in (name.removesuffix(".norm.weight") for name in p if name.endswith(".norm.weight")):
        mixed, convolution = convolution_forward(x, p[f"{conv}.weight"], p[f"{conv}.bias"])  # (..., S/2, S/2, O)
        normed, norm = layernorm_forward(mixed, p[f"{conv}.norm.weight"], p[f"{conv}.norm.bias"])
        x, gelu = gelu_forward(normed)
        blocks.append((conv, convolution, norm, gelu))
    return x, (blocks,)


def stem_backward(dout, cache, g):
    """The steps in reverse, the last convolution first."""
    blocks, = cache
    dx = dout
    for conv, convolution, norm, gelu in reversed(blocks):
        dnormed = gelu_backward(dx, gelu)
        dmixed, dw_norm, db_norm = layernorm_backward(dnormed, norm)
        dx, dw, db = convolution_backward(dmixed, convolution)
        g[f"{conv}.norm.weight"] += dw_norm
        g[f"{conv}.norm.bias"] += db_norm
        g[f"{conv}.weight"] += dw
        g[f"{conv}.bias"] += db
    return dx
