"""The second set's mistakes in sublayers and the whole model."""
import numpy as np

from npcaption import layers as L

from .common import cross_steps, mlp_steps, self_steps
from .second import second


@second("mlp", "mlp_backward", "the branch only, and gelu skipped", r"(?i)around.*missing|gelu")
def _(dout, cache, g):
    return mlp_steps(dout, cache, g, skip=("gelu",))


@second("mlp", "mlp_backward", "up's and down's biases exchanged through a copied line", r"(?i)raises|bias|shape")
def _(dout, cache, g):
    norm, up, gelu, down, drop = cache
    d, dw, db = L.linear_backward(L.dropout_backward(dout, drop), down)
    g["down.weight"] += dw
    g["down.bias"] += db
    d, dw, _ = L.linear_backward(L.gelu_backward(d, gelu), up)
    g["up.weight"] += dw
    g["down.bias"] += db
    d, dw, db = L.layernorm_backward(d, norm)
    g["norm.weight"] += dw
    g["norm.bias"] += db
    return dout + d


@second("mlp", "mlp_backward", "g added twice", r"(?i)2 times too large")
def _(dout, cache, g):
    mlp_steps(dout, cache, g)
    return dout + mlp_steps(dout, cache, g)


@second("self_attention", "self_attention_backward", "residual from the dropped dout", r"(?i)dropout|residual|around")
def _(dout, cache, g):
    return L.dropout_backward(dout, cache[-1]) + self_steps(dout, cache, g)


@second("self_attention", "self_attention_backward", "the queries' way counted twice", r"(?i)quer")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, keep=(2, 1, 1))


@second("self_attention", "self_attention_backward", "qkv.weight's gradient not stored", r"(?i)qkv.*nothing")
def _(dout, cache, g):
    kept = g["qkv.weight"].copy()
    dx = dout + self_steps(dout, cache, g)
    g["qkv.weight"][...] = kept
    return dx


@second("cross_attention", "cross_attention_backward", "dsource with the residual's dout added over the tokens",
        r"(?i)dout|added|residual")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d, ds + dout.sum(-2, keepdims=True)


@second("cross_attention", "cross_attention_backward", "the queries forgotten: x only by the residual path",
        r"(?i)(branch|quer).*missing")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, keep=(0, 1, 1))
    return dout + d, ds


@second("output", "output_backward", "linear's bias averaged over the tokens", r"(?i)times too small")
def _(dlogits, cache, g):
    kept = g["linear.bias"].copy()
    dx = L.output_backward(dlogits, cache, g)
    g["linear.bias"][...] = kept + (g["linear.bias"] - kept) / dlogits.shape[-2]
    return dx


@second("bag_loss", "bag_loss_backward", "divided by P twice", r"P = 5 times too small")
def _(dloss, cache, g):
    return L.bag_loss_backward(dloss, cache, g) / cache[0]


@second("stem", "stem_backward", "the residual for every convolution", r"(?i)raises|residual|stride")
def _(dout, cache, g):
    blocks, = cache
    return L.stem_backward(dout, ([(c, 1, *others) for c, _, *others in blocks],), g)


@second("decode_backward", "decode_backward", "dsource subtracted", r"(?i)sign")
def _(layers, dx, cache, g):
    from npcaption.model import wiring
    return -wiring.decode_backward(layers, dx, cache, g)


@second("numerical_gradient", "numerical_gradient", "a copy is moved, f reads x", r"(?i)zero|copy")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        a, b = f(), f()
        dx[i] = (a - b) / (2 * h)
    return dx
