"""Checkpoints: one `.npz` file for captioning and for resuming training. Nothing in it is ever unpickled.

The arrays are the parameters under their names, `optimiser.m` and `optimiser.v` if training can be resumed, `seen.*`
with fingerprints of the training images, and `meta`: JSON as bytes, with the format's version, the configuration, the
tokenizer and the training state. Seed, epoch and step are the whole random state: all random numbers of training are
functions of them.
"""
import io
import json
import math
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import tokenizers
from ..config import Config, check
from ..errors import CheckpointError, ConfigError, printable, why
from ..support import files
from ..support.settings import numbers_in
from .parameters import Parameters, sublayers, without_heads

VERSION = 3         # 1 had no fingerprints of the training images; 1 and 2 stored the paths of `data` as one text
MOMENTS, AVERAGE = ("optimiser.m", "optimiser.v"), "optimiser.average"
MODELS = {name: Path(__file__).parents[1] / "weights" / f"{name}.npz" for name in ("flickr8k", "flickr8k-scratch")}
SHIPPED = MODELS["flickr8k"]                                 # the default; weights/README.md describes all


class Seen(NamedTuple):
    """Fingerprints of the training images: see npcaption.data.seen."""
    names: np.ndarray           # (N,) uint64, like the other two
    looks: np.ndarray
    pixels: np.ndarray


SEEN = tuple(f"seen.{name}" for name in Seen._fields)


class Checkpoint(NamedTuple):
    config: Config
    tokenizer: object
    parameters: Parameters
    state: dict                 # training state: epoch, step, best, ...
    optimiser: tuple | None     # m and v, (N,) each, and the average of the weights if there is one
    seen: Seen | None = None    # fingerprints of the training images; None if generated or unknown


def save(path, checkpoint):
    """Write a checkpoint, whole or not at all: after a CheckpointError an earlier one in `path` is intact."""
    before = "; the earlier one is intact" if os.path.exists(path) else ""
    if not all(np.isfinite(numbers).all() for numbers in [checkpoint.parameters.flat, *(checkpoint.optimiser or ())]):
        raise CheckpointError(f"The checkpoint {path} is not written: training diverged, with parameters or moments "
                              f"that are not finite{before}. Train again with a lower --learning-rate.")
    meta = {"version": VERSION, "config": checkpoint.config.to_json(), "tokenizer": checkpoint.tokenizer.to_json(),
            "state": checkpoint.state}
    arrays = {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8), **checkpoint.parameters.named}
    if checkpoint.optimiser is not None:
        arrays |= zip((*MOMENTS, AVERAGE), checkpoint.optimiser)
    if checkpoint.seen is not None:
        arrays |= zip(SEEN, checkpoint.seen)
    content = io.BytesIO()
    np.savez(content, **arrays)
    try:
        files.replace(path, content.getbuffer())
    except OSError as error:
        raise CheckpointError(f"The checkpoint {path} could not be written ({why(error)}){before}. Free some space, "
                              f"or make the folder writable.") from error


def to_caption(checkpoint):
    """A checkpoint for captioning alone, without AdamW's moments and the training heads."""
    config = replace(checkpoint.config, model=without_heads(checkpoint.config.model))
    parameters = Parameters(config.model)
    for name, view in parameters.named.items():
        view[...] = checkpoint.parameters.named[name]
    return checkpoint._replace(config=config, parameters=parameters, optimiser=None)


