"""CLIP image encoders for tests: weights drawn by NumPy, under each library's names, and their files."""
import json

import numpy as np


def shapes(channels=128, blocks=2, patch=8, grid=3):
    """{Hugging Face's name: shape} of a vision model, without the prefix vision_model."""
    hidden = 4 * channels
    found = {"embeddings.class_embedding": (channels,),
             "embeddings.patch_embedding.weight": (channels, 3, patch, patch),
             "embeddings.position_embedding.weight": (grid * grid + 1, channels)}
    norms, linears = ["pre_layrnorm", "post_layernorm"], {}
    for i in range(blocks):
        block = f"encoder.layers.{i}."
        norms += [f"{block}layer_norm1", f"{block}layer_norm2"]
        linears |= {f"{block}self_attn.{name}_proj": (channels, channels) for name in ("q", "k", "v", "out")}
        linears |= {f"{block}mlp.fc1": (hidden, channels), f"{block}mlp.fc2": (channels, hidden)}
    for name in norms:
        found |= {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    for name, shape in linears.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return found


def draw(shapes, seed=0):
    """Values of the order of a trained model's, in the sorted order of the names -> {name: array}

    Norms are not at 1 and 0 and biases not at 0, so that a vector that is swapped or forgotten shows.
    """
    rng, found = np.random.default_rng(seed), {}
    for name in sorted(shapes):
        x = rng.standard_normal(shapes[name], np.float32)
        norm = "norm" in name or "layrnorm" in name
        scale = 0.3 if norm else 0.1 if x.ndim == 1 else 0.5 * x[0].size ** -0.5
        found[name] = (norm and name.endswith("weight")) + np.float32(scale) * x
    return found


def pixels(count=2, side=24):
    """(count, side, side, 3) float32, as preprocessed"""
    return np.random.default_rng(1).standard_normal((count, side, side, 3), np.float32)


def as_hugging_face(weights):
    """A whole CLIP: the vision model with its prefix, the older files' position_ids, and some of the text side."""
    text = {"text_model.embeddings.position_embedding.weight": np.zeros((77, 8), np.float32),
            "text_model.encoder.layers.0.self_attn.q_proj.weight": np.zeros((8, 8), np.float32),
            "text_model.embeddings.position_ids": np.arange(77)[None], "logit_scale": np.float32(4.6),
            "visual_projection.weight": np.zeros((32, 128), np.float32)}
    return {f"vision_model.{name}": value for name, value in weights.items()} | text | {
        "vision_model.embeddings.position_ids": np.arange(10)[None]}


def as_openai(weights):
    """OpenAI's names, those of the visual side alone."""
    found = {"class_embedding": weights["embeddings.class_embedding"],
             "positional_embedding": weights["embeddings.position_embedding.weight"],
             "conv1.weight": weights["embeddings.patch_embedding.weight"]}
    for part in ("weight", "bias"):
        found[f"ln_pre.{part}"] = weights[f"pre_layrnorm.{part}"]
        found[f"ln_post.{part}"] = weights[f"post_layernorm.{part}"]
        for i in range(sum(name.endswith("fc1.bias") for name in weights)):
            theirs, ours = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
            found[f"{ours}attn.in_proj_{part}"] = np.concatenate(
                [weights[f"{theirs}self_attn.{name}_proj.{part}"] for name in "qkv"])
            for new, old in (("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"),
                             ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):
                found[f"{ours}{new}.{part}"] = weights[f"{theirs}{old}.{part}"]
    return found


def as_open_clip(weights):
    """A whole CLIP of open_clip's; the text side has a positional_embedding too."""
    text = {"positional_embedding": np.zeros((77, 8), np.float32), "ln_final.weight": np.ones(8, np.float32),
            "transformer.resblocks.0.ln_1.weight": np.ones(8, np.float32), "logit_scale": np.float32(4.6)}
    channels = len(weights["embeddings.class_embedding"])
    return {f"visual.{name}": value for name, value in as_openai(weights).items()} | text | {
        "visual.proj": np.zeros((channels, 32), np.float32)}


def as_openai_file(weights):
    """OpenAI's own file: as open_clip's, but matrices in half precision, and three numbers more."""
    halved = {name: value.astype(np.float16) if any(part in name for part in ("conv1", ".attn.", ".mlp.")) else value
              for name, value in as_open_clip(weights).items()}
    return halved | {"input_resolution": np.array(24), "context_length": np.array(77), "vocab_size": np.array(49408)}


NAMINGS = {"hugging_face": as_hugging_face, "vision_model": dict, "open_clip": as_open_clip, "openai": as_openai}


def write_safetensors(path, tensors):
    """A safetensors file of {name: array}"""
    kinds = {"float32": "F32", "float16": "F16", "int64": "I64"}
    header, end = {}, 0
    for name, value in tensors.items():
        value = np.asarray(value)
        header[name] = {"dtype": kinds[value.dtype.name], "shape": value.shape,
                        "data_offsets": [end, end + value.nbytes]}
        end += value.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in tensors.values():
            file.write(np.asarray(value).tobytes())
    return path
