"""The table that `python -m npcaption.gradcheck` prints."""
import numpy as np

from .whole_model import SMALL, check_model


def row(first, second, shape, error, tolerance):
    right = error < tolerance
    print(f"{first:<17}{second:<39}{str(shape):<18}{error:>9.1e}  {'ok' if right else 'WRONG'}", flush=True)
    return right


def print_layers(check, chosen, tolerance):
    """One row per layer and argument, the worst of its cases; True if all are right."""
    worst = {}
    for case in chosen:
        for argument, (shape, error) in check(case).items():
            found = worst.get((case.layer, argument), (shape, -1.0))
            worst[case.layer, argument] = max(found, (shape, error), key=lambda entry: (np.isnan(entry[1]), entry[1]))
    print(f"{'layer':<17}{'argument':<39}{'shape':<18}{'error':>9}")
    return all([row(*names, shape, error, tolerance) for names, (shape, error) in worst.items()])


def print_model(steps, engine, tolerance, config=SMALL, captions=1):
    when = (f"after {steps} steps" if steps else "at initialisation") + ", tied" * config.tied + (
        ", stem, bag" if config.bag else "") + f", {captions} captions" * (captions > 1)
    print(f"\n{'whole model':<17}{when:<39}{'shape':<18}{'error':>9}")
    errors = check_model(steps, engine, config, captions=captions)
    return all([row("", tensor, shape, error, tolerance) for tensor, (shape, error) in errors.items()])
