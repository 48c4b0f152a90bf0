"""Checks of the exercises that are no pair: numerical_gradient, decode_backward and advantages."""
import numpy as np

from .. import layers
from ..config import ModelConfig
from ..gradcheck.numeric import TOLERANCE, relative_error
from ..model import wiring
from ..model.parameters import Parameters, initialise
from .diagnose import Knowledge, causes
from .guard import Guard
from .run import Failed
from .shapes import shape_causes
from .ways import decoding, named
from .words import REASONS, capital

NUMERICAL_TOLERANCE = 1e-6      # a central difference of two points, h = 1e-5, is better by far


def check_numerical_gradient(written, called):
    x = np.random.default_rng(0).uniform(1, 2, (3, 5))
    c = np.random.default_rng(1).standard_normal(x.shape)
    f = Watched(x, c)
    before, at_once = x.copy(), f.value()
    dx = called(written, f, x)
    if not isinstance(dx, np.ndarray):
        said = f"it returns a {type(dx).__name__}; return dx, an array of x's shape"
        raise Failed(said, (), [said])
    true, second = 3 * c * before ** 2, 6 * c * before
    if np.abs(x - before).max() > 1e-12:
        said = "x is not put back: each entry must be what it was before the next one moves"
        raise Failed(said, (), [said])
    known = Knowledge(true, list, dict, {"x": before}, {}, REASONS, {})
    if dx.shape != x.shape:
        said = f"dx: {shape_causes(dx, known)[0]}"
        raise Failed(said, (), [said])
    if relative_error(true, dx) > NUMERICAL_TOLERANCE:
        said = numerical_causes(dx, true, second, c, known, f.h)
        at = np.unravel_index(np.abs(dx - true).argmax(), true.shape)
        rows = [f"    dx  WRONG: dx[{at[0]}, {at[1]}] is {dx[at]:+.8g}, the slope is {true[at]:+.8g}",
                *(f"        {capital(s)}." for s in said)]
        raise Failed("the gradient is wrong", rows, [f"dx: {s}" for s in said])
    if abs(f.value() - at_once) > 1e-9:
        raise Failed("f gives another value afterwards: something was left moved", (), ["f was changed"])
    one = np.array([[2.0]])                                  # one entry, not contiguous beside others
    wide = np.array([[1.0, 2.0, 3.0]]).repeat(2, 0)[:, ::2]
    for about, x in (("one entry", one), ("an array that is not contiguous", wide)):
        dx = called(written, Watched(x, np.ones_like(x)), x)
        if np.shape(dx) != x.shape or relative_error(3 * x ** 2, dx) > NUMERICAL_TOLERANCE:
            said = f"right so far; wrong for {about}"
            raise Failed(said, (), [said])


class Watched:
    """f() = sum(c x^3), which reads x."""

    def __init__(self, x, c):
        self.x, self.c, self.start, self.h = x, c, x.copy(), 0.0

    def __call__(self):
        self.h = max(self.h, float(np.abs(self.x - self.start).max()))
        return self.value()

    def value(self):
        return float((self.c * self.x ** 3).sum())


def numerical_causes(dx, true, second, c, known, step):
    off = dx - true
    for sign, words in ((1, "up"), (-1, "down")):
        h = sign * 2 * float((off * second).sum() / (second * second).sum())
        if h > 1e-12 and np.abs(off - sign * h / 2 * second).max() < 0.02 * np.abs(off).max() and h < 0.01:
            return [f"a one-sided difference: x moves {words} only. Moved both ways, the error of first order cancels"]
    third = 6 * c
    h2 = 6 * float((off * third).sum() / (third * third).sum())
    if h2 > 0 and np.abs(off - h2 / 6 * third).max() < 0.02 * np.abs(off).max():
        return [f"h = {h2 ** 0.5:.2g} is too large a step: the difference quotient is wrong by a multiple of h^2"]
    if np.ptp(dx) < 1e-6 * np.abs(dx).max() and np.isclose(dx.flat[0], true.sum(), rtol=1e-4):
        return ["all entries are moved at once; move one entry, the others staying where they are"]
    for axis in range(true.ndim):
        if np.allclose(dx, true.sum(axis, keepdims=True), rtol=1e-5, atol=1e-5):
            return [f"all entries along axis {axis} are moved at once; move one entry alone"]
    rounded = np.round(np.median(dx / true), 6)
    if 0 < np.abs(off).max() < 0.3 * np.abs(true).max() and np.abs(rounded - 1) < 0.1:
        return ["it is nearly right: h is so small a step that rounding spoils the difference"]
    c = float((dx * true).sum() / (true * true).sum())
    if 0 < c < 0.05 and relative_error(c * true, dx) < NUMERICAL_TOLERANCE:
        if np.isclose(c, step ** 2, rtol=1e-3):
            return ["it is multiplied by h where it must be divided: / 2 * h is not / (2 * h)"]
        return [f"it is {c:.2g} times what it must be: divide the difference by 2h"]
    for close_to in (2, 0.5, -1, -2, -0.5):
        if relative_error(close_to * true, dx) < NUMERICAL_TOLERANCE:
            return causes(close_to * true, known)
    return causes(dx, known)


