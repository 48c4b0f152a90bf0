"""The stem: optional convolutions between the pixels and the patches.

A convolution has two properties that attention must learn from examples: it combines neighbouring pixels, and it treats
all places of the image alike. With only some thousand images that helps a lot (Xiao et al. 2021, arXiv:2106.14881).
"""
from .convolution import convolution_backward, convolution_forward
from .gelu import gelu_backward, gelu_forward
from .layernorm import layernorm_backward, layernorm_forward


def stem_forward(x, p, stem):
    """x = gelu(layernorm(convolution(x))), or x + that if the stride is 1, once for each of conv.0, conv.1, ...

    stem: (inputs, outputs, stride) of each. Stride 2 halves the sides; stride 1 keeps them and has a residual path.
    x (..., A, A, C) -> (..., A / 2^n, A / 2^n, O) after n of stride 2
    """
    blocks = []
    for i, (_, _, stride) in enumerate(stem):
        conv = f"conv.{i}"
        mixed, convolution = convolution_forward(x, p[f"{conv}.weight"], p[f"{conv}.bias"], stride)  # (..., N, N, O)
        normed, norm = layernorm_forward(mixed, p[f"{conv}.norm.weight"], p[f"{conv}.norm.bias"])  # (..., N, N, O)
        active, gelu = gelu_forward(normed)                  # (..., N, N, O)
        x = x + active if stride == 1 else active            # (..., N, N, O)
        blocks.append((conv, stride, convolution, norm, gelu))
    return x, (blocks,)


def stem_backward(dout, cache, g):
    """The steps in reverse, the last convolution first."""
    blocks, = cache
    dx = dout
    for conv, stride, convolution, norm, gelu in reversed(blocks):
        dnormed = gelu_backward(dx, gelu)                    # (..., N, N, O)
        dmixed, dw_norm, db_norm = layernorm_backward(dnormed, norm)  # (..., N, N, O), (O,), (O,)
        dinner, dw, db = convolution_backward(dmixed, convolution)  # (..., A, A, C), (9*C, O), (O,)
        dx = dx + dinner if stride == 1 else dinner          # (..., A, A, C)
        g[f"{conv}.norm.weight"] += dw_norm
        g[f"{conv}.norm.bias"] += db_norm
        g[f"{conv}.weight"] += dw
        g[f"{conv}.bias"] += db
    return dx
