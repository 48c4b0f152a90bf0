"""Knowledge of the right gradients in a case, for the diagnosis: terms, typical mistakes, and possible factors."""
from functools import cache as cache_of
from itertools import combinations

import numpy as np

from .. import layers
from . import ways
from .diagnose import Knowledge
from .terms import FORMULAS, changed, right
from .ways import RESIDUAL, gradients
from .words import REASONS, WORDS


def knowledge(layer, case, dout):
    """{argument: Knowledge} of a textbook pair in a case. The typical mistakes are computed on demand."""
    arguments = case.arguments
    out, cache = getattr(layers, f"{layer}_forward")(**arguments)
    backward = getattr(layers, f"{layer}_backward")

    def of(dout):
        return gradients(backward, arguments, dout, cache)

    true = of(dout)
    terms = FORMULAS[layer](right, **arguments, dout=dout) if layer in FORMULAS else None

    @cache_of
    def ways_():
        return ways.ways(layer, arguments, dout, cache)

    @cache_of
    def wrong():
        own = typical_mistakes(layer, arguments, dout) if terms else ways_()[1]
        return own | {sentences: {name: {"": value} for name, value in of(other).items()}
                      for sentences, other in other_douts(dout)}

    arrays = floats(arguments) | floats(arguments.get("p", {}))

    def known(name, value):
        return Knowledge(
            value, lambda: [terms[name]] if terms else ways_()[0].get(name, []),
            lambda: {sentences: found[name] for sentences, found in wrong().items() if name in found},
            {shown(other): gradient for other, gradient in true.items() if other != name}
            | {dout_name(layer): np.asarray(dout), "the output": out} | arrays,
            case.sizes, REASONS, factors(layer, arguments, cache) | ({dout_name(layer): dout} if np.ndim(dout) else {}))

    return {name: known(name, value) for name, value in true.items()}


def floats(named):
    return {name: value for name, value in named.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"}


def dout_name(layer):
    return {"cross_entropy": "dloss", "binary_cross_entropy": "dloss", "output": "dlogits", "output_loss": "dloss",
            "bag_loss": "dloss"}.get(layer, "dout")


def shown(argument):
    """A gradient's name: dx, or g["norm.weight"]."""
    return f'g["{argument[2:-1]}"]' if argument.startswith("p[") else f"d{argument}"


def factors(layer, arguments, cache):
    """Factors that a term may have once too often or once too rarely, broadcastable to its array."""
    if layer == "layernorm":
        xhat, rstd, w = cache
        return {"rstd": rstd, "xhat": xhat, "w": w}
    if layer == "cross_entropy":
        weights = arguments.get("weights", np.ones(1))[..., None, None]
        return {"the weight of the caption": weights, "the softmax": np.exp(cache[0]), "logits": arguments["logits"]}
    if layer in RESIDUAL:
        return {"the dropout mask": cache[-1][0]} if cache[-1][0] is not None else {}
    return floats(arguments)


def typical_mistakes(layer, arguments, dout):
    """{sentences: {argument: terms}} of every change of the formula, alone and in pairs."""
    words, found = WORDS.get(layer, {}), {}
    for changes in [*combinations(words, 1), *combinations(words, 2)]:
        pick = changed(*changes)
        with np.errstate(all="ignore"):
            terms = FORMULAS[layer](pick, **arguments, dout=dout)
        if pick.used == set(changes):
            found[tuple(dict.fromkeys(words[change] for change in changes))] = terms
    return found


def other_douts(dout):
    """Typical mistakes with dout: left out, squared, its absolute value, a part of it."""
    name = "dloss" if np.ndim(dout) == 0 else "dout"
    one = "1 stands" if np.ndim(dout) == 0 else "ones stand"
    yield (f"{name} is left out: {one} in its place",), np.ones_like(dout)
    yield (f"{name} is multiplied in twice",), dout * dout
    if np.ndim(dout) == 0:
        return
    yield ("the absolute value of dout stands in its place",), np.abs(dout)
    for axis in range(np.ndim(dout) - 1):
        for at, place in ((0, "first"), (-1, "last")):
            part = np.zeros_like(dout)
            index = (slice(None),) * axis + (at,)
            part[index] = dout[index]
            part_name = "sequence or image of the batch" if axis == 0 else f"place along axis {axis}"
            yield (f"only the {place} {part_name} counts; all of them must be summed",), part
