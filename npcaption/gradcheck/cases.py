"""Test cases of every layer: small arguments of all kinds, including the edge cases that break a backward."""
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .. import layers
from ..config import ModelConfig
from ..model.parameters import sublayers
from .numeric import check


class Case(NamedTuple):
    layer: str                  # X of X_forward and X_backward
    about: str                  # the special feature of the case
    arguments: dict             # by name; float arrays and mappings of them are checked, the others are settings


def cases():
    """Small cases of every pair; together they expose any wrong backward."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal
    config = ModelConfig(image_size=4, patch_size=2, channels=6, heads=2, hidden=5, encoder_blocks=1, decoder_blocks=1,
                         max_length=6, vocabulary=7)

    def p(layer):
        return {name: normal(shape) for name, shape in sublayers(config)[layer].items()}

    def transposed(*shape):                                  # not contiguous
        return normal(shape[::-1]).T

    def every_other(*shape):
        return normal((*shape[:-1], 2 * shape[-1]))[..., ::2]

    def convolutions(p):
        return {name: value for name, value in p.items() if name.startswith("conv.")}

    convolving = replace(config, image_size=8, patch_size=1, convolutions=(4, 4, 3), bag=5)
    convolved, bag = ({name: normal(shape) for name, shape in sublayers(convolving)[layer].items()}
                      for layer in ("patch_embed", "bag"))
    alone = replace(convolving, convolutions=(3,))
    residual = {name: normal(shape) for name, shape in sublayers(alone)["patch_embed"].items()}
    frozen = replace(config, encoder_name="frozen", feature_tokens=4, feature_width=5, feature_norm=True,
                     feature_position=True, word_width=4)
    of_features, of_words = ({name: normal(shape) for name, shape in sublayers(frozen)[layer].items()}
                             for layer in ("feature_embed", "token_embed"))
    bare = {name: value for name, value in of_features.items() if name.startswith("proj.")}
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
        ("convolution", "an odd side, not contiguous", dict(x=transposed(3, 3, 2), w=transposed(18, 2),
                                                            b=every_other(2), stride=2)),
        ("stem", "a residual convolution alone", dict(x=normal((4, 4, 3)), p=convolutions(residual), stem=alone.stem)),
        ("stem", "three convolutions, one residual", dict(x=normal((2, 8, 8, 3)), p=convolutions(convolved),
                                                          stem=convolving.stem)),
        ("binary_cross_entropy", "a batch", dict(logits=4 * normal((2, 5)), targets=words, total=2)),
        ("binary_cross_entropy", "far from zero", dict(logits=np.array([-40.0, -9, 9, 40]),
                                                       targets=np.array([0, 1, 0, 1]), total=1)),
        ("dropout", "a key for each image", dict(x=normal((2, 3, 4)), rate=0.4, key=keys)),
        ("dropout", "rate 0", dict(x=normal((3, 4)), rate=0.0, key=np.uint32(1))),
        ("patch_embed", "a batch", dict(image=rng.uniform(0, 255, (2, 4, 4, 3)), p=p("patch_embed"), patch_size=2,
                                        stem=())),
        ("patch_embed", "one image", dict(image=rng.uniform(0, 255, (3, 4, 4)).T, p=p("patch_embed"), patch_size=2,
                                          stem=())),
        ("patch_embed", "an image of integers", dict(image=rng.integers(0, 256, (1, 4, 4, 3), np.uint8),
                                                     p=p("patch_embed"), patch_size=2, stem=())),
        ("patch_embed", "three convolutions", dict(image=rng.uniform(0, 255, (2, 8, 8, 3)), p=convolved, patch_size=1,
                                                    stem=convolving.stem)),
        ("patch_embed", "three convolutions of integers", dict(image=rng.integers(0, 256, (8, 8, 3), np.uint8),
                                                               p=convolved, patch_size=1, stem=convolving.stem)),
        ("bag_loss", "a batch", dict(source=normal((2, 3, 6)), p=bag, words=words, total=2)),
        ("bag_loss", "one patch, not contiguous", dict(source=every_other(1, 6), p=bag, words=words[0], total=3)),
        ("token_embed", "padding, repeated tokens", dict(ids=ids, p=p("token_embed"))),
        ("token_embed", "one token", dict(ids=np.array([1]), p=p("token_embed"))),
        ("token_embed", "word vectors of another width, repeated tokens", dict(ids=ids, p=of_words)),
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
    for about, features, parameters, dropping in [
            ("norm and position", normal((2, 4, 5)), of_features, no_drop),
            ("the projection alone, not contiguous", transposed(4, 5), bare, no_drop),
            ("norm, position and dropout", normal((2, 4, 5)), of_features, drop),
            ("the projection and dropout", normal((2, 4, 5)), bare, drop)]:
        found.append(("feature_embed", about, dict(features=features, p=parameters, **dropping)))
    weighted = dict(targets=targets, total=total, weights=np.array([3, -2, 1]))  # integers: no gradient
    found += [("cross_entropy", "weighted captions", dict(logits=normal((3, 4, 7)), **weighted)),
              ("output_loss", "weighted captions", dict(x=normal((3, 4, 6)), p=p("output"), **weighted))]
    # A teacher's targets are integers, too. Three ids for each token's distribution, not in their order.
    likeliest = np.argsort(rng.random((3, 4, 7)), -1)[..., :3] * (targets != 0)[..., None]
    probabilities = rng.integers(1, 9, (3, 4, 3)) * (targets != 0)[..., None]
    soft = dict(likeliest=likeliest, probabilities=probabilities, total=total)
    row = dict(likeliest=likeliest[0, :1], probabilities=probabilities[0, :1], total=3)
    weights = weighted["weights"]
    regression = {name: normal(shape) for name, shape in sublayers(replace(config, regression=4))["regression"].items()}
    found += [
        ("soft_cross_entropy", "padding", dict(logits=normal((3, 4, 7)), **soft)),
        ("soft_cross_entropy", "weighted captions", dict(logits=normal((3, 4, 7)), **soft, weights=weights)),
        ("soft_cross_entropy", "one token, not contiguous", dict(logits=every_other(1, 7), **row)),
        ("output_soft_loss", "padding, a row that is all padding", dict(x=normal((3, 4, 6)), p=p("output"), **soft)),
        ("output_soft_loss", "weighted captions", dict(x=normal((3, 4, 6)), p=p("output"), **soft, weights=weights)),
        ("output_soft_loss", "one token", dict(x=transposed(1, 6), p=p("output"), **row)),
        ("squared_error", "a batch", dict(x=normal((2, 5)), target=rng.integers(-3, 4, (2, 5)), total=7)),
        ("squared_error", "one number, not contiguous", dict(x=every_other(1), target=np.array([2]), total=1)),
        ("feature_regression", "a batch", dict(source=normal((2, 3, 6)), p=regression,
                                               pooled=rng.integers(-2, 3, (2, 4)), total=2)),
        ("feature_regression", "one patch, not contiguous", dict(source=every_other(1, 6), p=regression,
                                                                 pooled=np.array([1, 0, -2, 1]), total=3))]
    return [Case(*case) for case in found]


def check_case(case):
    """Report on a textbook pair in one case."""
    forward, backward = (getattr(layers, f"{case.layer}_{way}") for way in ("forward", "backward"))
    return check(forward, backward, **case.arguments)
