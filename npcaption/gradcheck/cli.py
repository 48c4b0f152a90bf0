"""Check every hand-written gradient against a numerical one.

    npcaption gradcheck                     all layers, then the whole model
    npcaption gradcheck --layer attention   one layer
    npcaption gradcheck --engine numba      the engine's sublayers, in float32

numeric.py describes the method. npcaption.gradcheck.check checks a pair of your own.
"""
from functools import partial

from ..config import ENGINES
from ..errors import ConfigError, GradientError
from ..model.engines import compile_engine
from ..support.command import arguments, parser_of
from ..support.flags import add_option
from .cases import cases, check_case
from .engine import TOLERANCE_FLOAT32, check_kernel
from .numeric import TOLERANCE
from .report import outcome
from .whole_model import DISTILLED, FROZEN, SMALL, TIED, check_model


def main(words=None):
    names = tuple(sorted({case.layer for case in cases()}))
    parser = parser_of("gradcheck", __doc__)
    add_option(parser, "engine", str, "engine to check", ENGINES, default="numpy")
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
            raise ConfigError(f"The numba engine has no layer {options.layer}; it implements whole sublayers. Choose a "
                              f"sublayer, or --engine numpy.")
    right = print_layers(check, chosen, tolerance)
    if options.layer is None:
        right = all([right, *(print_model(steps, options.engine, tolerance) for steps in (0, 20)),
                     *(print_model(20, options.engine, tolerance, config, 2) for config in (TIED, DISTILLED, FROZEN))])
    print("\nAll gradients agree to" if right else "\nSome gradients do not agree to", f"{tolerance:.0e}.")
    return 0 if right else 1


def print_layers(check, chosen, tolerance):
    """Print a row for each layer and argument, with the worst of its cases; True if all are right."""
    print(f"{'layer':<22}{'argument':<39}{'shape':<18}{'error':>9}")
    worst, refused = {}, {}
    for case in chosen:
        try:
            findings = check(case).findings
        except GradientError as error:
            refused.setdefault(case.layer, f"{case.about}: {error}")
            continue
        for argument, finding in findings.items():
            worst[case.layer, argument] = max(worst.get((case.layer, argument), finding), finding,
                                              key=lambda entry: entry.error)
    for (layer, argument), finding in worst.items():
        print(f"{layer:<22}{argument:<39}{str(finding.shape):<18}{outcome(finding, tolerance)}")
    for layer, sentence in refused.items():
        print(f"{layer:<22}WRONG in {sentence}")
    return not refused and all(finding.error < tolerance for finding in worst.values())


def print_model(steps, engine, tolerance, config=SMALL, captions=1):
    """Print a row for each parameter tensor of the whole model; True if all are right."""
    heads = ", stem, bag" * bool(config.bag) + ", teacher" * bool(config.regression)
    kind = ", tied" * config.tied + (", features" if config.encoder_name else heads)
    when = (f"after {steps} steps" if steps else "at initialisation") + kind + f", {captions} captions" * (captions > 1)
    print(f"\n{'whole model':<22}{when:<39}{'shape':<18}{'error':>9}")
    errors = check_model(steps, engine, config, captions=captions)
    for tensor, (shape, error) in errors.items():
        verdict = "ok" if error < tolerance else "WRONG"
        print(f"{'':<22}{tensor:<39}{str(shape):<18}{error:>9.1e}  {verdict}", flush=True)
    return all(error < tolerance for _, error in errors.values())
