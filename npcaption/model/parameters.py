"""The parameters: names, shapes, counts and initial values, in one contiguous buffer.

All parameters of a model are named views of one flat array; their gradients are views of another, with the same names.
Counting, clipping, saving, optimising and checking are then one loop or one line each.
"""
import math
from dataclasses import replace

import numpy as np

NORM = {"norm.weight": "C", "norm.bias": "C"}
SELF_ATTENTION = NORM | {"qkv.weight": "C 3C", "proj.weight": "C C", "proj.bias": "C"}
CROSS_ATTENTION = NORM | {"q.weight": "C C", "kv.weight": "C 2C", "proj.weight": "C C", "proj.bias": "C"}
MLP = NORM | {"up.weight": "C F", "up.bias": "F", "down.weight": "F C", "down.bias": "C"}
PATCH_EMBED = {"proj.weight": "I C", "proj.bias": "C", "position": "P C"}
FEATURE_EMBED = {"proj.weight": "I C", "proj.bias": "C"}
FEATURE_NORM, FEATURE_POSITION = {"norm.weight": "I", "norm.bias": "I"}, {"position": "P C"}
TOKEN_EMBED = {"weight": "V C", "position": "L C"}
WORD_EMBED = {"weight": "V E", "proj.weight": "E C", "proj.bias": "C", "position": "L C"}
OUTPUT = NORM | {"linear.weight": "C V", "linear.bias": "V"}
BAG, REGRESSION = ({name: shape.replace("V", outputs) for name, shape in OUTPUT.items()} for outputs in "WZ")
HEADS = {"bag": BAG, "regression": REGRESSION}  # used only in training; key: the setting with the size


def sublayers(config):
    """{sublayer's name: {parameter's name in it: shape}}, in the order of the forward pass."""
    letters = {"C": config.channels, "2C": 2 * config.channels, "3C": 3 * config.channels, "F": config.hidden,
               "I": config.feature_width or [3, *config.convolutions][-1] * config.patch_size ** 2, "P": config.patches,
               "L": config.max_length, "V": config.vocabulary, "E": config.word_width, "W": config.bag,
               "Z": config.regression}
    if config.encoder_name:
        layers = {"feature_embed": (FEATURE_NORM if config.feature_norm else {}) | FEATURE_EMBED
                  | (FEATURE_POSITION if config.feature_position else {})}
    else:
        patch_embed = {}
        for i, (inputs, outputs, _) in enumerate(config.stem):
            letters |= {f"{i}I": 9 * inputs, f"{i}O": outputs}
            patch_embed |= {f"conv.{i}.weight": f"{i}I {i}O", f"conv.{i}.bias": f"{i}O",
                            f"conv.{i}.norm.weight": f"{i}O", f"conv.{i}.norm.bias": f"{i}O"}
        layers = {"patch_embed": patch_embed | PATCH_EMBED}
    for i in range(config.encoder_blocks):
        layers |= {f"encoder.{i}.attention": SELF_ATTENTION, f"encoder.{i}.mlp": MLP}
    layers |= {"token_embed": WORD_EMBED if config.word_width else TOKEN_EMBED}
    for i in range(config.decoder_blocks):
        layers |= {f"decoder.{i}.self_attention": SELF_ATTENTION, f"decoder.{i}.cross_attention": CROSS_ATTENTION,
                   f"decoder.{i}.mlp": MLP}
    layers |= {"output": {name: shape for name, shape in OUTPUT.items()
                          if not (config.tied and name == "linear.weight")}}
    layers |= {head: shapes for head, shapes in HEADS.items() if getattr(config, head)}
    return {layer: {name: tuple(letters[letter] for letter in shape.split()) for name, shape in names.items()}
            for layer, names in layers.items()}


def without_heads(config):
    """The ModelConfig without the training heads."""
    return replace(config, **dict.fromkeys(HEADS, 0))


