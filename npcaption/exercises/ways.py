"""Paths through a sublayer: its gradient's terms, and wrong gradients from the textbook's backward with a change.

A change replaces one backward called by the sublayer: the replacement does nothing, keeps only one of the results,
returns them in another order, or receives another gradient.
"""
from contextlib import suppress
from itertools import permutations
from types import CodeType, FunctionType, SimpleNamespace

import numpy as np

from .. import layers
from ..model import wiring


def altered(function, replaced):
    """A copy of the function that calls the replacements, also inside the package's functions that it calls."""
    around = dict(function.__globals__)
    for name in reached(function.__code__):
        if name in replaced:
            around[name] = replaced[name]
        elif name.endswith("_backward") and isinstance(around.get(name), FunctionType):
            around[name] = altered(around[name], replaced)
    return FunctionType(function.__code__, around, function.__name__)


def reached(code):
    """The names read by a function, including its comprehensions."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in reached(part)]
    return [*code.co_names, *inner]


def keeping(function, kept):
    """The function with only one of its results; the others are 0."""
    return lambda *given: tuple(part * (i == kept) for i, part in enumerate(function(*given)))


def in_order(function, *order):
    def other(*given):
        found = function(*given)
        return tuple(found[i] for i in order)
    return other


def last_wins(dout, cache):
    ids, w = cache
    dw = np.zeros_like(w)
    dw[ids] = dout
    return dw


SKIPPED = {
    "dropout's backward is skipped": {"dropout_backward": lambda dout, cache: dout},
    "gelu's backward is skipped": {"gelu_backward": lambda dout, cache: dout},
    "layernorm's backward is skipped on the path to dx": {
        "layernorm_backward": lambda dout, cache: (dout, *layers.layernorm_backward(dout, cache)[1:])},
    "a repeated id keeps only its last place: its row must be summed over all places": {
        "embedding_backward": last_wins},
    "padding counts too": {"cross_entropy_backward": lambda dloss, cache: layers.cross_entropy_backward(
        dloss, (*cache[:2], np.ones_like(cache[2]), cache[3]))},
    "the captions' weights are left out": {"cross_entropy_backward": lambda dloss, cache: layers.cross_entropy_backward(
        dloss, (*cache[:2], cache[2] != 0, cache[3]))},
}
ORDERS = {f"dq, dk, dv are in the order {', '.join(('dq', 'dk', 'dv')[i] for i in order)}":
          {"attention_backward": in_order(layers.attention_backward, *order)}
          for order in list(permutations(range(3)))[1:]}
PARTS = ("the path through the queries", "the path through the keys", "the path through the values")
RESIDUAL = "mlp", "self_attention", "cross_attention"


def differentiable(arguments):
    """Names of the arguments with a returned gradient. The captions' weights have none."""
    return [name for name, value in arguments.items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and name != "weights"]


def gradients(backward, arguments, dout, cache):
    """{argument: gradient} of one call; g starts with zeros."""
    names = differentiable(arguments)
    if "p" not in arguments:
        returned = backward(dout, cache)
        return dict(zip(names, returned if isinstance(returned, tuple) else (returned,)))
    g = {name: np.zeros_like(value) for name, value in arguments["p"].items()}
    returned = backward(dout, cache, g)
    returned = returned if isinstance(returned, tuple) else (returned,)
    return dict(zip(names, returned)) | {f"p[{name}]": value for name, value in g.items()}


def ways(layer, arguments, dout, cache):
    """{argument: [{term: addend}]} and {sentences: {argument: terms of a wrong gradient}} of a sublayer."""
    backward = getattr(layers, f"{layer}_backward")

    def run(function, cache=cache):
        return gradients(function, arguments, dout, cache)

    true, wrong = run(backward), {}
    for sentence, replaced in {**SKIPPED, **(ORDERS if "attention" in layer else {})}.items():
        with suppress(ValueError, IndexError, TypeError):    # mismatched shapes
            wrong[sentence] = run(altered(backward, replaced))
    if layer == "stem":
        blocks, = cache
        alone = [(conv, 2, *rest) for conv, _, *rest in blocks]
        wrong["the residual path around the convolution of stride 1 is missing"] = run(backward, (alone,))
    if layer == "bag_loss":
        first = np.zeros_like(true["source"])
        first[..., 0, :] = true["source"][..., 0, :] * cache[0]
        wrong["only the first patch has the gradient; the mean is over all patches"] = {"source": first}
    wrong |= mistaken(layer, backward, run, dout, true)
    made = {(sentence,): {name: {"": value} for name, value in found.items()} for sentence, found in wrong.items()}
    return terms(layer, backward, run, dout, true), made


