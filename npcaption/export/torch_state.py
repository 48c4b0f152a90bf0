"""PyTorch states: conversion to and from the state of the original model, without the package torch.

torch stores a linear layer's weights as (out, in), we as (in, out); torch stores the query, key and value of every head
separately, we in one matrix. So each of its entries is a view of one of our arrays. Reading the views exports, writing
to them imports, and views of gradients have torch's names. No bit changes.
"""
import math
import re
import warnings
from collections import Counter
from collections.abc import Mapping

import numpy as np

from ..captioning.captioner import Captioner
from ..config import Config, ModelConfig, check
from ..errors import CheckpointError, ConfigError, printable
from ..model.parameters import Parameters

OUTSIDE = {"patch_embed.proj": "patch_embed.proj", "output.norm": "ln_f", "output.linear": "lm_head"}
ENCODER = {"attention.norm": "ln1", "attention.proj": "mha.proj",
           "mlp.norm": "ln2", "mlp.up": "mlp.net.0", "mlp.down": "mlp.net.2"}
DECODER = {"self_attention.norm": "ln1", "self_attention.proj": "self_attn.proj",
           "cross_attention.norm": "ln2", "cross_attention.proj": "cross_attn.proj",
           "mlp.norm": "ln3", "mlp.up": "mlp.net.0", "mlp.down": "mlp.net.2"}
ENCODER_HEADS = {"attention.qkv": ("mha", "query key value")}
DECODER_HEADS = {"self_attention.qkv": ("self_attn", "query key value"),
                 "cross_attention.q": ("cross_attn", "query"), "cross_attention.kv": ("cross_attn", "key value")}
BUFFERS = {"tril", "triu", "mask", "bias_mask", "masked_bias", "attn_mask", "attention_mask", "causal_mask",
           "position_ids", "n_averaged"}                     # last parts of the buffers' names
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "model"}  # parts of names
NESTS = "state_dict", "model_state_dict", "model"           # possible keys of the state in a training file
FIRST = "patch_embed.pos_embd"                              # first name of a bare model
TABLES = {"token_embed.weight": "token_embed.weight", "token_embed.position": "pos_embed.weight"}


def pairs(config):
    """(our name, torch's names of its columns from left to right) for every parameter of the model

    ConfigError for a model with parts that the original does not have.
    """
    if config.convolutions or config.bag or config.regression or config.encoder_name or config.word_width:
        raise ConfigError("The original PyTorch model has no convolutions, frozen features, word vectors or training "
                          "heads. Export a model without them; best.npz has no training heads.")
    blocks = [(f"encoder.{i}.", f"encoder_blocks.{i}.", ENCODER, ENCODER_HEADS) for i in range(config.encoder_blocks)]
    blocks += [(f"decoder.{i}.", f"decoder_blocks.{i}.", DECODER, DECODER_HEADS) for i in range(config.decoder_blocks)]
    yield "patch_embed.position", [FIRST]
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
    """{torch's name: view of `parameters`, or of gradients, in torch's shape}"""
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
    """The captioner's parameters for torch's load_state_dict, to be converted to tensors -> {name: array}

    Buffers, such as the original's masks, are not included: module.load_state_dict(module.state_dict() | tensors).
    """
    views = torch_views(captioner.parameters, captioner.config)
    return {name: np.array(view, order="C") for name, view in views.items()}


def from_torch_state(state, tokenizer, say=warnings.warn):
    """The captioner of a state_dict and its tokenizer; CheckpointError if they do not fit.

    state, say: as for parameters_from_torch_state.
    """
    if not hasattr(tokenizer, "size"):
        raise CheckpointError(f"The tokenizer is of type {type(tokenizer).__name__}. Pass one of npcaption.tokenizers.")
    config, parameters = parameters_from_torch_state(state, say)
    if tokenizer.size != config.vocabulary:
        raise CheckpointError(f"The state has a vocabulary of {config.vocabulary} tokens, the tokenizer one of "
                              f"{tokenizer.size}. Pass the tokenizer of the model's training.")
    return Captioner(config, tokenizer, parameters)


