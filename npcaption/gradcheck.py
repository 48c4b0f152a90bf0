"""Every hand-written gradient against a numerical one.

    python -m npcaption.gradcheck                     all layers, then the whole model
    python -m npcaption.gradcheck --layer attention   one layer

The output is projected on a random dout, which makes it one number f; each entry x of each argument is moved, and

    df/dx = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h + O(h^4)

must agree with the backward's. In float64 this central difference of fourth order (Fornberg 1988, table 1) comes to
within a few 1e-8, and a wrong sign, scale, transpose or term is off by 1e-3 at the least. An argument's error is
the largest difference over its entries, relative to its largest gradient.
"""
import argparse
import sys
from typing import NamedTuple

import numpy as np

from . import layers, model, optim
from .config import ModelConfig
from .parameters import Parameters, initialise, sublayers

TOLERANCE = 1e-7
STEP = 5e-4  # of the spread of the argument: truncation, h^4, and rounding, 1e-16 / h, both stay small


class Case(NamedTuple):
    layer: str                  # X of X_forward and X_backward
    about: str                  # what is special in it
    arguments: dict             # by name; float arrays and mappings of them are checked, all else is a setting


# ------------------------------------------------------------------------------------------------ numerical gradients

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


def check_pair(forward, backward, arguments, seed=0):
    """{argument: (shape, relative error)}; a sublayer's parameters are named p[...]."""
    rng = np.random.default_rng(seed)
    out, cache = forward(**arguments)
    dout = rng.standard_normal(np.shape(out))                # random, so that no error of a sign or place cancels

    checked, gradients = {}, {}
    returned = [name for name, value in arguments.items() if getattr(value, "dtype", None) == np.float64]
    checked |= {name: arguments[name] for name in returned}
    if "p" in arguments:                                     # g starts filled: the backward must add
        before = {name: rng.standard_normal(value.shape) for name, value in arguments["p"].items()}
        g = {name: value.copy() for name, value in before.items()}
        result = backward(dout, cache, g)
        checked |= {f"p[{name}]": value for name, value in arguments["p"].items()}
        gradients |= {f"p[{name}]": g[name] - before[name] for name in g}
    else:
        result = backward(dout, cache)
    results = [dx for dx in (result if isinstance(result, tuple) else (result,)) if dx is not None]
    assert len(results) == len(returned), f"{len(results)} gradients for {', '.join(returned) or 'no float array'}"
    gradients |= dict(zip(returned, results))

    def projected():
        return float((forward(**arguments)[0] * dout).sum())

    errors = {}
    for name, x in checked.items():
        numeric = numerical_gradient(projected, x, list(np.ndindex(x.shape))).reshape(x.shape)
        assert gradients[name].shape == x.shape, f"d{name} has shape {gradients[name].shape}, {name} has {x.shape}"
        errors[name] = x.shape, relative_error(numeric, gradients[name])
    return errors


def check_case(case, engine=layers, seed=0):
    forward, backward = (getattr(engine, f"{case.layer}_{way}") for way in ("forward", "backward"))
    return check_pair(forward, backward, case.arguments, seed)


# --------------------------------------------------------------------------------------------------------- the cases

