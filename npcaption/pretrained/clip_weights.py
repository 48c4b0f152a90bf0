"""Weights of CLIP's image encoder, under the names of OpenAI, open_clip and Hugging Face.

The text encoder and the layers after the last block are ignored. Any other unexpected tensor is refused: such a model
computes something else.
"""
from typing import NamedTuple

import numpy as np

from ..errors import PretrainedError, printable
from .vision_transformer import Weights

EXPECTED = ("Pass the image encoder of a CLIP: ViT-B-32.pt by OpenAI, model.safetensors of "
            "openai/clip-vit-base-patch32, or open_clip_model.safetensors")


class Naming(NamedTuple):
    """{our name: the file's name}; "*" stands for weight and bias. A tuple of names: matrices stacked by rows."""
    embedding: dict
    block: str                              # prefix of the names in a block
    inside: dict
    ignored: tuple


OPENAI = Naming(
    {"class_token": "class_embedding", "position": "positional_embedding", "patch.weight": "conv1.weight",
     "norm.*": "ln_pre.*"},
    "transformer.resblocks.",
    {"attention.norm.*": "ln_1.*", "attention.qkv.*": "attn.in_proj_*", "attention.proj.*": "attn.out_proj.*",
     "mlp.norm.*": "ln_2.*", "mlp.up.*": "mlp.c_fc.*", "mlp.down.*": "mlp.c_proj.*"},
    ("ln_post.weight", "ln_post.bias", "proj"))
HUGGING_FACE = Naming(
    {"class_token": "embeddings.class_embedding", "position": "embeddings.position_embedding.weight",
     "patch.weight": "embeddings.patch_embedding.weight", "norm.*": "pre_layrnorm.*"},  # sic
    "encoder.layers.",
    {"attention.norm.*": "layer_norm1.*",
     "attention.qkv.*": ("self_attn.q_proj.*", "self_attn.k_proj.*", "self_attn.v_proj.*"),
     "attention.proj.*": "self_attn.out_proj.*",
     "mlp.norm.*": "layer_norm2.*", "mlp.up.*": "mlp.fc1.*", "mlp.down.*": "mlp.fc2.*"},
    ("post_layernorm.weight", "post_layernorm.bias", "embeddings.position_ids", "visual_projection.weight"))


def find(tensors):
    """Image encoders among the tensors -> [(Naming, prefix)].  tensors: {name: array}"""
    return [(naming, name.removesuffix(naming.embedding["class_token"]))
            for naming in (OPENAI, HUGGING_FACE) for name in tensors
            if name.endswith(naming.embedding["class_token"])
            and name.removesuffix(naming.embedding["class_token"]) + naming.embedding["patch.weight"] in tensors]


def read(tensors, path):
    """Copy the tensors into Weights.  PretrainedError if any is missing, unexpected, misshapen or not finite"""
    path, found = printable(path), find(tensors)
    if len(found) != 1:
        raise PretrainedError(f"{path} holds {len(found) or 'no'} CLIP image encoders; it must hold one. {EXPECTED}.")
    [(naming, prefix)] = found
    theirs = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    inside = [name.removeprefix(naming.block) for name in theirs if name.startswith(naming.block)]
    layers = len({name.partition(".")[0] for name in inside})
    reader = Reader(path, prefix, theirs)
    embedding = {ours: reader.tensor(ours, names) for ours, names in expanded(naming.embedding)}
    blocks = [{ours: reader.tensor(ours, names, f"{naming.block}{i}.") for ours, names in expanded(naming.inside)}
              for i in range(layers)]
    if left := theirs.keys() - reader.used - set(naming.ignored):
        raise PretrainedError(f"{path} has the tensor {printable(prefix + min(left))}, not part of CLIP's image "
                              f"encoder. {EXPECTED}.")
    check_shapes(path, embedding, blocks)
    return Weights(embedding, blocks)


def expanded(names):
    """Yield (our name, tuple of the file's names) for each tensor of a table."""
    for ours, theirs in names.items():
        for part in ("weight", "bias") if "*" in ours else ("",):
            each = theirs if isinstance(theirs, tuple) else (theirs,)
            yield ours.replace("*", part), tuple(name.replace("*", part) for name in each)


class Reader:
    """Checked access to the file's tensors; `used` collects the names read."""

    def __init__(self, path, prefix, theirs):
        self.path, self.prefix, self.theirs, self.used = path, prefix, theirs, set()

    def tensor(self, ours, names, block=""):
        """Copy as float32; matrices (in, out), from the file's (out, in) or, for patches, (out, c, y, x)"""
        parts = [self.part(block + name) for name in names]
        if ours == "patch.weight":
            parts = [self.flattened(names[0], *parts)]
        if len({part.shape[1:] for part in parts}) > 1:
            raise misfit(self.path, f"{self.prefix}{block}{names[0]}, with keys and values,",
                         [part.shape for part in parts])
        whole = np.concatenate(parts, dtype=np.float32, casting="same_kind")
        return whole if ours == "position" else whole.T

    def part(self, name):
        """The file's tensor of this name, checked: floating-point and finite."""
        if name not in self.theirs:
            raise PretrainedError(f"{self.path} lacks the tensor {printable(self.prefix + name)}. {EXPECTED}.")
        self.used.add(name)
        value = self.theirs[name]
        if value.dtype.kind != "f" or not value.ndim:
            raise misfit(self.path, self.prefix + name, f"{value.shape} {value.dtype}")
        if not np.isfinite(value).all():
            raise PretrainedError(f"{self.path} has numbers that are not finite in {printable(self.prefix + name)}. "
                                  "Download it again.")
        return value

    def flattened(self, name, kernel):
        """Kernel of square RGB patches, (C, 3, size, size) -> (C, 3*size*size)"""
        if kernel.ndim != 4 or kernel.shape[1] != 3 or kernel.shape[2] != kernel.shape[3]:
            raise misfit(self.path, self.prefix + name, kernel.shape)
        return kernel.reshape(len(kernel), -1)


def check_shapes(path, embedding, blocks):
    """Check that the shapes fit; the first tensors set channels, patches and hidden units.  PretrainedError"""
    channels = len(embedding["class_token"])                 # C
    hidden = len(blocks[0]["mlp.up.bias"]) if blocks else 0  # F
    rows, patches = len(embedding["patch.weight"]), len(embedding["position"]) - 1
    expected = {"class_token": (channels,), "position": (patches + 1, channels), "patch.weight": (rows, channels),
                "norm": (channels,), "attention.norm": (channels,), "mlp.norm": (channels,),
                "attention.qkv.weight": (channels, 3 * channels), "attention.qkv.bias": (3 * channels,),
                "attention.proj.weight": (channels, channels), "attention.proj.bias": (channels,),
                "mlp.up.weight": (channels, hidden), "mlp.up.bias": (hidden,),
                "mlp.down.weight": (hidden, channels), "mlp.down.bias": (channels,)}
    for place, tensors in [("", embedding), *((f" of block {i}", block) for i, block in enumerate(blocks))]:
        for ours, value in tensors.items():
            if value.shape != (expected.get(ours) or expected[ours.rpartition(".")[0]]):
                raise misfit(path, ours + place, value.shape)
    if not blocks or patches < 1 or round(patches ** 0.5) ** 2 != patches:
        raise PretrainedError(f"{path} has {len(blocks)} blocks and {patches} patches; it must have blocks and a "
                              f"square grid. {EXPECTED}.")


def misfit(path, name, found):
    return PretrainedError(f"{path} has {printable(name)} of shape {found}, unlike the other tensors. {EXPECTED}.")
