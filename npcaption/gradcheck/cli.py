"""Check every hand-written gradient against a numerical one.

    python -m npcaption.gradcheck                     all layers, then the whole model
    python -m npcaption.gradcheck --layer attention   one layer
    python -m npcaption.gradcheck --engine numba      the engine's sublayers, in float32

The output is projected on a random dout, which makes it one number f; each entry x of each argument is moved, and

    df/dx = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h + O(h^4)

must agree with the backward's. In float64 this central difference of fourth order (Fornberg 1988, table 1) comes to
within a few 1e-8, and a wrong sign, scale, transpose or term is off by 1e-3 at the least. An argument's error is
the largest difference over its entries, relative to its largest gradient.
"""
from functools import partial

from ..config import ENGINES
from ..errors import ConfigError
from ..model.engines import compile_engine
from ..support.command import arguments, parser_of
from ..support.flags import add_option
from .cases import cases
from .numeric import TOLERANCE, TOLERANCE_FLOAT32, check_case, check_kernel
from .report import print_layers, print_model
from .whole_model import CONVOLVING, TIED


def main(words=None):
    names = tuple(sorted({case.layer for case in cases()}))
    parser = parser_of("gradcheck", __doc__)
    add_option(parser, "engine", str, "engine whose gradients are checked", ENGINES, default="numpy")
    add_option(parser, "layer", str, f"layer to check, one of: {', '.join(names)} (default: all)", names, "NAME")
    options = arguments(parser, words)
    chosen = [case for case in cases() if options.layer in (None, case.layer)]
    check, tolerance = check_case, TOLERANCE
    if options.engine == "numba":
        from .. import kernels
        compile_engine("numba").result()
        check, tolerance = partial(check_kernel, kernels=kernels), TOLERANCE_FLOAT32
        chosen = [case for case in chosen if hasattr(kernels, f"{case.layer}_backward")]
        if not chosen:
            raise ConfigError(f"The numba engine has no {options.layer} of its own; it offers whole sublayers.")
    right = print_layers(check, chosen, tolerance)
    if options.layer is None:
        right = all([right, *(print_model(steps, options.engine, tolerance) for steps in (0, 20)),
                     *(print_model(20, options.engine, tolerance, config, 2) for config in (TIED, CONVOLVING))])
    print("\nAll gradients agree to" if right else "\nSome gradients do not agree to", f"{tolerance:.0e}.")
    return 0 if right else 1
