"""Numbers, guarded memory, parameters and a tolerance for the tests of the kernels."""
from types import SimpleNamespace

import numpy as np
import pytest

from npcaption import kernels, layers
from npcaption.gradcheck.numeric import relative_error
from npcaption.kernels import matmul
from npcaption.kernels.sublayers import Matrix

EPS = np.finfo(np.float32).eps
GUARD = 1024  # numbers: more than the rows of a tile, and the columns, that could be written too many
CANARY = np.float32(1234.5)

# A sum of products in another order than NumPy's, and an exponential that is right to 2e-7, are all that the sublayers
# differ by; errors are relative to the array's largest number. The largest that was seen is 1.1e-6.
TOLERANCE = 3e-6


@pytest.fixture(scope="module", autouse=True)
def compiled():
    kernels.compile_kernels()
    kernels.arena().reset()


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def guarded(array, guard=np.nan):
    """A copy of the array as a piece of a longer buffer -> the piece, and all that stands around it"""
    buffer = np.full(array.size + 2 * GUARD, guard, np.float32)
    piece = buffer[GUARD:GUARD + array.size].reshape(array.shape)
    piece[...] = array
    return piece, lambda: np.concatenate([buffer[:GUARD], buffer[GUARD + array.size:]])


def packed(w):
    """-> Matrix; NaN stands around its panels, which a product would notice"""
    panels, transposed = (guarded(np.full(matmul.panels_size(*shape), np.nan))[0] for shape in (w.shape, w.shape[::-1]))
    kernels.pack_weight(w, panels, transposed)
    return Matrix(w, panels, transposed)


def prepared(p):
    """A sublayer's parameters as the engine takes them."""
    return kernels.prepare(SimpleNamespace(sublayer={"it": p}))["it"]


def assert_close(found, exact, tolerance):
    """tolerance: of every entry, absolute"""
    error = np.abs(found - exact)
    assert (error <= tolerance).all(), f"off by {np.max(error / tolerance):.2g} tolerances"


def weights(seed, **shapes):
    """Parameters as the model's: norms near 1 and 0, matrices that keep the size of what they multiply."""
    p = {}
    for name, shape in shapes.items():
        name = name.replace("__", ".")
        value = normal(seed + len(p), *shape)
        p[name] = 1 + value / 4 if name == "norm.weight" else value / shape[0] ** 0.5 if len(shape) == 2 else value / 4
    return p


def attention_weights(channels, **more):
    return weights(1, norm__weight=(channels,), norm__bias=(channels,), proj__weight=(channels, channels),
                   proj__bias=(channels,), **{name: (channels, times * channels) for name, times in more.items()})


def in_float64(value):
    if isinstance(value, dict):
        return {name: in_float64(entry) for name, entry in value.items()}
    return value.astype(float) if getattr(value, "dtype", None) == np.float32 else value


def errors(layer, tolerance=TOLERANCE, **arguments):
    """Run a pair of both modules -> {what: relative error} where it exceeds the tolerance; {} is good."""
    def run(module, arguments, p, dtype):
        out, cache = getattr(module, f"{layer}_forward")(**arguments | {"p": p})
        out = np.array(out)                                  # an engine's backward may write over its cache
        dout = np.random.default_rng(9).standard_normal(out.shape).astype(dtype) if out.ndim else 1.5
        g = {name: normal(8, *w.shape).astype(dtype) for name, w in arguments["p"].items()}  # the backward must add
        back = getattr(module, f"{layer}_backward")(dout, cache, g)  # which, in the engine, may write over dout
        back = back if isinstance(back, tuple) else (back,)
        return {"out": out} | {f"d{i}": d for i, d in enumerate(back)} | g

    p, found = prepared(arguments["p"]), []
    for _ in range(3):                                       # at last in memory that is full of what came before
        kernels.arena().reset()
        found.append({name: None if value is None else np.array(value)
                      for name, value in run(kernels, arguments, p, np.float32).items()})
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[2][name], value)
    found = found[0]
    exact = run(layers, in_float64(arguments), in_float64(arguments["p"]), float)
    assert found.keys() == exact.keys()
    assert [name for name in found if (found[name] is None) != (exact[name] is None)] == []
    assert found.keys() == exact.keys()
    assert [name for name in found if np.shape(found[name]) != np.shape(exact[name])] == []
    apart = {name: relative_error(exact[name], found[name]) for name in found if found[name] is not None}
    return {name: error for name, error in apart.items() if not error < tolerance}
