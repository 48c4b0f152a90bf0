"""Sublayer: the MLP, two linear layers applied to each token separately."""
from .dropout import dropout_backward, dropout_forward
from .gelu import gelu_backward, gelu_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward


def mlp_forward(x, p, rate, key):
    """out = x + dropout(gelu(layernorm(x) Wup + b) Wdown + b).  x (..., T, C), F channels between -> (..., T, C)"""
    normed, norm = layernorm_forward(x, p["norm.weight"], p["norm.bias"])  # (..., T, C)
    wide, up = linear_forward(normed, p["up.weight"], p["up.bias"])  # (..., T, F)
    active, gelu = gelu_forward(wide)                        # (..., T, F)
    branch, down = linear_forward(active, p["down.weight"], p["down.bias"])  # (..., T, C)
    kept, drop = dropout_forward(branch, rate, key)          # (..., T, C)
    return x + kept, (norm, up, gelu, down, drop)


def mlp_backward(dout, cache, g):
    """dx = dout + dinner: x took two paths, around the branch and into it. dinner is the branch's steps in reverse."""
    norm, up, gelu, down, drop = cache
    dbranch = dropout_backward(dout, drop)                   # (..., T, C)
    dactive, dw_down, db_down = linear_backward(dbranch, down)  # (..., T, F), (F, C), (C,)
    dwide = gelu_backward(dactive, gelu)                     # (..., T, F)
    dnormed, dw_up, db_up = linear_backward(dwide, up)       # (..., T, C), (C, F), (F,)
    dinner, dw_norm, db_norm = layernorm_backward(dnormed, norm)  # (..., T, C), (C,), (C,)
    g["down.weight"] += dw_down
    g["down.bias"] += db_down
    g["up.weight"] += dw_up
    g["up.bias"] += db_up
    g["norm.weight"] += dw_norm
    g["norm.bias"] += db_norm
    return dout + dinner                                     # the sum over both paths of x
