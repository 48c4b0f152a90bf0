"""Gradient check: any forward and backward against a numerical gradient in float64.

The output is projected on dout to one number f = sum(out * dout). Each entry x of each argument is moved by h. The
difference quotient

    (f(x + h) - f(x - h)) / 2h

has an error of order h^2; combining it with the quotient at 2h cancels that term:

    df/dx = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h + O(h^4)     (Fornberg 1988, table 1)

In float64 it comes within a few 1e-8 of the gradient; a wrong sign, scale, transpose or term is off by at least 1e-3.
An argument's error is the largest difference over its entries, relative to its largest gradient.

dout is random: with dout = 1 the gradients of a softmax and of a layernorm with w = 1 are 0, which would hide mistakes.
"""
from collections.abc import Callable, Mapping
from inspect import signature

import numpy as np

from . import contract
from .report import Finding, Report

TOLERANCE = 1e-7
STEP = 5e-4  # relative to the argument's standard deviation: truncation, h^4, and rounding, 1e-16 / h, both stay small


def check(forward: Callable, backward: Callable, /, **arguments: object) -> Report:
    """Report on every gradient of a pair: true if all are right, and printed as a table.

    forward(**arguments) -> (out, cache), where out is an array or a number
    backward(dout, cache) -> the gradient of each float array, in the order of forward's parameters

    A mapping of float arrays, such as a sublayer's `p`, is checked too: backward(dout, cache, g) must add the gradients
    into `g`, a mapping with the same keys. All other arguments are settings without a gradient: integer arrays,
    numbers, strings. Return nothing or None for them. Float arrays of other precisions are converted to float64.

        >>> import numpy as np
        >>> from npcaption.gradcheck import check
        >>> def scale_forward(x, w):
        ...     return x * w, (x, w)
        >>> def scale_backward(dout, cache):
        ...     x, w = cache
        ...     return dout * w, dout * x                    # dw lacks the sum over the rows
        >>> x, w = np.random.default_rng(0).standard_normal((2, 3, 4)), np.ones(4)
        >>> check(scale_forward, scale_backward, x=x, w=w)
        Traceback (most recent call last):
        npcaption.errors.GradientError: The gradient of w has shape (2, 3, 4); w has (4,). Return it in w's shape.
        >>> def scale_backward(dout, cache):
        ...     x, w = cache
        ...     return dout * w, -(dout * x).sum((0, 1))     # the sign is wrong
        >>> print(check(scale_forward, scale_backward, x=x, w=w))
        argument  shape          error
        x         (2, 3, 4)  ...  ok
        w         (4,)         2.0e+00  WRONG at (...,): backward gives ..., numerically it is ...

    GradientError names any other mistake: the number, shapes or types of the gradients, values that are not finite,
    modified inputs, a backward that changes its cache or reads more than dout and the cache, a random forward. The
    function must be smooth within 1e-3 standard deviations of the arguments.
    """
    arguments = in_order(forward, {name: in_float64(value) for name, value in arguments.items()})
    contract.require_something_to_check(arguments)
    kept = contract.copied(arguments)
    out, cache = contract.run(forward, arguments)
    dout = projection(out)
    handed = arguments | {"out": out, "dout": dout}
    kept_handed = contract.copied(handed)

    def again():
        return contract.gradients(backward, dout, cache, arguments)

    written = again()
    contract.require_unchanged("backward", handed, kept_handed)
    contract.require_same(again, written, "Called again with the same dout and cache", "Leave the cache as it is.")
    numeric = numerical_gradients(forward, kept, dout)
    contract.require_same(again, written, "Called again after forward had run on other arguments",
                          "Read only dout and the cache.")
    contract.require_same_output(forward, arguments, out)
    return compared(numeric, written)


def in_float64(value):
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(np.float64, copy=False)
    return {key: in_float64(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value


def in_order(forward, arguments):
    """The arguments in the order of forward's parameters, or in the given order if it has no signature."""
    try:
        names = [name for name in signature(forward).parameters if name in arguments]
    except ValueError:
        names = []
    return {name: arguments[name] for name in [*names, *arguments]}


def projection(out):
    """A random dout for an output."""
    dout = np.random.default_rng(0).standard_normal(np.shape(out))
    return dout if isinstance(out, np.ndarray) else dout[()]


def numerical_gradients(forward, arguments, dout):
    """{argument: df/d argument} of f = sum(out * dout), every entry. The arrays are moved and restored."""
    def projected():
        return float((forward(**arguments)[0] * dout).sum())

    found = {name: numerical_gradient(projected, x, list(np.ndindex(x.shape))).reshape(x.shape)
             for name, x in contract.float_arrays(arguments).items()}
    contract.require_finite(found, "forward is not finite near {0} at {1}. Choose another value of {0} there.")
    return found


def numerical_gradient(f, x, entries):
    """df/dx at some entries.  f() -> float reads the array x, entries is a list of indices into x -> (len(entries),)"""
    h = STEP * (np.std(x) or 1)
    slopes = []
    for i in entries:
        keep = x[i]

        def moved(by):
            x[i] = keep + by
            return f()

        slopes.append((8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h))
        x[i] = keep
    return np.array(slopes)


def relative_error(numeric, analytic):
    """Largest difference, relative to the largest entry of either array; 0 if both are 0."""
    return np.abs(numeric - analytic).max() / max(np.abs(numeric).max(), np.abs(analytic).max(), 1e-12)


def compared(numeric, written, tolerance=TOLERANCE):
    findings = {}
    for name, dx in numeric.items():
        worst = np.unravel_index(np.abs(dx - written[name]).argmax(), dx.shape)
        findings[name] = Finding(dx.shape, float(relative_error(dx, written[name])), tuple(map(int, worst)),
                                 float(written[name][worst]), float(dx[worst]))
    return Report(findings, tolerance)
