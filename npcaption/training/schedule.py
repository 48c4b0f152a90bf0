"""The learning rate's schedule: linear warm-up, then constant or half a cosine."""
import math


def learning_rate_at(step, steps, peak, warmup, schedule):
    """Learning rate at step 1 to `steps`: linear over the first `warmup`, then constant or half a cosine to zero.

    At most a tenth of the steps warm up.
    """
    warmup = min(warmup, steps // 10)
    if step <= warmup:
        return peak * step / warmup
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 1 - warmup) / max(1, steps - warmup)))