def terms(layer, backward, run, dout, true):
    found = {name: [] for name in true}
    if layer in RESIDUAL:
        found["x"].append({"the path around the branch": dout, "the path through the branch": true["x"] - dout})
    if "attention" in layer:
        parts = [run(altered(backward, {"attention_backward": keeping(layers.attention_backward, i)}))
                 for i in range(3)]
        for name in true:
            around = {"the path around the branch": dout} if name == "x" else {}
            named = around | {way: part[name] - (dout if name == "x" else 0) for way, part in zip(PARTS, parts)}
            named = {way: part for way, part in named.items() if np.any(part)}
            if np.allclose(sum(named.values()), true[name], rtol=0, atol=1e-9 * np.abs(true[name]).max()):
                found[name].append(named)
    return found


def mistaken(layer, backward, run, dout, true):
    """{sentence: gradients} with one step's gradient in place of another's of the same shape."""
    calls = []
    run(altered(backward, watched(backward, calls)))
    known = [("dout", dout)] + [(f"the result of {who}'s backward", back) for who, _, back in calls]
    found = {}
    for number, (who, given, _) in enumerate(calls):
        for label, array in known[:number + 1]:
            if array.shape == given.shape and array is not given and not np.array_equal(array, given):
                with suppress(ValueError, IndexError, TypeError):
                    found[f"{who}'s backward gets {label} as dout; it must get the gradient of its own output"] = run(
                        altered(backward, watched(backward, [], number, array)))
    if layer in RESIDUAL:
        inner = true["x"] - dout
        for label, array in known:
            if array.shape == dout.shape:
                found[f"{label} is added to dout; add the gradient of the branch's input"] = {"x": dout + array}
                found[f"{label} stands where dout belongs, on the path around the branch"] = {"x": array + inner}
    return found


def watched(backward, calls, number=None, dout=None):
    """The backwards called by a sublayer; they append (who, dout, result) to calls. Call `number` gets another dout."""
    def watching(name, function):
        who = name.removesuffix("_backward")

        def call(given, *rest):
            given = dout if len(calls) == number else given
            calls.append([who, given, None])
            mine = calls[-1]
            back = function(given, *rest)
            mine[2] = back[0] if isinstance(back, tuple) else back
            return back
        return call

    return {name: watching(name, backward.__globals__[name]) for name in reached(backward.__code__)
            if name.endswith("_backward")}


# --------------------------------------------------------------------------------------------------- decode_backward

def decoding(dx, cache, zeros):
    """The same for decode_backward: {argument: {term: addend}}, {sentences: {argument: wrong gradient}}.

    zeros() makes a new g.
    """
    embed, blocks = cache
    offered = {name: getattr(layers, name) for name in dir(layers) if name.endswith("_backward")}

    def run(backward, cache=cache, **replaced):
        g = zeros()
        dsource = backward(SimpleNamespace(**offered | replaced), dx, cache, g)
        return {"source": dsource} | {f"g[{name}]": value for layer in g for name, value in named(layer, g[layer])}

    def block(kept):
        calls = iter(reversed(range(len(blocks))))

        def cross(dout, cache, g):
            inner, dsource = layers.cross_attention_backward(dout, cache, g)
            return inner, dsource * (next(calls) == kept)
        return run(wiring.decode_backward, cross_attention_backward=cross)["source"]

    turned = wiring.decode_backward.__globals__ | {"reversed": iter}
    forwards = FunctionType(wiring.decode_backward.__code__, turned)
    wrong = {("the blocks are in the forward's order; the last block comes first on the way back",): run(forwards),
             ("self-attention comes before cross-attention; the sublayers' order must be reversed",): run(exchanged)}
    return {"source": {f"the dsource of block {i}": block(i) for i in range(len(blocks))}}, wrong


def named(layer, part):
    return [(f"{layer}.{name}", value) for name, value in part.items()]


def exchanged(layers, dx, cache, g):
    """decode_backward with two sublayers of each block exchanged."""
    embed, blocks = cache
    dsource = 0
    for i, (itself, cross, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        dx, found = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dsource = dsource + found
    layers.token_embed_backward(dx, embed, g["token_embed"])
    return dsource