class Parameters:
    """A model's parameters, or their gradients, as views of one buffer.

    flat                        the buffer, (number of parameters,)
    named["encoder.0.mlp.up.weight"]      a view by full name; weights are (in, out)
    sublayer["encoder.0.mlp"]["up.weight"]  the same view, as the sublayers take them
    """

    def __init__(self, config, dtype=np.float32, flat=None):
        """flat: buffer for the views; by default a new one of zeros"""
        self.config, layers = config, sublayers(config)
        size = sum(math.prod(shape) for names in layers.values() for shape in names.values())
        self.flat = np.zeros(size, dtype) if flat is None else flat
        self.named, self.sublayer = {}, {}
        start = 0
        for layer, names in layers.items():
            self.sublayer[layer] = {}
            for name, shape in names.items():
                view = self.flat[start:start + math.prod(shape)].reshape(shape)
                self.named[f"{layer}.{name}"] = self.sublayer[layer][name] = view
                start += view.size
        if config.tied:                                      # a view: both uses add to one gradient
            self.sublayer["output"]["linear.weight"] = self.sublayer["token_embed"]["weight"].T

    def __reduce__(self):                                    # a copy has views of its own buffer
        return type(self), (self.config, self.flat.dtype, self.flat)


def initialise(config, seed, dtype=np.float32):
    """Initial values, PyTorch's defaults: uniform +-1/sqrt(inputs) for weights and biases, N(0, 1) for the embeddings
    of tokens and their positions, 0.02 N(0, 1) for the patches' positions, norms 1 and 0.

    Tied token embeddings are N(0, 1/C): rows of N(0, 1) would give logits of size sqrt(C), and a first loss of many
    nats. Their positions are N(0, 1/C), too; larger ones would outweigh the tokens.
    """
    rng = np.random.default_rng(seed)
    parameters = Parameters(config, dtype)
    for layer, names in sublayers(config).items():
        views = parameters.sublayer[layer]
        for name, view in ((name, views[name]) for name in names):
            if "norm." in name:
                view[...] = name.endswith("weight")
            elif layer == "token_embed" and name in ("weight", "position"):
                view[...] = rng.standard_normal(view.shape)
                if config.tied:
                    view *= config.channels ** -0.5
            elif name == "position":
                view[...] = 0.02 * rng.standard_normal(view.shape)
            else:
                inputs = len(views[name.replace("bias", "weight")])
                view[...] = rng.uniform(-1, 1, view.shape) * inputs ** -0.5
    return parameters


def decay_of(parameters, weight_decay, which):
    """Weight decay of each parameter, (N,), for "all" alike, or for "matrices", not vectors, embeddings, positions."""
    decay = np.zeros_like(parameters.flat)
    start = 0
    for name, view in parameters.named.items():
        matrix = view.ndim == 2 and not name.startswith("token_embed.") and not name.endswith("position")
        decay[start:start + view.size] = weight_decay if which == "all" or matrix else 0
        start += view.size
    return decay


def components(config):
    """{component: number of parameters}, as in the tables of docs/layers.md; they add up to the total."""
    first = {"feature embedding": "feature_embed."} if config.encoder_name else {"patch embedding": "patch_embed."}
    groups = first | {"encoder": "encoder.", "token embedding": ("token_embed.weight", "token_embed.proj"),
                      "position": "token_embed.position", "decoder": "decoder.", "output": "output."}
    groups |= {"bag of words": "bag."} if config.bag else {}
    groups |= {"feature regression": "regression."} if config.regression else {}
    sizes = {f"{layer}.{name}": math.prod(shape) for layer, names in sublayers(config).items()
             for name, shape in names.items()}
    return {group: sum(size for name, size in sizes.items() if name.startswith(prefix))
            for group, prefix in groups.items()}


def table(config):
    """Table of the components with their parameters and shares, as text."""
    counts = components(config)
    total = sum(counts.values())
    rows = [f"{group:<18}{count:>10,}{count / total:>8.1%}" for group, count in counts.items()]
    return "\n".join([f"{'component':<18}{'parameters':>10}{'share':>8}", *rows, f"{'total':<18}{total:>10,}{1:>8.1%}"])
