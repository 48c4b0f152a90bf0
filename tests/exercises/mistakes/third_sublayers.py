"""The third set's mistakes in sublayers and the whole model."""
import numpy as np

from npcaption import layers as L

from .common import cross_steps, mlp_steps, self_steps
from .third import third


@third("mlp", "mlp_backward", "dropout applied to dout of the residual as well", r"(?i)dropout|mask|around")
def _(dout, cache, g):
    d = L.dropout_backward(dout, cache[-1])
    return d + mlp_steps(dout, cache, g)


@third("mlp", "mlp_backward", "gelu and dropout skipped", r"(?i)gelu|dropout")
def _(dout, cache, g):
    return dout + mlp_steps(dout, cache, g, skip=("gelu", "dropout"))


@third("mlp", "mlp_backward", "layernorm's gradient at dout instead of what came from up", r"(?i)layernorm")
def _(dout, cache, g):
    kept = {n: a.copy() for n, a in g.items()}
    L.mlp_backward(dout, cache, g)
    for n in ("norm.weight", "norm.bias"):
        g[n][...] = kept[n]
    d, dw, db = L.layernorm_backward(dout, cache[0])
    g["norm.weight"] += dw
    g["norm.bias"] += db
    return dout + d


@third("mlp", "mlp_backward", "down.weight's gradient zeroed by a wrong key: added to up.weight's copy",
       r"(?i)down\.weight.*nothing")
def _(dout, cache, g):
    kept = g["down.weight"].copy()
    dx = L.mlp_backward(dout, cache, g)
    g["down.weight"][...] = kept
    return dx


@third("self_attention", "self_attention_backward", "only the queries send back", r"(?i)(keys|values).*missing")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, keep=(1, 0, 0))


@third("self_attention", "self_attention_backward", "the branch returned without dout, and dropout skipped",
       r"(?i)around.*missing|dropout")
def _(dout, cache, g):
    return self_steps(dout, cache, g, skip=("dropout",))


@third("self_attention", "self_attention_backward", "the branch halved", r"(?i)branch is 2 times too small")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g) / 2


@third("cross_attention", "cross_attention_backward", "dsource without a sign: minus keys", r"(?i)keys.*sign")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, keep=(1, -1, 1))
    return dout + d, ds


@third("cross_attention", "cross_attention_backward", "the source's residual invented: source added",
       r"(?i)source.*added")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d, ds + cache[2][0]


@third("token_embed", "token_embed_backward", "assigned with =", r"(?i)replaced|add")
def _(dout, cache, g):
    lookup, place = cache
    g["position"] = L.position_backward(dout, place)[1]
    g["weight"] = L.embedding_backward(dout, lookup)


@third("patch_embed", "patch_embed_backward", "- 1 taken back as well: 1 added to the gradient",
       r"(?i)added|constant|\b1\b")
def _(dout, cache, g):
    d = L.patch_embed_backward(dout, cache, g)
    return None if d is None else d + 1


@third("bag_loss", "bag_loss_backward", "the bag's loss not divided by its weight: dloss twice", r"(?i)dloss.*twice")
def _(dloss, cache, g):
    return L.bag_loss_backward(dloss * dloss, cache, g)


@third("numerical_gradient", "numerical_gradient", "2h forgotten altogether: the difference itself",
       r"(?i)correct value|divi|difference|\bh\b")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-4
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        up = f()
        x[i] = kept - h
        dx[i] = up - f()
        x[i] = kept
    return dx


@third("decode_backward", "decode_backward", "dsource of each block overwritten with twice the last",
       r"(?i)block.*missing")
def _(layers, dx, cache, g):
    from .common import decoder_steps
    return 2 * decoder_steps(layers, dx, cache, g)[-1]
