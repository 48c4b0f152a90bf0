"""Gradient check of the numba engine's sublayers, in float32, one image at a time."""
import numpy as np

from .. import layers
from .contract import gradients
from .numeric import compared, numerical_gradients, projection

TOLERANCE_FLOAT32 = 1e-5  # a rounding error of 6e-8 accumulates over some hundred operations a gradient
# Number of an argument's axes without the batch axis.
IMAGE_AXES = {"x": 2, "source": 2, "image": 3, "features": 2, "ids": 1, "targets": 1, "words": 1, "key": 0,
              "weights": 0, "likeliest": 2, "probabilities": 2, "pooled": 1}


def check_kernel(case, kernels):
    """Report on an engine's sublayer: its gradient against the textbook's numerical one in float64."""
    exact = rounded(case.arguments)
    forward = getattr(layers, f"{case.layer}_forward")
    dout = rounded(projection(forward(**exact)[0]))
    numeric = numerical_gradients(forward, exact, dout)

    single = narrowed(exact)
    prepared = kernels.prepare_sublayer(single["p"], kernels.Room())
    batched = [name for name, axes in IMAGE_AXES.items() if name in single and np.ndim(single[name]) > axes]
    written = {}
    for i in range(len(single[batched[0]]) if batched else 1):
        kernels.arena().reset()
        of_image = single | {name: single[name][i] for name in batched}
        dout_of_image = dout[i] if batched and np.ndim(dout) else dout
        if np.ndim(dout):
            dout_of_image = np.ascontiguousarray(dout_of_image, np.float32)
        forward, backward = (getattr(kernels, f"{case.layer}_{way}") for way in ("forward", "backward"))
        _, cache = forward(**of_image | {"p": prepared})
        for name, dx in gradients(backward, dout_of_image, cache, of_image).items():
            written.setdefault(name, []).append(dx.astype(np.float64))
    return compared(numeric, {name: sum(parts) if name.startswith("p[") else np.stack(parts) if batched else parts[0]
                              for name, parts in written.items()}, TOLERANCE_FLOAT32)


def narrowed(value):
    """Floats as contiguous float32 arrays, which the engine takes."""
    if isinstance(value, dict):
        return {name: narrowed(entry) for name, entry in value.items()}
    return np.ascontiguousarray(value, np.float32) if getattr(value, "dtype", None) == np.float64 else value


def rounded(value):
    """Floats rounded to float32, stored as float64."""
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    return value.astype(np.float32).astype(np.float64) if getattr(value, "dtype", None) == np.float64 else value
