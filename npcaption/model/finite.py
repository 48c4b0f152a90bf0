"""Anomaly detection: name the first sublayer that produces a NaN or an infinity."""
from types import SimpleNamespace

import numpy as np

from ..errors import TrainingError


def watched(layers, *views):
    """A copy of the module `layers` whose sublayers raise a TrainingError for results that are not finite.

    views: the mappings {sublayer's name: its parameters, or their gradients} passed to the sublayers; they give the
    sublayer's name for the message.
    """
    names = {id(mapping): name for by_name in views for name, mapping in by_name.items()}

    def checked(function, way):
        def check(*arguments):
            result = function(*arguments)
            mapping = next(argument for argument in arguments if id(argument) in names)
            if way == "forward":
                made = [("its output", result[0])]
            else:
                made = [("the gradient of its input", d) for d in (result if isinstance(result, tuple) else (result,))]
                made += [(f"the gradient of its {name}", d) for name, d in mapping.items()]
            for what, array in made:
                if array is not None and not np.isfinite(array).all():
                    raise TrainingError(f"the first NaN or infinity came from {names[id(mapping)]}, in its {way}: "
                                        f"{what}")
            return result
        return check

    sublayers = {name: checked(getattr(layers, name), way) for way in ("forward", "backward") for name in dir(layers)
                 if name.endswith("_" + way)}
    return SimpleNamespace(**vars(layers) | sublayers)