def load(path):
    """Load a checkpoint.  path: its file, or a name in MODELS.  CheckpointError if the file is damaged or no checkpoint

    Safe for untrusted files: memory is proportional to the file's size, whatever it claims, and nothing in it is run.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise CheckpointError(f"The checkpoint is {printable(repr(path))[:100]}; it must be a path. Pass the "
                              f"path of an .npz from npcaption train.")
    path = MODELS.get(os.fspath(path)) or Path(path)
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder. Name the checkpoint in it, such as {path / 'best.npz'}.")
        if not path.exists():
            raise CheckpointError(f"There is no checkpoint {path}. Train one (npcaption train), "
                                  f"or pass one that ships: {' or '.join(MODELS)}.")
        if not path.is_file():
            raise CheckpointError(f"{path} is a pipe or a device, not a checkpoint. Name an .npz from npcaption train.")
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            return read(archive, os.fstat(file.fileno()).st_size)
    except (OSError, EOFError, ValueError, RuntimeError, ConfigError, zipfile.BadZipFile) as error:
        reason = "".join(filter(str.isprintable, str(error)[:300])).rstrip(".") or "it ends too early"
        raise CheckpointError(f"{path} is not a checkpoint of npcaption, or is truncated or damaged ({reason}). Name "
                              f"another .npz from npcaption train.") from error


def read(archive, size):
    """The checkpoint in an open archive of `size` bytes.  An error that `load` catches if there is none"""
    members = stored_members(archive, size)
    config, tokenizer, state = read_meta(array_of("meta", archive.read(members.pop("meta")), np.uint8).tobytes())
    seen = [members.pop(name) for name in SEEN if name in members]
    shapes = expected_shapes(config.model, members)
    arrays = {name: array_of(name, archive.read(members[name]), np.float32, shape) for name, shape in shapes.items()}
    parameters = Parameters(config.model)
    for name, view in parameters.named.items():
        view[...] = arrays[name]
    optimiser = tuple(arrays[name] for name in (*MOMENTS, AVERAGE) if name in arrays) or None
    fingerprints = read_seen([archive.read(member) for member in seen])
    return Checkpoint(config, tokenizer, parameters, state, optimiser, fingerprints)


def stored_members(archive, size):
    """{array's name: its ZipInfo}, checked: reading all of them takes at most `size` bytes.

    Only members as np.savez writes them: no compression, because it could unpack to any size, and no comments, because
    a damaged length makes a comment swallow the members after it.
    """
    members = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"it holds {name!r} twice")
        if info.compress_type != zipfile.ZIP_STORED or info.comment:
            raise ValueError(f"{name!r} is not stored as np.savez does it")
        members[name] = info
    if "meta" not in members:
        raise ValueError("it holds no meta")
    if sum(info.compress_size for info in members.values()) > size:
        raise ValueError("its arrays claim to be larger than the file")
    return members


def read_seen(members):
    """Read the Seen from the bytes of its arrays; None without arrays.  ValueError unless three of equal length"""
    if not members:
        return None
    arrays = [array_of(name, member, np.uint64) for name, member in zip(SEEN, members)]
    if len(arrays) < len(SEEN) or len(set(map(len, arrays))) > 1:
        raise ValueError("its fingerprints of the training images are incomplete")
    return Seen(*arrays)


def array_of(name, member, dtype, shape=None):
    """Read an array from the bytes of an .npy file; without a shape it is a vector.  ValueError for any other array

    The header is compared with the header that np.savez writes for such an array; it is never interpreted.
    """
    start = 10 + int.from_bytes(member[8:10], "little")      # after the magic string, the version, two bytes of length
    shape = shape or ((len(member) - start) // np.dtype(dtype).itemsize,)
    found = member[10:start].rstrip().decode("latin-1")
    header = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': False, 'shape': {shape}, }}"
    if not member.startswith(b"\x93NUMPY\x01\x00") or found != header:
        raise ValueError(f"{name} is {found[:100]}; expected {header}")
    array = np.frombuffer(member, dtype, offset=start).reshape(shape).copy()
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a NaN or an infinity")
    return array


def read_meta(text):
    """Read meta -> config, tokenizer, state.  ValueError or ConfigError if one is missing, unusable or does not fit"""
    meta = json.loads(text)
    try:
        if meta["version"] not in range(1, VERSION + 1):
            raise ValueError(f"its format is {meta['version']!r}; npcaption reads 1 to {VERSION}")
        config, state = meta["config"] if meta["version"] >= 3 else separated(meta["config"]), meta["state"]
        config = Config.from_json(config)
        tokenizer = tokenizers.from_json(meta["tokenizer"])
    except (LookupError, TypeError, CheckpointError) as error:
        raise ValueError(f"its meta is invalid: {type(error).__name__}: {error}") from error
    check(config)
    if not isinstance(state, dict):
        raise ValueError("its state is no dictionary")
    if tokenizer.size != config.model.vocabulary:
        raise ValueError(f"the tokenizer has {tokenizer.size} ids, the model {config.model.vocabulary}")
    return config, tokenizer, state


def separated(config):
    """Convert a configuration of format 1 or 2 to format 3: `data` and `convolutions` were one text each."""
    parts = {part: {**config[part]} for part in ("model", "training")}
    for part, name, separate in (("model", "convolutions", lambda text: numbers_in([text])),
                                 ("training", "data", paths_in)):
        if name in parts[part]:
            if not isinstance(parts[part][name], str):
                raise ValueError(f"{name} is {parts[part][name]!r}; it must be text")
            parts[part][name] = separate(parts[part][name])
    return parts


def paths_in(text):
    """Split joined paths -> tuple

    A text that exists as a path is one path. The separator is this system's, unless the checkpoint comes from another
    system: ; with paths that begin with C:\\, or :.
    """
    if os.path.exists(text):
        return (text,)
    drive = re.match(r"[A-Za-z]:\\" if os.pathsep == ":" else r"[A-Za-z]:[\\/]", text)
    separator = ";" if drive else next((mark for mark in (os.pathsep, ":", ";") if mark in text), os.pathsep)
    return tuple(filter(None, text.split(separator))) or (text,)


def expected_shapes(model, members):
    """{name: shape} of a model's arrays, with AdamW's moments and the averaged weights if `members` has them.

    ValueError if `members` lacks an array or has another. Blocks are counted first: a configuration may claim more of
    them than there is memory for their names.
    """
    if model.encoder_blocks + model.decoder_blocks > len(members):
        raise ValueError("its configuration has more blocks than it holds arrays")
    shapes = {f"{layer}.{name}": shape for layer, names in sublayers(model).items() for name, shape in names.items()}
    if found := members.keys() & {*MOMENTS, AVERAGE}:
        shapes |= dict.fromkeys({*MOMENTS} | found, (sum(map(math.prod, shapes.values())),))
    if wrong := sorted(shapes.keys() ^ members.keys()):
        raise ValueError(f"{wrong[0]!r} is {'missing' if wrong[0] in shapes else 'unknown'}")
    return shapes
