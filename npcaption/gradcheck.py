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
import argparse
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from . import layers, model, optim
from .config import ModelConfig
from .engines import compile_engine, make_engine
from .errors import ConfigError
from .parameters import Parameters, initialise, sublayers
from .support.command import arguments, command

TOLERANCE = 1e-7
TOLERANCE_FLOAT32 = 1e-5  # of the engine: its rounding, 6e-8, passes through some hundred operations a gradient
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


IMAGE_AXES = {"x": 2, "source": 2, "image": 3, "ids": 1, "targets": 1, "words": 1, "key": 0}  # of an argument, without the batch


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

    convolving = replace(config, image_size=8, patch_size=1, convolutions="4 4 3", bag=5)
    convolved, bag = ({name: normal(shape) for name, shape in sublayers(convolving)[layer].items()}
                      for layer in ("patch_embed", "bag"))
    residual = {name: normal(shape) for name, shape in sublayers(replace(convolving, convolutions="3"))["patch_embed"].items()}
    ids = np.array([[1, 3, 3, 5], [1, 4, 2, 0], [0, 0, 0, 0]])   # a repeated token, padding, a row that is all padding
    targets = np.array([[3, 3, 5, 2], [4, 0, 2, 0], [0, 0, 0, 0]])  # padding at the end and inside
    total = int((targets != 0).sum())
    words = rng.integers(0, 2, (2, 5), np.uint8)
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
        ("windows", "a batch, an odd side", dict(image=normal((2, 5, 5, 2)), size=3, stride=2)),
        ("windows", "an even side, not contiguous", dict(image=transposed(4, 4, 2), size=3, stride=2)),
        ("windows", "wider windows, every pixel", dict(image=normal((3, 3, 1)), size=5, stride=1)),
        ("convolution", "a batch", dict(x=normal((2, 4, 4, 3)), w=normal((27, 2)), b=normal(2), stride=2)),
        ("convolution", "every window", dict(x=normal((3, 3, 2)), w=normal((18, 2)), b=normal(2), stride=1)),
        ("convolution", "a single pixel", dict(x=normal((1, 1, 2)), w=normal((18, 3)), b=normal(3), stride=2)),
        ("convolution", "an odd side, not contiguous", dict(x=transposed(3, 3, 2), w=transposed(18, 2), b=every_other(2),
                                                            stride=2)),
        ("stem", "a residual convolution alone", dict(x=normal((4, 4, 3)), p={name: value for name, value in residual.items()
                                                                              if name.startswith("conv.")})),
        ("stem", "three convolutions, one residual", dict(x=normal((2, 8, 8, 3)), p={name: value for name, value in convolved.items()
                                                                     if name.startswith("conv.")})),
        ("binary_cross_entropy", "a batch", dict(logits=4 * normal((2, 5)), targets=words, total=2)),
        ("binary_cross_entropy", "far from zero", dict(logits=np.array([-40.0, -9, 9, 40]), targets=np.array([0, 1, 0, 1]),
                                                       total=1)),
        ("dropout", "a key for each image", dict(x=normal((2, 3, 4)), rate=0.4, key=keys)),
        ("dropout", "rate 0", dict(x=normal((3, 4)), rate=0.0, key=np.uint32(1))),
        ("patch_embed", "a batch", dict(image=rng.uniform(0, 255, (2, 4, 4, 3)), p=p("patch_embed"), patch_size=2)),
        ("patch_embed", "one image", dict(image=rng.uniform(0, 255, (3, 4, 4)).T, p=p("patch_embed"), patch_size=2)),
        ("patch_embed", "an image of integers", dict(image=rng.integers(0, 256, (1, 4, 4, 3), np.uint8), p=p("patch_embed"),
                                                     patch_size=2)),
        ("patch_embed", "three convolutions", dict(image=rng.uniform(0, 255, (2, 8, 8, 3)), p=convolved, patch_size=1)),
        ("patch_embed", "three convolutions of integers", dict(image=rng.integers(0, 256, (8, 8, 3), np.uint8), p=convolved,
                                                             patch_size=1)),
        ("bag_loss", "a batch", dict(source=normal((2, 3, 6)), p=bag, words=words, total=2)),
        ("bag_loss", "one patch, not contiguous", dict(source=every_other(1, 6), p=bag, words=words[0], total=3)),
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
TIED = replace(SMALL, tied=True)
CONVOLVING = replace(SMALL, image_size=16, patch_size=2, convolutions="5 6 6", bag=7)
BAG_WEIGHT = 0.3


