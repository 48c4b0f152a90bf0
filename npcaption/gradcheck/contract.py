"""The contract of a pair: number, shapes and types of its results; inputs and cache left unchanged."""
from collections.abc import Mapping

import numpy as np

from ..errors import GradientError


def float_arrays(arguments):
    """{x: array, p[weight]: array}: the arguments that have a gradient, including arrays inside mappings."""
    return {name: array for name, array in arrays(arguments).items() if array.dtype.kind == "f"}


def arrays(arguments):
    named = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            named |= {f"{name}[{key}]": entry for key, entry in value.items()}
        else:
            named[name] = value
    return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}


def copied(value):
    if isinstance(value, Mapping):
        return {key: copied(entry) for key, entry in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def require_something_to_check(arguments):
    checked = float_arrays(arguments)
    if not checked:
        raise GradientError(f"No argument is a float array ({', '.join(arguments)}). Pass at least one.")
    for name, x in checked.items():
        if not x.size:
            raise GradientError(f"{name} is empty: its shape is {x.shape}. Pass an array with entries.")


def run(forward, arguments):
    """(out, cache) of a forward. GradientError unless out is finite float64 and the arguments are unchanged."""
    kept = copied(arguments)
    returned = forward(**arguments)
    require_unchanged("forward", arguments, kept)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise GradientError(f"forward returned a {type(returned).__name__}. Return the tuple (out, cache).")
    out = np.asarray(returned[0])
    if out.dtype != np.float64:
        raise GradientError(f"forward's out has type {out.dtype}; the arguments have float64. Return their type.")
    if not out.size:
        raise GradientError(f"forward's out is empty: its shape is {out.shape}. Choose other arguments.")
    require_finite({"out": out}, "forward's {} is not finite at {}. Choose other arguments.")
    return returned


def gradients(backward, dout, cache, arguments):
    """{argument: gradient} of one call.

    g starts with random numbers, so that `=` instead of `+=` gives a wrong gradient.
    """
    inputs = [name for name in float_arrays(arguments) if name in arguments]
    mappings = {name: float_arrays(value) for name, value in arguments.items() if isinstance(value, Mapping)}
    rng = np.random.default_rng(1)
    before = {name: {key: rng.standard_normal(x.shape).astype(x.dtype) for key, x in p.items()}
              for name, p in mappings.items() if p}
    g = copied(before)
    returned = backward(dout, cache, *g.values())
    returned = returned if isinstance(returned, (tuple, list)) else (returned,)
    found = [np.array(dx) for dx in returned if dx is not None]  # copies: dx may be dout itself or a part of the cache
    if len(found) != len(inputs):
        raise GradientError(f"backward returned {count(found, 'gradient')} for {count(inputs, 'float array')} "
                            f"({', '.join(inputs) or 'none'}). Return one for each, in forward's order.")
    found = dict(zip(inputs, found))
    for name in g:
        if g[name].keys() != before[name].keys():
            raise GradientError(f"backward left {', '.join(g[name])} in g; {name} has {', '.join(before[name])}. "
                                "Add to the arrays in g; keep its keys.")
        found |= {f"{name}[{key}]": np.asarray(dx) for key, dx in g[name].items()}

    for name, x in float_arrays(arguments).items():
        if found[name].shape != x.shape:
            raise GradientError(f"The gradient of {name} has shape {found[name].shape}; {name} has {x.shape}. "
                                f"Return it in {name}'s shape.")
        if found[name].dtype != x.dtype:
            raise GradientError(f"The gradient of {name} has type {found[name].dtype}; {name} has {x.dtype}. "
                                f"Return it in {name}'s type.")
    found |= {f"{name}[{key}]": g[name][key] - dx for name in g for key, dx in before[name].items()}
    require_finite(found, "The gradient of {} is not finite at {}. Look for a division by 0 or an overflow.")
    return found


def count(things, noun):
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"


def require_unchanged(who, arguments, kept):
    """GradientError if an array has changed. Restore it first: it may belong to the caller."""
    now, before = arrays(arguments), arrays(kept)
    changed = [name for name, x in before.items() if not np.array_equal(now[name], x, equal_nan=x.dtype.kind == "f")]
    for name in changed:
        now[name][...] = before[name]
    if changed:
        raise GradientError(f"{who} wrote to {', '.join(changed)}. Write to a copy.")


def require_finite(named, sentence):
    for name, x in named.items():
        if not np.isfinite(x).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise GradientError(sentence.format(name, where))


def require_same(again, first, when, advice):
    """GradientError unless another call agrees with the first to 1e-12: the order of its sums may differ."""
    try:
        second = again()
    except Exception as error:
        raise GradientError(f"{when}, backward raised {type(error).__name__}: {error}. {advice}") from error
    for name, x in first.items():
        if apart(x, second[name]):
            raise GradientError(f"{when}, backward returned another gradient of {name}. {advice}")


def require_same_output(forward, arguments, out):
    if apart(out, forward(**arguments)[0]):
        raise GradientError("forward returned a different out for the same arguments. Pass its randomness as an "
                            "argument: a key or a mask.")


def apart(a, b):
    return np.abs(a - b).max() > 1e-12 * np.abs(a).max()