def cases():
    """Small cases of every pair; together they hold what a wrong backward could hide behind."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal
    config = ModelConfig(image_size=4, patch_size=2, channels=6, heads=2, hidden=5, encoder_blocks=1, decoder_blocks=1,
                         max_length=6, vocabulary=7)

    def p(layer):
        return {name: normal(shape) for name, shape in sublayers(config)[layer].items()}

    def transposed(*shape):                                  # as a caller might hand it in: not contiguous
        return normal(shape[::-1]).T

    def every_other(*shape):
        return normal((*shape[:-1], 2 * shape[-1]))[..., ::2]

    ids = np.array([[1, 3, 3, 5], [1, 4, 2, 0], [0, 0, 0, 0]])   # a repeated token, padding, a row that is all padding
    targets = np.array([[3, 3, 5, 2], [4, 0, 2, 0], [0, 0, 0, 0]])  # padding at the end and inside
    total = int((targets != 0).sum())
    keys = layers.fold_key(7, np.arange(2))

    found = [
        ("patches", "a batch", dict(image=normal((2, 4, 4, 3)), size=2)),
        ("patches", "one image, 9 patches", dict(image=normal((6, 6, 3)), size=2)),
        ("patches", "one patch, not contiguous", dict(image=transposed(2, 2, 3), size=2)),
        ("linear", "a batch", dict(x=normal((2, 3, 4)), w=normal((4, 5)), b=normal(5))),
        ("linear", "one row", dict(x=normal((1, 4)), w=normal((4, 3)), b=normal(3))),
        ("linear", "not contiguous", dict(x=transposed(2, 3, 4), w=transposed(4, 5), b=every_other(5))),
        ("projection", "a batch", dict(x=normal((2, 3, 4)), w=normal((4, 5)))),
        ("projection", "not contiguous", dict(x=every_other(2, 3, 4), w=transposed(4, 5))),
        ("layernorm", "a batch", dict(x=normal((2, 3, 6)), w=normal(6), b=normal(6))),
        ("layernorm", "far from the origin", dict(x=5 + 0.1 * normal((1, 1, 4)), w=normal(4), b=normal(4))),
        ("layernorm", "nearly constant rows: eps matters", dict(x=1e-2 * normal((2, 5)), w=normal(5), b=normal(5))),
        ("layernorm", "not contiguous", dict(x=transposed(3, 2, 4), w=every_other(4), b=normal(4))),
        ("gelu", "both tails", dict(x=np.linspace(-6, 6, 25))),
        ("gelu", "not contiguous", dict(x=transposed(2, 3, 4))),
        ("split_heads", "a batch", dict(x=normal((2, 3, 6)), heads=2)),
        ("split_heads", "heads of one channel, no batch", dict(x=normal((3, 4)), heads=4)),
        ("merge_heads", "a batch", dict(x=normal((2, 3, 4, 2)))),
        ("merge_heads", "one head, not contiguous", dict(x=transposed(1, 4, 2))),
        ("attention", "sources and text of other lengths", dict(q=normal((2, 2, 3, 4)), k=normal((2, 2, 5, 4)),
                                                                v=normal((2, 2, 5, 4)), causal=False)),
        ("attention", "causal", dict(q=normal((2, 2, 4, 3)), k=normal((2, 2, 4, 3)), v=normal((2, 2, 4, 3)),
                                     causal=True)),
        ("attention", "causal, fewer queries than sources", dict(q=normal((1, 2, 3)), k=normal((1, 4, 3)),
                                                                 v=normal((1, 4, 3)), causal=True)),
        ("attention", "one token", dict(q=normal((1, 1, 1, 3)), k=normal((1, 1, 1, 3)), v=normal((1, 1, 1, 3)),
                                        causal=True)),
        ("attention", "not contiguous", dict(q=transposed(2, 3, 4), k=every_other(2, 5, 4), v=transposed(2, 5, 4),
                                             causal=False)),
        ("embedding", "repeated tokens", dict(ids=ids, w=normal((7, 3)))),
        ("embedding", "one token", dict(ids=np.array([2]), w=normal((4, 3)))),
        ("position", "a batch shorter than the table", dict(x=normal((2, 3, 4)), w=normal((5, 4)))),
        ("position", "no batch, the whole table", dict(x=transposed(5, 4), w=transposed(5, 4))),
        ("cross_entropy", "padding", dict(logits=normal((3, 4, 7)), targets=targets, total=total)),
        ("cross_entropy", "a piece of a batch", dict(logits=normal((4, 7)), targets=targets[0], total=11)),
        ("cross_entropy", "all padding", dict(logits=normal((1, 4, 7)), targets=targets[2:], total=1)),
        ("cross_entropy", "one token, not contiguous", dict(logits=every_other(1, 7), targets=np.array([4]), total=1)),
        ("dropout", "a key for each image", dict(x=normal((2, 3, 4)), rate=0.4, key=keys)),
        ("dropout", "rate 0", dict(x=normal((3, 4)), rate=0.0, key=np.uint32(1))),
        ("patch_embed", "a batch", dict(image=rng.uniform(0, 255, (2, 4, 4, 3)), p=p("patch_embed"), patch_size=2)),
        ("patch_embed", "one image", dict(image=rng.uniform(0, 255, (3, 4, 4)).T, p=p("patch_embed"), patch_size=2)),
        ("patch_embed", "an image of integers", dict(image=rng.integers(0, 256, (1, 4, 4, 3), np.uint8), p=p("patch_embed"),
                                                     patch_size=2)),
        ("token_embed", "padding, repeated tokens", dict(ids=ids, p=p("token_embed"))),
        ("token_embed", "one token", dict(ids=np.array([1]), p=p("token_embed"))),
        ("output", "a batch", dict(x=normal((2, 3, 6)), p=p("output"))),
        ("output_loss", "padding, a row that is all padding", dict(x=normal((3, 4, 6)), p=p("output"), targets=targets,
                                                                   total=total)),
        ("output_loss", "one token", dict(x=transposed(1, 6), p=p("output"), targets=np.array([3]), total=1)),
    ]
    no_drop, drop = dict(rate=0.0, key=np.uint32(0)), dict(rate=0.3, key=keys)
    for about, x, causal, dropping in [
            ("a batch", normal((2, 4, 6)), False, no_drop),
            ("causal", normal((2, 4, 6)), True, no_drop),
            ("one token", normal((1, 1, 6)), True, no_drop),
            ("dropout", normal((2, 3, 6)), False, drop),
            ("no batch, not contiguous", transposed(3, 6), True, no_drop)]:
        arguments = dict(x=x, p=p("encoder.0.attention"), heads=2, causal=causal, **dropping)
        found.append(("self_attention", about, arguments))
    for about, x, source, heads, dropping in [
            ("a batch", normal((2, 3, 6)), normal((2, 5, 6)), 2, no_drop),
            ("one token, three heads", normal((1, 1, 6)), normal((1, 4, 6)), 3, no_drop),
            ("one source", normal((2, 3, 6)), normal((2, 1, 6)), 2, no_drop),
            ("dropout", normal((2, 3, 6)), normal((2, 4, 6)), 2, drop),
            ("no batch, not contiguous", transposed(3, 6), every_other(4, 6), 1, no_drop)]:
        arguments = dict(x=x, source=source, p=p("decoder.0.cross_attention"), heads=heads, **dropping)
        found.append(("cross_attention", about, arguments))
    for about, x, dropping in [
            ("a batch", normal((2, 3, 6)), no_drop),
            ("dropout", normal((2, 3, 6)), drop),
            ("one token, not contiguous", every_other(1, 6), no_drop)]:
        found.append(("mlp", about, dict(x=x, p=p("encoder.0.mlp"), **dropping)))
    return [Case(*case) for case in found]


# --------------------------------------------------------------------------------------------------- the whole model

SMALL = ModelConfig(image_size=24, patch_size=8, channels=16, heads=4, hidden=24, encoder_blocks=2, decoder_blocks=2,
                    max_length=9, vocabulary=11, dropout=0.1)


def check_model(trained_steps, engine=layers, config=SMALL, entries=4, seed=0):
    """{tensor: (shape, relative error)} over `entries` random entries and the steepest, of every tensor and the image.

    Three images, one caption shorter than the others, one all padding, dropout on; after `trained_steps` of AdamW.
    """
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 255, (3, config.image_size, config.image_size, 3))
    ids = rng.integers(3, config.vocabulary, (3, config.max_length))
    ids[:, 0], ids[1, 5:], ids[2] = 1, 0, 0
    targets = ids[:, 1:]
    total = int((targets != 0).sum())
    p, g = initialise(config, seed, dtype=np.float64), Parameters(config, np.float64)
    key = layers.fold_key(seed, np.arange(3))

    def loss():
        return model.loss_forward(engine, config, p.sublayer, image, ids[:, :-1], targets, total, config.dropout, key)

    def gradients():
        g.flat[...] = 0
        return model.loss_backward(engine, 1.0, loss()[1], g.sublayer)

    m, v, decay = np.zeros_like(p.flat), np.zeros_like(p.flat), optim.decay_of(p, 0.01, "all")
    for step in range(1, trained_steps + 1):
        gradients()
        optim.adamw(p.flat, g.flat, m, v, step, 1e-2, 0.9, 0.999, 1e-8, decay)

    dimage = gradients()
    errors = {}
    for name, x, dx in [("image", image, dimage)] + [(name, p.named[name], g.named[name]) for name in p.named]:
        flat = [int(np.abs(dx).argmax()), *rng.integers(0, x.size, entries)]
        chosen = [np.unravel_index(i, x.shape) for i in flat]
        numeric = numerical_gradient(lambda: loss()[0], x, chosen)
        errors[name] = x.shape, relative_error(numeric, np.array([dx[i] for i in chosen]))
    return errors


# ------------------------------------------------------------------------------------------------- the command line

def row(first, second, shape, error):
    verdict = "ok" if error < TOLERANCE else "WRONG"
    print(f"{first:<17}{second:<39}{str(shape):<18}{error:>9.1e}  {verdict}", flush=True)
    return error < TOLERANCE


def print_layers(name=None):
    """One row per layer and argument, the worst of its cases; True if all are right."""
    worst = {}
    for case in cases():
        if name in (None, case.layer):
            for argument, (shape, error) in check_case(case).items():
                key = case.layer, argument
                worst[key] = max(worst.get(key, (shape, -1.0)), (shape, error), key=lambda found: (np.isnan(found[1]), found[1]))
    print(f"{'layer':<17}{'argument':<39}{'shape':<18}{'error':>9}")
    return all([row(layer, argument, shape, error) for (layer, argument), (shape, error) in worst.items()])


def print_model(steps):
    when = f"after {steps} steps" if steps else "at initialisation"
    print(f"\n{'whole model':<17}{when:<39}{'shape':<18}{'error':>9}")
    return all([row("", tensor, shape, error) for tensor, (shape, error) in check_model(steps).items()])


def main(arguments=None):
    names = sorted({case.layer for case in cases()})
    parser = argparse.ArgumentParser(prog="python -m npcaption.gradcheck", description=__doc__.split("\n")[0])
    parser.add_argument("--engine", choices=["numpy"], default="numpy", help="whose gradients to check")
    parser.add_argument("--layer", choices=names, metavar="NAME", help=f"only this one, of: {', '.join(names)}")
    options = parser.parse_args(arguments)
    right = print_layers(options.layer)
    if options.layer is None:
        right = all([right, print_model(0), print_model(20)])
    print("\nAll gradients agree to" if right else "\nSome gradients do not agree to", f"{TOLERANCE:.0e}.")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
