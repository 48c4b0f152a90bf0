"""Mistakes in numerical_gradient and decode_backward."""
import numpy as np

from .common import decoder_steps, mistake


def numerical(cause, says):
    return mistake("numerical_gradient", cause, says)


@numerical("one-sided difference", r"(?i)one.sided|both sides|central|forward difference")
def _(f, x):
    dx, h, y = np.zeros_like(x), 1e-5, f()
    for i in np.ndindex(x.shape):
        x[i] += h
        dx[i] = (f() - y) / h
        x[i] -= h
    return dx


@numerical("divided by h in place of 2h", r"(?i)2 times too large|2h|2 h")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / h
        x[i] = kept
    return dx


@numerical("x is not put back", r"(?i)put back|writes? to x|leaves x|restore")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        x[i] += h
        up = f()
        x[i] -= 2 * h
        dx[i] = (up - f()) / (2 * h)
    return dx


@numerical("every entry moved at once", r"(?i)at once|one entry|each|alone")
def _(f, x):
    kept, h = x.copy(), 1e-5
    x[...] = kept + h
    up = f()
    x[...] = kept - h
    down = f()
    x[...] = kept
    return np.full_like(x, (up - down) / (2 * h))


@numerical("the sign: f(x - h) - f(x + h)", r"(?i)sign")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept - h
        y = f()
        x[i] = kept + h
        dx[i] = (y - f()) / (2 * h)
        x[i] = kept
    return dx


@numerical("h far too large", r"(?i)\bh\b|step")
def _(f, x):
    dx, h = np.zeros_like(x), 0.5
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / (2 * h)
        x[i] = kept
    return dx


@numerical("h far too small: rounding", r"(?i)\bh\b|step|round")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-14
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / (2 * h)
        x[i] = kept
    return dx


@numerical("only the first axis is walked along", r"(?i)axis|entr|zero|places|rows")
def _(f, x):
    dx, h = np.zeros_like(x), 1e-5
    for i in range(len(x)):
        kept = x[i].copy()
        x[i] += h
        up = f()
        x[i] = kept - h
        dx[i] = (up - f()) / (2 * h)
        x[i] = kept
    return dx


@mistake("decode_backward", "dsource of the last visited block only", r"(?i)block.*missing")
def _(layers, dx, cache, g):
    return decoder_steps(layers, dx, cache, g)[-1]


@mistake("decode_backward", "dsource of the first visited block only", r"(?i)block.*missing")
def _(layers, dx, cache, g):
    return decoder_steps(layers, dx, cache, g)[0]


@mistake("decode_backward", "blocks in the forward's order", r"(?i)order|revers")
def _(layers, dx, cache, g):
    return sum(decoder_steps(layers, dx, cache, g, order=iter))


@mistake("decode_backward", "the blocks' dsource averaged", r"(?i)times too small|mean|average")
def _(layers, dx, cache, g):
    found = decoder_steps(layers, dx, cache, g)
    return sum(found) / len(found)


@mistake("decode_backward", "self-attention's backward before cross-attention's", r"(?i)order|revers")
def _(layers, dx, cache, g):
    embed, blocks = cache
    dsource = 0
    for i, (itself, cross, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        dx, ds = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dsource = dsource + ds
    layers.token_embed_backward(dx, embed, g["token_embed"])
    return dsource


@mistake("decode_backward", "token_embed's backward forgotten", r"(?i)token_embed.*(nothing|not|unchanged)")
def _(layers, dx, cache, g):
    embed, blocks = cache
    dsource = 0
    for i, (itself, cross, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx, ds = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        dsource = dsource + ds
    return dsource


@mistake("decode_backward", "dx returned: the source's gradient never collected", r"(?i)shape|source")
def _(layers, dx, cache, g):
    decoder_steps(layers, dx, cache, g)
    return dx
