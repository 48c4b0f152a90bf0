"""Mistakes in the sublayers."""
import numpy as np

from npcaption import layers as L

from .common import cross_steps, mistake, mlp_steps, self_steps


@mistake("mlp_backward", "the residual path forgotten", r"(?i)(residual|around).*missing")
def _(dout, cache, g):
    return mlp_steps(dout, cache, g)


@mistake("mlp_backward", "the branch forgotten: only dout comes back", r"(?i)branch.*missing|into.*missing")
def _(dout, cache, g):
    mlp_steps(dout, cache, g)
    return dout


@mistake("mlp_backward", "the residual added twice", r"(?i)(residual|around).*(2|twice)")
def _(dout, cache, g):
    return 2 * dout + mlp_steps(dout, cache, g)


@mistake("mlp_backward", "gelu's backward skipped", r"(?i)gelu")
def _(dout, cache, g):
    return dout + mlp_steps(dout, cache, g, skip=("gelu",))


@mistake("mlp_backward", "dropout's backward skipped", r"(?i)dropout")
def _(dout, cache, g):
    return dout + mlp_steps(dout, cache, g, skip=("dropout",))


@mistake("mlp_backward", "layernorm's backward skipped", r"(?i)layernorm")
def _(dout, cache, g):
    return dout + mlp_steps(dout, cache, g, skip=("layernorm",))


@mistake("mlp_backward", "g assigned, not added to", r"(?i)replac|overwrit|add")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in g:
        g[n] = new[n]
    return dx


@mistake("mlp_backward", "g assigned in place", r"(?i)replac|overwrit|add")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in g:
        g[n][...] = new[n]
    return dx


@mistake("mlp_backward", "the norm's gradients never stored", r"(?i)norm\.(weight|bias).*(nothing|not|unchanged)")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in ("down.weight", "down.bias", "up.weight", "up.bias"):
        g[n] += new[n]
    return dx


@mistake("mlp_backward", "the parameters' gradients returned in a tuple", r"(?i)\b7\b|\bone\b|\b1\b|into g")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    return dx, *new.values()


@mistake("mlp_backward", "dx multiplied, not added, with the branch", r"(?i)add|sum|product|multipl")
def _(dout, cache, g):
    return dout * mlp_steps(dout, cache, g)


@mistake("mlp_backward", "subtracted from g: a step of descent", r"(?i)sign|subtract")
def _(dout, cache, g):
    new = {n: np.zeros_like(a) for n, a in g.items()}
    dx = dout + mlp_steps(dout, cache, new)
    for n in g:
        g[n] -= new[n]
    return dx


@mistake("self_attention_backward", "q, k, v concatenated as k, q, v", r"(?i)order|exchang|d[qkv]")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, order=(1, 0, 2))


@mistake("self_attention_backward", "q, k, v concatenated as v, k, q", r"(?i)order|exchang|d[qkv]")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, order=(2, 1, 0))


@mistake("self_attention_backward", "the residual path forgotten", r"(?i)(residual|around).*missing")
def _(dout, cache, g):
    return self_steps(dout, cache, g)


@mistake("self_attention_backward", "dout with a minus on the branch", r"(?i)(branch|into).*sign")
def _(dout, cache, g):
    return dout - self_steps(dout, cache, g)


@mistake("self_attention_backward", "dropout's backward skipped", r"(?i)dropout")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, skip=("dropout",))


@mistake("self_attention_backward", "the keys' way forgotten", r"(?i)(keys?|\bdk\b|\bk\b).*missing")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, keep=(1, 0, 1))


@mistake("self_attention_backward", "only the values send back", r"(?i)(quer|keys?|\bdk\b|\bdq\b).*missing")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, keep=(0, 0, 1))


@mistake("self_attention_backward", "layernorm's backward skipped", r"(?i)layernorm")
def _(dout, cache, g):
    return dout + self_steps(dout, cache, g, skip=("layernorm",))


@mistake("cross_attention_backward", "dsource from the keys only", r"(?i)value.*missing|dv.*missing")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, keep=(1, 1, 0))
    return dout + d, ds


@mistake("cross_attention_backward", "dsource from the values only", r"(?i)keys?.*missing|dk.*missing")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, keep=(1, 0, 1))
    return dout + d, ds


@mistake("cross_attention_backward", "dv before dk in the concatenation", r"(?i)order|exchang|d[kv]")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, order=(0, 2, 1))
    return dout + d, ds


@mistake("cross_attention_backward", "dsource not returned", r"(?i)\b2\b|two|\b1\b|one")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d


@mistake("cross_attention_backward", "dsource before dx", r"(?i)order|shape")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return ds, dout + d


@mistake("cross_attention_backward", "the residual path forgotten", r"(?i)(residual|around).*missing")
def _(dout, cache, g):
    return cross_steps(dout, cache, g)


@mistake("cross_attention_backward", "the source taken as a constant: dsource zeros", r"(?i)zero")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d, np.zeros_like(ds)


@mistake("cross_attention_backward", "the source averaged over the tokens: divided by T",
         r"(?i)T = \d+ times too small")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g)
    return dout + d, ds / dout.shape[-2]


@mistake("cross_attention_backward", "dropout's backward skipped", r"(?i)dropout")
def _(dout, cache, g):
    d, ds = cross_steps(dout, cache, g, skip=("dropout",))
    return dout + d, ds


