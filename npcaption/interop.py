"""To and from the state of the same model in PyTorch: a mapping from names to arrays, torch itself not needed.

torch holds a linear layer's weights as (out, in), ours are (in, out); it holds the query, key and value of every head
apart, where ours are side by side in one matrix. Each of its entries is therefore a view of one of our arrays. Reading
from the views exports, writing to them imports, and those of gradients have torch's names. No bit changes.
"""
import math
import re

import numpy as np

from .captioner import Captioner
from .config import Config, ModelConfig, check
from .errors import CheckpointError, ConfigError
from .parameters import Parameters

OUTSIDE = {"patch_embed.proj": "patch_embed.proj", "output.norm": "ln_f", "output.linear": "lm_head"}
ENCODER = {"attention.norm": "ln1", "attention.proj": "mha.proj",
           "mlp.norm": "ln2", "mlp.up": "mlp.net.0", "mlp.down": "mlp.net.2"}
DECODER = {"self_attention.norm": "ln1", "self_attention.proj": "self_attn.proj",
           "cross_attention.norm": "ln2", "cross_attention.proj": "cross_attn.proj",
           "mlp.norm": "ln3", "mlp.up": "mlp.net.0", "mlp.down": "mlp.net.2"}
ENCODER_HEADS = {"attention.qkv": ("mha", "query key value")}
DECODER_HEADS = {"self_attention.qkv": ("self_attn", "query key value"),
                 "cross_attention.q": ("cross_attn", "query"), "cross_attention.kv": ("cross_attn", "key value")}
TABLES = {"token_embed.weight": "token_embed.weight", "token_embed.position": "pos_embed.weight"}


def pairs(config):
    """(our name, torch's names of its columns from left to right) for every parameter of the model

    ConfigError for a model with what the original has not.
    """
    if config.convolutions or config.bag:
        raise ConfigError("The original PyTorch model has no convolutions and no bag of words, so a model with them has no "
                          "state that it could load. Of a bag of words best.npz is free, which last.npz is not.")
    blocks = [(f"encoder.{i}.", f"encoder_blocks.{i}.", ENCODER, ENCODER_HEADS) for i in range(config.encoder_blocks)]
    blocks += [(f"decoder.{i}.", f"decoder_blocks.{i}.", DECODER, DECODER_HEADS) for i in range(config.decoder_blocks)]
    yield "patch_embed.position", ["patch_embed.pos_embd"]
    for name, other in TABLES.items():
        yield name, [other]
    for ours, theirs, modules, heads in [("", "", OUTSIDE, {}), *blocks]:
        for name, other in modules.items():
            for kind in ("weight", "bias"):
                yield f"{ours}{name}.{kind}", [f"{theirs}{other}.{kind}"]
        for name, (other, roles) in heads.items():
            yield f"{ours}{name}.weight", [f"{theirs}{other}.heads.{h}.{role}.weight"
                                           for role in roles.split() for h in range(config.heads)]


def torch_views(parameters, config):
    """{torch's name: its values as a view of `parameters`, or of gradients, in torch's shape}"""
    views, tied = {}, {"output.linear.weight": parameters.sublayer["output"]["linear.weight"]}
    for name, others in pairs(config):
        for other, part in zip(others, np.split((tied | parameters.named)[name], len(others), axis=-1)):
            if name == "patch_embed.position":
                part = part[None]                            # (1, P, C)
            elif name not in TABLES:
                part = part.T                                # (out, in); a vector stays as it is
            views[other] = part
    return views


def to_torch_state(captioner):
    """The captioner's parameters as torch's load_state_dict takes them, once each is a tensor.  -> {name: array}"""
    views = torch_views(captioner.parameters, captioner.config)
    return {name: np.array(view, order="C") for name, view in views.items()}


def from_torch_state(state, tokenizer):
    """The captioner that a state_dict and its tokenizer make; CheckpointError if they do not fit."""
    config, parameters = parameters_from_torch_state(state)
    if tokenizer.size != config.vocabulary:
        raise CheckpointError(f"The state has a vocabulary of {config.vocabulary} tokens, the tokenizer one of "
                              f"{tokenizer.size}: give the tokenizer that the model was trained with.")
    return Captioner(config, tokenizer, parameters)


def parameters_from_torch_state(state):
    """{name: array or CPU tensor} -> (ModelConfig, Parameters): float64 if any entry is, else float32

    CheckpointError names the first entry that is missing, not known, or not of the shape that the others imply.
    """
    state = {name: np.asarray(value) for name, value in state.items()}
    config = config_of(state)
    double = any(value.dtype == np.float64 for value in state.values())
    parameters = Parameters(config, np.float64 if double else np.float32)
    views = torch_views(parameters, config)
    for name in views:
        if name not in state:
            raise CheckpointError(f"The state has no '{name}'; expected an array of shape {views[name].shape}.")
    for name, value in state.items():
        if name not in views:
            raise CheckpointError(f"The state has '{name}', which is no part of the model; expected are "
                                  f"the {len(views)} entries of its embeddings, blocks, last norm and head.")
        if value.shape != views[name].shape:
            raise CheckpointError(f"'{name}' has shape {value.shape}; expected {views[name].shape}.")
        if value.dtype not in (np.float16, np.float32, np.float64):
            raise CheckpointError(f"'{name}' holds {value.dtype}; expected float16, float32 or float64.")
        views[name][...] = value
    return config, parameters


def config_of(state):
    """The model's settings as its arrays' shapes and names tell them.  {name: array} -> ModelConfig"""
    def shape(name, axes):
        if name not in state:
            raise CheckpointError(f"The state has no '{name}'; expected an array ({axes}).")
        if state[name].ndim != len(axes.split(", ")):
            raise CheckpointError(f"'{name}' has shape {state[name].shape}; expected ({axes}).")
        return state[name].shape

    def count(pattern):                                      # different numbers, so that a gap shows as a missing entry
        return len({found[1] for found in map(re.compile(pattern).search, map(str, state)) if found})

    _, patches, channels = shape("patch_embed.pos_embd", "1, patches, channels")
    patch_size = math.isqrt(shape("patch_embed.proj.weight", "channels, 3 * patch size squared")[1] // 3)
    config = ModelConfig(
        image_size=math.isqrt(patches) * patch_size, patch_size=patch_size, channels=channels,
        heads=count(r"\.heads\.(\d+)\."), hidden=shape("encoder_blocks.0.mlp.net.0.weight", "hidden, channels")[0],
        encoder_blocks=count(r"^encoder_blocks\.(\d+)\."), decoder_blocks=count(r"^decoder_blocks\.(\d+)\."),
        max_length=shape("pos_embed.weight", "maximal length, channels")[0],
        vocabulary=shape("token_embed.weight", "vocabulary, channels")[0])
    try:
        check(Config(config))
    except ConfigError as error:
        raise CheckpointError(f"The state's shapes are not those of a model: {error}") from error
    return config