def parameters_from_torch_state(state, say=warnings.warn):
    """{name: array or tensor} -> (ModelConfig, Parameters): float64 if any entry is, else float32

    state may be nested, {"state_dict": ...} or {"model": ...}, and names may have the prefixes of DataParallel,
    torch.compile and others. Buffers (BUFFERS: masks and the like) hold no weights and are ignored; say is called with
    a sentence that names them, by default as a warning.
    CheckpointError names the first entry that is missing, unknown, or of a shape that does not fit the others.
    """
    state, ignored = weights(unwrapped(state))
    config = config_of(state)
    double = any(value.dtype == np.float64 for value in state.values())
    parameters = Parameters(config, np.float64 if double else np.float32)
    views = torch_views(parameters, config)
    for name in views:
        if name not in state:
            raise CheckpointError(f"The state has no '{name}'; expected an array of shape {views[name].shape}. Pass "
                                  "the model's whole state.")
    for name, value in state.items():
        if name not in views:
            raise CheckpointError(f"The state has '{printable(name)}', which is no part of the model. Pass only the "
                                  f"{len(views)} entries of its embeddings, blocks, last norm and head.")
        if value.shape != views[name].shape:
            raise CheckpointError(f"'{name}' has shape {value.shape}; expected {views[name].shape}.")
        if value.dtype not in (np.float16, np.float32, np.float64):
            raise CheckpointError(f"'{name}' holds {value.dtype}; expected float16, float32 or float64.")
        if not np.isfinite(value).all():
            raise CheckpointError(f"'{name}' holds numbers that are not finite: training had diverged. "
                                  "Pass the state of an earlier step.")
        views[name][...] = value
    if ignored:
        kinds = Counter(name.rpartition(".")[2] for name in ignored)
        say("Ignored buffers in the state, not weights: "
            + ", ".join(f"{number} x {kind}" for kind, number in kinds.items())
            + f", the first '{printable(ignored[0])}'.")
    return config, parameters


def unwrapped(state):
    """The mapping from names to values in a training file's content, which may hold more than that."""
    found = [key for key in NESTS if isinstance(state, Mapping) and isinstance(state.get(key), Mapping)]
    if len(found) > 1:
        raise CheckpointError(f"The state holds '{found[0]}' and '{found[1]}'. Pass one of them, such as "
                              f"state['{found[0]}'].")
    if found:
        return unwrapped(state[found[0]])
    inside = [key for key, value in state.items() if isinstance(value, Mapping)] if isinstance(state, Mapping) else []
    if inside:
        raise CheckpointError(f"The state holds other mappings: {printable(', '.join(map(str, inside)))[:200]}. Pass "
                              f"the one with the model's weights, such as state[{printable(repr(inside[0]))[:60]}].")
    if not isinstance(state, Mapping):
        raise CheckpointError(f"The state is of type {type(state).__name__}; it must be a mapping from names to arrays "
                              "or tensors. Pass module.state_dict(), or the result of torch.load for a file.")
    return state


def weights(state):
    """-> {name in the bare model: array} without buffers, and the buffers' names"""
    found, ignored = {}, []
    prefixes = {str(name).removesuffix(FIRST) for name in state if str(name).endswith("." + FIRST)}
    prefix = prefixes.pop() if len(prefixes) == 1 and FIRST not in state else ""  # a model inside another module
    for given, value in state.items():
        parts = [part for part in str(given).removeprefix(prefix).split(".") if part not in WRAPPERS]
        name = ".".join(parts)
        if name in found:
            raise CheckpointError(f"The state has '{printable(name)}' twice, as '{printable(given)}' and under another "
                                  "prefix. Pass one model's state.")
        if parts and parts[-1] in BUFFERS:
            ignored.append(str(given))
        else:
            found[name] = as_array(given, value)
    return found, ignored


def as_array(name, value):
    """Convert an array or a tensor, on any device, with or without gradients, to an array; bfloat16 to float32."""
    try:
        if hasattr(value, "detach"):                         # a torch tensor
            value = value.detach().cpu()
            if value.is_floating_point() and value.element_size() < 4:
                value = value.float()
        return np.asarray(value)
    except Exception as error:                               # such as a tensor without memory
        raise CheckpointError(f"'{printable(name)}' cannot become an array ({printable(error)}). Pass an array or a "
                              "tensor.") from error


def config_of(state):
    """Derive the model's settings from its arrays' names and shapes.  {name: array} -> ModelConfig"""
    def shape(name, axes):
        if name not in state:
            raise CheckpointError(f"The state has no '{name}'; expected an array ({axes}).")
        if state[name].ndim != len(axes.split(", ")):
            raise CheckpointError(f"'{name}' has shape {state[name].shape}; expected ({axes}).")
        return state[name].shape

    def count(pattern):                                      # distinct numbers: a gap shows as a missing entry
        return len({found[1] for found in map(re.compile(pattern).search, map(str, state)) if found})

    _, patches, channels = shape(FIRST, "1, patches, channels")
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
        raise CheckpointError(f"The state's shapes fit no model: {error}") from error
    return config
