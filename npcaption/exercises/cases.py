"""Cases of the exercises: one with random numbers, one small enough for paper, and the traps.

The sizes of a random case are different primes above 2: a factor in a wrong gradient then has only one name.
"""
from typing import NamedTuple

import numpy as np

from .. import layers
from ..gradcheck.cases import cases


class Case(NamedTuple):
    about: str
    arguments: dict
    sizes: dict                 # {name: number}, the names of factors


def paper(layer):
    """The case on paper, or None.  -> Case with its dout

    It has two rows: with one row, a mean would equal the sum. An axis of length 1 is the batch.
    """
    a = np.array
    found = {
        "linear": (dict(x=a([[[1., 0], [2, 1], [0, 3]]]), w=a([[1., 2, -1], [0, 1, 3]]), b=a([1., 0, 0])),
                   a([[[1., 1, 0], [0, 1, 1], [-1, -1, 2]]])),
        "gelu": (dict(x=a([[0., 1], [-1, 2]])), a([[1., 2], [1, -1]])),
        "cross_entropy": (dict(logits=np.log(a([[[1., 2, 1, 4], [1, 1, 3, 3]]])), targets=a([[1, 2]]), total=2),
                          np.float64(1)),
        "embedding": (dict(ids=a([[1, 3, 3]]), w=a([[0., 0], [1, 2], [3, 4], [5, 6]])), a([[[1., 0], [2, 1], [0, 3]]])),
        "layernorm": (dict(x=a([[[7., 1, 1, -1], [3, 1, 3, 1]]]), w=a([3., 1, 2, 1]), b=np.zeros(4)),
                      a([[[1., 2, -1, 1], [1, -1, 0, 2]]])),
        "attention": (dict(q=a([[[[1.], [0.]]]]), k=a([[[[0.], [0], [np.log(2)]]]]), v=a([[[[4.], [0], [4]]]]),
                           causal=False), a([[[[1.], [-1]]]])),
    }.get(layer)
    return found and (Case("on paper", found[0], {}), found[1])


