"""Every hand-written gradient against a numerical one.

    python -m npcaption.gradcheck                     all layers, then the whole model
    python -m npcaption.gradcheck --layer attention   one layer
    python -m npcaption.gradcheck --engine numba      the engine's sublayers, in float32

The output is projected on a random dout, which makes it one number f; each entry x of each argument is moved, and

    df/dx = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h + O(h^4)

must agree with the backward's. In float64 this central difference of fourth order (Fornberg 1988, table 1) comes to
within a few 1e-8, and a wrong sign, scale, transpose or term is off by 1e-3 at the least. An argument's error is
the largest difference over its entries, relative to its largest gradient.
"""
import numpy as np

from .. import layers

TOLERANCE = 1e-7
TOLERANCE_FLOAT32 = 1e-5  # of the engine: its rounding, 6e-8, passes through some hundred operations a gradient
STEP = 5e-4  # of the spread of the argument: truncation, h^4, and rounding, 1e-16 / h, both stay small


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
    """Largest difference, relative to the largest of either; 0 if both are 0."""
    return np.abs(numeric - analytic).max() / max(np.abs(numeric).max(), np.abs(analytic).max(), 1e-12)


def numerical_gradients(forward, arguments, dout):
    """{argument: df/d argument} of f = sum(out * dout), every entry; a sublayer's parameters are named p[...]."""
    checked = {name: value for name, value in arguments.items() if getattr(value, "dtype", None) == np.float64}
    checked |= {f"p[{name}]": value for name, value in arguments.get("p", {}).items()}

    def projected():
        return float((forward(**arguments)[0] * dout).sum())

    return {name: numerical_gradient(projected, x, list(np.ndindex(x.shape))).reshape(x.shape)
            for name, x in checked.items()}


def written_gradients(forward, backward, arguments, dout):
    """The same from the backward that is to be checked."""
    _, cache = forward(**arguments)
    inputs = [name for name, value in arguments.items() if getattr(value, "dtype", None) in (np.float32, np.float64)]
    if "p" not in arguments:
        return paired(inputs, backward(dout, cache))
    p = {name: getattr(value, "w", value) for name, value in arguments["p"].items()}  # w: of the engine's Matrix
    rng = np.random.default_rng(1)
    before = {name: rng.standard_normal(value.shape).astype(value.dtype) for name, value in p.items()}
    g = {name: value.copy() for name, value in before.items()}  # filled, as the backward must add
    gradients = paired(inputs, backward(dout, cache, g))
    return gradients | {f"p[{name}]": g[name] - before[name] for name in g}


def paired(inputs, gradients):
    found = [dx for dx in (gradients if isinstance(gradients, tuple) else (gradients,)) if dx is not None]
    assert len(found) == len(inputs), f"{len(found)} gradients for {', '.join(inputs) or 'no float array'}"
    return dict(zip(inputs, found))


def compared(numeric, written):
    """{argument: (shape, relative error)}"""
    for name, dx in numeric.items():
        assert written[name].shape == dx.shape, f"d{name} has shape {written[name].shape}, {name} has {dx.shape}"
    return {name: (dx.shape, relative_error(dx, written[name])) for name, dx in numeric.items()}


def check_case(case):
    """The textbook's pair in float64 -> {argument: (shape, relative error)}"""
    forward, backward = (getattr(layers, f"{case.layer}_{way}") for way in ("forward", "backward"))
    dout = np.random.default_rng(0).standard_normal(np.shape(forward(**case.arguments)[0]))  # so that no errors cancel
    return compared(numerical_gradients(forward, case.arguments, dout),
                    written_gradients(forward, backward, case.arguments, dout))


IMAGE_AXES = {"x": 2, "source": 2, "image": 3, "ids": 1, "targets": 1, "words": 1, "key": 0,
              "weights": 0}  # of an argument, without the batch


def check_kernel(case, kernels):
    """The engine's sublayer in float32, image by image, against the textbook's numerical gradient in float64."""
    def rounded(value):                                      # to what float32 can hold
        return value.astype(np.float32).astype(np.float64) if getattr(value, "dtype", None) == np.float64 else value

    exact = {name: rounded(value) for name, value in case.arguments.items()}
    exact["p"] = {name: rounded(value) for name, value in case.arguments["p"].items()}
    forward = getattr(layers, f"{case.layer}_forward")
    dout = rounded(np.random.default_rng(0).standard_normal(np.shape(forward(**exact)[0])))
    numeric = numerical_gradients(forward, exact, dout)

    single = {name: np.ascontiguousarray(value, np.float32) if getattr(value, "dtype", None) == np.float64 else value
              for name, value in exact.items()}
    single["p"] = kernels.prepare_sublayer({name: value.astype(np.float32) for name, value in exact["p"].items()},
                                            kernels.Room())
    batched = [name for name, axes in IMAGE_AXES.items() if name in single and np.ndim(single[name]) > axes]
    written = {}
    for i in range(len(single[batched[0]]) if batched else 1):
        kernels.arena().reset()
        of_image = single | {name: single[name][i] for name in batched}
        dout_of_image = dout[i] if batched and dout.ndim else dout
        if dout.ndim:
            dout_of_image = np.ascontiguousarray(dout_of_image, np.float32)
        pair = (getattr(kernels, f"{case.layer}_{way}") for way in ("forward", "backward"))
        for name, dx in written_gradients(*pair, of_image, dout_of_image).items():
            written.setdefault(name, []).append(dx.astype(np.float64))
    return compared(numeric, {name: sum(parts) if name.startswith("p[") else np.stack(parts) if batched else parts[0]
                              for name, parts in written.items()})