def check_model(trained_steps, engine="numpy", config=SMALL, entries=4, seed=0):
    """{tensor: (shape, relative error)} over `entries` random entries and the steepest, of every tensor and the image.

    Three images, one caption shorter than the others, one all padding, dropout on, with the words' loss if the model has
    it; after `trained_steps` of AdamW.
    """
    dtype = np.float64 if engine == "numpy" else np.float32
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 255, (3, config.image_size, config.image_size, 3)).astype(dtype)
    ids = rng.integers(3, config.vocabulary, (3, config.max_length))
    ids[:, 0], ids[1, 5:], ids[2] = 1, 0, 0
    key = layers.fold_key(seed, np.arange(3))
    words = rng.integers(0, 2, (3, config.bag), np.uint8) if config.bag else None
    batch = image, ids, config.dropout, key
    p, g = initialise(config, seed, dtype), Parameters(config, dtype)
    runner = make_engine(engine, config, p)

    m, v, decay = np.zeros_like(p.flat), np.zeros_like(p.flat), optim.decay_of(p, 0.01, "all")
    for step in range(1, trained_steps + 1):
        runner.loss_and_gradients(*batch, g, words, BAG_WEIGHT)
        runner.update(g, m, v, decay, step, 1e-2, float("inf"), 0.9, 0.999, 1e-8)
    _, dimage = runner.loss_and_gradients(*batch, g, words, BAG_WEIGHT)

    exact, image = Parameters(config, np.float64, p.flat.astype(np.float64)), image.astype(np.float64)
    total = int((ids[:, 1:] != 0).sum())

    def loss():
        (captions, bag), _ = model.loss_forward(layers, config, exact.sublayer, image, ids[:, :-1], ids[:, 1:], total,
                                                config.dropout, key, words, len(ids))
        return captions + BAG_WEIGHT * bag

    errors = {}
    for name, x, dx in [("image", image, dimage)] + [(name, exact.named[name], g.named[name]) for name in g.named]:
        flat = [int(np.abs(dx).argmax()), *rng.integers(0, x.size, entries)]
        chosen = [np.unravel_index(i, x.shape) for i in flat]
        errors[name] = x.shape, relative_error(numerical_gradient(loss, x, chosen), np.array([dx[i] for i in chosen]))
    return errors


def check_half(config=CONVOLVING, seed=0):
    """{tensor: (shape, relative error)}: half of the losses must have half of the gradients. Training never asks for it."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 255, (2, config.image_size, config.image_size, 3))
    ids, words = rng.integers(1, config.vocabulary, (2, config.max_length)), rng.integers(0, 2, (2, config.bag), np.uint8)
    p, whole, half = initialise(config, seed, np.float64), *(Parameters(config, np.float64) for _ in range(2))
    _, cache = model.loss_forward(layers, config, p.sublayer, image, ids[:, :-1], ids[:, 1:], ids.size, 0.0, 0, words,
                                  len(ids))
    for share, g in [(1.0, whole), (0.5, half)]:
        model.loss_backward(layers, (share, share * BAG_WEIGHT), cache, g.sublayer)
    return {name: (g.shape, relative_error(0.5 * whole.named[name], g)) for name, g in half.named.items()}


# ------------------------------------------------------------------------------------------------- the command line

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


def print_model(steps, engine, tolerance, config=SMALL):
    when = (f"after {steps} steps" if steps else "at initialisation") + ", output weights tied" * config.tied + (
        ", convolutions, bag" if config.bag else "")
    print(f"\n{'whole model':<17}{when:<39}{'shape':<18}{'error':>9}")
    errors = check_model(steps, engine, config)
    return all([row("", tensor, shape, error, tolerance) for tensor, (shape, error) in errors.items()])


def main(words=None):
    names = sorted({case.layer for case in cases()})
    parser = argparse.ArgumentParser(prog="python -m npcaption.gradcheck", description=(__doc__ or "").split("\n")[0],
                                     allow_abbrev=False)
    parser.add_argument("--engine", choices=["numpy", "numba"], default="numpy", help="whose gradients to check")
    parser.add_argument("--layer", choices=names, metavar="NAME", help=f"only this one, of: {', '.join(names)}")
    options = arguments(parser, words)
    chosen = [case for case in cases() if options.layer in (None, case.layer)]
    check, tolerance = check_case, TOLERANCE
    if options.engine == "numba":
        from . import kernels
        compile_engine("numba").result()
        check, tolerance = partial(check_kernel, kernels=kernels), TOLERANCE_FLOAT32
        chosen = [case for case in chosen if hasattr(kernels, f"{case.layer}_backward")]
        if not chosen:
            raise ConfigError(f"The numba engine has no {options.layer} of its own; it offers whole sublayers.")
    right = print_layers(check, chosen, tolerance)
    if options.layer is None:
        right = all([right, *(print_model(steps, options.engine, tolerance) for steps in (0, 20)),
                     *(print_model(20, options.engine, tolerance, config) for config in (TIED, CONVOLVING))])
    print("\nAll gradients agree to" if right else "\nSome gradients do not agree to", f"{tolerance:.0e}.")
    return 0 if right else 1


if __name__ == "__main__":
    command(main)