def random(layer, batch=None):
    """The random case of a pair.  batch: size of the first axis, for timing; by default a small prime."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal

    def arrays(**shapes):
        return {name: normal(shape) for name, shape in shapes.items()}

    def p(**shapes):                                         # parameters' names, with __ for the dot
        return {name.replace("__", "."): normal(shape) for name, shape in shapes.items()}

    def norm(c):
        return dict(norm__weight=c, norm__bias=c)

    def repeated(high, *shape):                              # every id several times, including 0
        return np.resize(np.roll(np.arange(high), 1), shape)

    def convolutions():
        return {f"conv__{i}__{name}": shape for i, (inputs, outputs, _) in enumerate(STEM) for name, shape in {
            "weight": (9 * inputs, outputs), "bias": outputs, **norm(outputs)}.items()}

    n = batch or 3
    keys = layers.fold_key(7, np.arange(n))
    each = rng.uniform(0.5, 2, n)                            # weights of the captions
    counted = {"the number of targets": int((repeated(4, n, 5) != 0).sum()),
               "the sum of the weights": float(((repeated(4, n, 5) != 0) * each[:, None]).sum())}
    drop = dict(rate=0.3, key=keys)
    small = dict(B=n, T=5, C=7)
    made = {
        "projection": lambda: (arrays(x=(n, 5, 7), w=(7, 11)), dict(B=n, T=5, I=7, O=11)),
        "linear": lambda: (arrays(x=(n, 5, 7), w=(7, 11), b=11), dict(B=n, T=5, I=7, O=11)),
        "gelu": lambda: (arrays(x=(n, 5, 7)), small),
        "cross_entropy": lambda: (dict(logits=normal((n, 5, 7)), targets=repeated(4, n, 5), total=17,
                                       weights=each), dict(B=n, T=5, V=7, total=17) | counted),
        "binary_cross_entropy": lambda: (dict(logits=normal((n, 5)), targets=rng.integers(0, 2, (n, 5)), total=7),
                                         dict(B=n, W=5, total=7)),
        "embedding": lambda: (dict(ids=repeated(7, n, 5), w=normal((11, 7))), small | dict(V=11)),
        "position": lambda: (arrays(x=(n, 5, 7), w=(11, 7)), small | dict(L=11)),
        "layernorm": lambda: (dict(x=0.4 + 1.7 * normal((n, 5, 7)), w=normal(7), b=normal(7)), small),
        "attention": lambda: (arrays(q=(n, 5, 7, 13), k=(n, 5, 11, 13), v=(n, 5, 11, 13)) | dict(causal=False),
                              dict(B=n, H=5, T=7, S=11, D=13)),
        "split_heads": lambda: (dict(x=normal((n, 5, 77)), heads=7), dict(B=n, T=5, H=7, D=11)),
        "merge_heads": lambda: (arrays(x=(n, 7, 5, 11)), dict(B=n, T=5, H=7, D=11)),
        "patches": lambda: (dict(image=normal((n, 35, 35, 11)), size=5), dict(B=n, size=5, C=11)),
        "windows": lambda: (dict(image=normal((n, 7, 7, 11)), size=5, stride=2), dict(B=n, size=5, C=11, N=4)),
        "convolution": lambda: (arrays(x=(n, 7, 7, 11), w=(99, 13), b=13) | dict(stride=2),
                                dict(B=n, A=7, C=11, O=13, N=4)),
        "dropout": lambda: (dict(x=normal((n, 5, 7)), rate=0.3, key=keys), small),
        "mlp": lambda: (dict(x=normal((n, 5, 7)), p=p(**norm(7), up__weight=(7, 11), up__bias=11, down__weight=(11, 7),
                                                      down__bias=7), **drop), small | dict(F=11)),
        "self_attention": lambda: (dict(x=normal((n, 5, 77)), p=p(
            **norm(77), qkv__weight=(77, 231), proj__weight=(77, 77), proj__bias=77), heads=7, causal=True, **drop),
            dict(B=n, T=5, H=7, D=11)),
        "cross_attention": lambda: (dict(x=normal((n, 5, 77)), source=normal((n, 13, 77)), p=p(
            **norm(77), q__weight=(77, 77), kv__weight=(77, 154), proj__weight=(77, 77), proj__bias=77), heads=7,
            **drop),
            dict(B=n, T=5, S=13, H=7, D=11)),
        "token_embed": lambda: (dict(ids=repeated(7, n, 5), p=p(weight=(11, 7), position=(13, 7))), small | dict(V=11)),
        "output": lambda: (dict(x=normal((n, 5, 7)), p=p(**norm(7), linear__weight=(7, 11), linear__bias=11)),
                           small | dict(V=11)),
        "output_loss": lambda: (dict(x=normal((n, 5, 7)), p=p(**norm(7), linear__weight=(7, 11), linear__bias=11),
                                     targets=repeated(4, n, 5), total=17, weights=rng.uniform(0.5, 2, n)),
                                small | dict(V=11, total=17)),
        "bag_loss": lambda: (dict(source=normal((n, 5, 7)), p=p(**norm(7), linear__weight=(7, 11), linear__bias=11),
                                  words=rng.integers(0, 2, (n, 11)), total=13), dict(B=n, P=5, C=7, W=11, total=13)),
        "patch_embed": lambda: (dict(image=rng.uniform(0, 255, (n, 10, 10, 3)), p=p(
            proj__weight=(75, 7), proj__bias=7, position=(4, 7)), patch_size=5, stem=()), dict(B=n, P=4, C=7)),
        "feature_embed": lambda: (dict(features=normal((n, 5, 11)), p=p(
            **norm(11), proj__weight=(11, 7), proj__bias=7, position=(5, 7)), **drop), dict(B=n, P=5, I=11, C=7)),
        "stem": lambda: (dict(x=normal((n, 8, 8, 3)), p=p(**convolutions()), stem=STEM), dict(B=n)),
    }[layer]
    arguments, sizes = made()
    return Case("on random numbers", arguments, sizes)


BATCHED = ("x", "source", "image", "features", "ids", "logits", "targets", "weights", "words", "key", "q", "k",
           "v")                 # arguments with a batch axis
STEM = (3, 5, 2), (5, 5, 1), (5, 7, 2)  # inputs, outputs, stride


def traps(layer):
    """A case without a batch axis, and the edge cases of the gradient checks.

    They have arrays that are not contiguous, padding, repeated ids, other lengths, dropout.
    """
    arguments = random(layer).arguments
    alone = Case("no batch axis", {n: value[0] if n in BATCHED else value for n, value in arguments.items()}, {})
    return [alone] + [Case(case.about, case.arguments, {}) for case in cases() if case.layer == layer]