@mistake("output_backward", "layernorm's backward skipped", r"(?i)layernorm")
def _(dlogits, cache, g):
    norm, linear = cache
    d, dw, db = L.linear_backward(dlogits, linear)
    g["linear.weight"] += dw
    g["linear.bias"] += db
    dx, dw, db = L.layernorm_backward(d, norm)
    g["norm.weight"] += dw
    g["norm.bias"] += db
    return d


@mistake("output_backward", "the norm's gradients into the wrong names",
         r"(?i)norm\.(weight|bias).*(other|this is|exchang|place|gradient of)")
def _(dlogits, cache, g):
    norm, linear = cache
    d, dw, db = L.linear_backward(dlogits, linear)
    g["linear.weight"] += dw
    g["linear.bias"] += db
    dx, dw, db = L.layernorm_backward(d, norm)
    g["norm.weight"] += db
    g["norm.bias"] += dw
    return dx


@mistake("output_loss_backward", "dloss taken as 1", r"(?i)dloss", "output")
def _(dloss, cache, g):
    output, entropy = cache
    return L.output_backward(L.cross_entropy_backward(1.0, entropy), output, g)


@mistake("output_loss_backward", "an embedding's residual: dout added where there is no fork",
         r"(?i)runs|shape|residual|not.*fork|broadcast|added", "output")
def _(dloss, cache, g):
    output, entropy = cache
    return dloss + L.output_backward(L.cross_entropy_backward(dloss, entropy), output, g)


@mistake("token_embed_backward", "+= with repeated ids", r"(?i)repeat")
def _(dout, cache, g):
    (ids, w), place = cache
    g["position"] += L.position_backward(dout, place)[1]
    g["weight"][ids] += dout


@mistake("token_embed_backward", "the positions' gradient forgotten", r"(?i)position.*(nothing|not|unchanged)")
def _(dout, cache, g):
    lookup, place = cache
    g["weight"] += L.embedding_backward(dout, lookup)


@mistake("token_embed_backward", "dout returned as the ids' gradient", r"(?i)\b0\b|none|no gradient|integers")
def _(dout, cache, g):
    L.token_embed_backward(dout, cache, g)
    return dout


@mistake("patch_embed_backward", "the division by 127.5 forgotten", r"(?i)127\.5 times too large")
def _(dout, cache, g):
    d = L.patch_embed_backward(dout, cache, g)
    return None if d is None else d * 127.5


@mistake("patch_embed_backward", "multiplied by 127.5", r"(?i)127\.5")
def _(dout, cache, g):
    d = L.patch_embed_backward(dout, cache, g)
    return None if d is None else d * 127.5 ** 2


@mistake("patch_embed_backward", "nothing returned: an image has no gradient", r"(?i)None|no gradient|\b0\b|\b1\b|one")
def _(dout, cache, g):
    L.patch_embed_backward(dout, cache, g)


@mistake("patch_embed_backward", "the positions' gradient forgotten", r"(?i)position.*(nothing|not|unchanged)")
def _(dout, cache, g):
    kept = g["position"].copy()
    d = L.patch_embed_backward(dout, cache, g)
    g["position"][...] = kept
    return d


@mistake("stem_backward", "the residual of the stride-1 convolution forgotten", r"(?i)(residual|around|stride)")
def _(dout, cache, g):
    blocks, = cache
    dx = dout
    for conv, stride, convolution, norm, gelu in reversed(blocks):
        d, dw, db = L.layernorm_backward(L.gelu_backward(dx, gelu), norm)
        g[f"{conv}.norm.weight"] += dw
        g[f"{conv}.norm.bias"] += db
        dx, dw, db = L.convolution_backward(d, convolution)
        g[f"{conv}.weight"] += dw
        g[f"{conv}.bias"] += db
    return dx


@mistake("stem_backward", "gelu's backward skipped", r"(?i)gelu")
def _(dout, cache, g):
    blocks, = cache
    dx = dout
    for conv, stride, convolution, norm, gelu in reversed(blocks):
        d, dw, db = L.layernorm_backward(dx, norm)
        g[f"{conv}.norm.weight"] += dw
        g[f"{conv}.norm.bias"] += db
        inner, dw, db = L.convolution_backward(d, convolution)
        g[f"{conv}.weight"] += dw
        g[f"{conv}.bias"] += db
        dx = dx + inner if stride == 1 else inner
    return dx


@mistake("stem_backward", "the first convolution first", r"(?i)IndexError|ValueError|order|revers|last")
def _(dout, cache, g):
    blocks, = cache
    return L.stem_backward(dout, (blocks[::-1],), g)


@mistake("bag_loss_backward", "the mean's 1 / P forgotten", r"(?i)P = \d+ times too large")
def _(dloss, cache, g):
    patches, output, entropy = cache
    d = L.output_backward(L.binary_cross_entropy_backward(dloss, entropy), output, g)
    return np.repeat(d[..., None, :], patches, -2)


@mistake("bag_loss_backward", "the gradient given to the first patch only", r"(?i)patch|only|first")
def _(dloss, cache, g):
    patches, output, entropy = cache
    d = L.output_backward(L.binary_cross_entropy_backward(dloss, entropy), output, g)
    out = np.zeros((*d.shape[:-1], patches, d.shape[-1]))
    out[..., 0, :] = d
    return out


@mistake("bag_loss_backward", "the patches' axis forgotten", r"(?i)shape|patch|axis")
def _(dloss, cache, g):
    patches, output, entropy = cache
    return L.output_backward(L.binary_cross_entropy_backward(dloss, entropy), output, g) / patches
