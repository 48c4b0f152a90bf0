"""From gradients to new parameters: AdamW, clipping by the global norm, the learning rate's schedule.

AdamW and clipping work on flat buffers (N,), every parameter of the model at once.
"""
import math


def learning_rate_at(step, steps, peak, warmup, schedule):
    """Step 1 to steps: a straight line up over the first `warmup`, then constant, or half a cosine down to zero.

    However few the steps are, no more than a tenth of them warm up.
    """
    warmup = min(warmup, steps // 10)
    if step <= warmup:
        return peak * step / warmup
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 1 - warmup) / max(1, steps - warmup)))