def check_decode_backward(written, called):
    config = ModelConfig(image_size=12, patch_size=4, channels=14, heads=7, hidden=11, encoder_blocks=1,
                         decoder_blocks=3, max_length=7, vocabulary=13)
    rng = np.random.default_rng(0)
    p = initialise(config, 0, np.float64)
    p.flat[...] = 0.5 * rng.standard_normal(p.flat.shape)
    ids = rng.integers(1, 13, (3, 5))
    _, cache = wiring.decode_forward(layers, config, p.sublayer, ids, rng.standard_normal((3, 9, 14)))
    dx = rng.standard_normal((3, 5, 14))

    def zeros():
        return Parameters(config, np.float64).sublayer

    g, true_g = zeros(), zeros()
    before = 0.5
    for part in g.values():
        for array in part.values():
            array[...] = before
    guard = Guard({"dx": dx, "the cache": cache})
    dsource = called(written, layers, dx, cache, g)
    true = wiring.decode_backward(layers, dx, cache, true_g)
    terms, wrong = decoding(dx, cache, zeros)
    if wrote := guard.changed():
        said = f"it writes to {', '.join(wrote)}, which others still need; write to a copy"
        raise Failed(said, (), [said])
    if not isinstance(dsource, np.ndarray):
        said = f"it returns a {type(dsource).__name__}; return dsource, an array"
        raise Failed(said, (), [said])
    checked = [("source", dsource, true)] + [
        (f"g[{name}]", g[layer][name.removeprefix(f"{layer}.")] - before, value)
        for layer in true_g for name, value in named(layer, true_g[layer])]
    rows, found, before = [], [], []
    for name, got, right in checked:
        known = Knowledge(right, lambda: [terms[name]] if name in terms else [],
                          lambda: {s: {"": w[name]} for s, w in wrong.items()},
                          {"dx": dx}, {"blocks": 3, "B": 3, "T": 5}, REASONS, {})
        title = "dsource" if name == "source" else f'g["{name[2:-1]}"]'
        if got.shape != right.shape:
            said = f"{title}: {shape_causes(got, known)[0]}"
            raise Failed(said, (), [said])
        if relative_error(right, got) >= TOLERANCE:
            said = ["nothing was added to it"] if np.abs(got).max() < 1e-12 else causes(got, known)
            rows += [f"    {title}  WRONG, by {relative_error(right, got):.0e} of its largest entry",
                     *(["        The same."] if said and said == before else [f"        {capital(s)}." for s in said])]
            before = said
            found += [f"{title}: {s}" for s in said]
            if len(rows) > 8:
                break
    if rows:
        raise Failed("the gradients are wrong", rows, found)


def check_advantages(written, called):
    for images, samples in ((3, 5), (1, 2)):
        rewards = np.random.default_rng(images).uniform(1, 3, (images, samples))
        guard = Guard({"rewards": rewards})
        found = called(written, rewards)
        if wrote := guard.changed():
            said = f"it writes to {', '.join(wrote)}, which others still need; write to a copy"
            raise Failed(said, (), [said])
        if not isinstance(found, np.ndarray):
            said = f"it returns a {type(found).__name__}; return an array"
            raise Failed(said, (), [said])
        if found.shape != rewards.shape:
            said = f"its shape is {found.shape}, it must be {rewards.shape}: one advantage for each sample"
            raise Failed(said, (), [said])
        others = np.array([[np.delete(row, k).mean() for k in range(samples)] for row in rewards])  # (B, K)
        if not relative_error(rewards - others, found) < TOLERANCE:  # nor nan
            said = causes(found, known_of_advantages(rewards, others))
            rows = [f"    rewards {np.round(rewards[0], 4).tolist()}, yours {np.round(found[0], 4).tolist()}, "
                    f"right {np.round((rewards - others)[0], 4).tolist()}", *(f"        {capital(s)}." for s in said)]
            raise Failed("the advantages are wrong", rows, said)


def known_of_advantages(rewards, others):
    mean, samples = rewards.mean(1, keepdims=True), rewards.shape[1]
    wrong = {
        f"the sample itself is in the mean: on average the gradient is {samples - 1}/{samples} of the right one":
            rewards - mean,
        "the mean is that of all images; each image has its own": rewards - rewards.mean(),
        "the mean is that of the other images' samples; it must be that of the image's other samples":
            rewards - rewards.mean(0),
        "it is divided by the rewards' standard deviation, which depends on the sample itself":
            (rewards - mean) / rewards.std(1, keepdims=True),
        "the best sample stands in the place of the mean of the others": rewards - rewards.max(1, keepdims=True)}
    terms = {"the sample's reward": rewards, "the mean of the other samples' rewards": -others}
    return Knowledge(rewards - others, lambda: [terms], lambda: {(s,): {"": value} for s, value in wrong.items()},
                     {"the rewards": rewards}, dict(zip("BK", rewards.shape)), {}, {})


CHECKS = {"numerical_gradient": check_numerical_gradient, "decode_backward": check_decode_backward,
          "advantages": check_advantages}
