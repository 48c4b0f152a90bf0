"""One `.npz` file: everything needed to caption, or to go on training. Nothing in it is ever unpickled.

Its arrays are the parameters under their names, `optimiser.m` and `optimiser.v` if training can be resumed, `seen.*`
with fingerprints of the training images, and `meta`: JSON as bytes, with the format's version, the configuration, the
tokenizer and the state of training. Seed, epoch and step are the whole random state: whatever training draws is a function
of them.
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

VERSION = 3         # 1 had no fingerprints of the training images; 1 and 2 joined the paths of `data` to one text
MOMENTS, AVERAGE = ("optimiser.m", "optimiser.v"), "optimiser.average"
SHIPPED = Path(__file__).parents[1] / "weights" / "flickr8k.npz"  # trained on photographs; weights/README.md says all about it


class Seen(NamedTuple):
    """Fingerprints of the training images: see npcaption.data.seen."""
    names: np.ndarray           # (N,) uint64, as are the others
    looks: np.ndarray
    pixels: np.ndarray


SEEN = tuple(f"seen.{name}" for name in Seen._fields)


class Checkpoint(NamedTuple):
    config: Config
    tokenizer: object
    parameters: Parameters
    state: dict                 # epoch, step, best, ...: what training wants to know again
    optimiser: tuple | None     # m and v, (N,) each, and the average of the weights if there is one
    seen: Seen | None = None    # the training images, or None where they were generated or are not known


def save(path, checkpoint):
    """All or nothing: if it fails, with CheckpointError, an earlier checkpoint in `path` stays as it was."""
    before = "; the one before is untouched" if os.path.exists(path) else ""
    if not all(np.isfinite(numbers).all() for numbers in [checkpoint.parameters.flat, *(checkpoint.optimiser or ())]):
        raise CheckpointError(f"The checkpoint {path} is not written: training diverged, its parameters or moments are not "
                              f"all finite{before}. Train again with a lower --learning-rate.")
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
        raise CheckpointError(f"The checkpoint {path} could not be written ({why(error)}){before}. Free some space "
                              f"or make the folder writable.") from error


def to_caption(checkpoint):
    """A checkpoint for captioning alone: without AdamW's moments and the heads that only training has."""
    config = replace(checkpoint.config, model=without_heads(checkpoint.config.model))
    parameters = Parameters(config.model)
    for name, view in parameters.named.items():
        view[...] = checkpoint.parameters.named[name]
    return checkpoint._replace(config=config, parameters=parameters, optimiser=None)


def load(path):
    """The checkpoint in a file.  CheckpointError if it is not one, or not whole.

    The file may claim what it likes: memory is taken in proportion to its own size only, and nothing in it is run.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise CheckpointError(f"A checkpoint is named by a path, and this is {printable(repr(path))[:100]}. Give the .npz that "
                              f"npcaption train wrote.")
    path = Path(path)
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder; name the checkpoint in it, such as {path / 'best.npz'}.")
        if not path.exists():
            raise CheckpointError(f"There is no checkpoint {path}. Train one (npcaption train), or name another.")
        if not path.is_file():
            raise CheckpointError(f"{path} is a pipe or a device, not a checkpoint. Name an .npz that npcaption train wrote.")
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            return read(archive, os.fstat(file.fileno()).st_size)
    except (OSError, EOFError, ValueError, RuntimeError, ConfigError, zipfile.BadZipFile) as error:
        reason = "".join(filter(str.isprintable, str(error)[:300])).rstrip(".") or "it ends too early"
        raise CheckpointError(f"{path} is not a checkpoint of this program, or is cut short or damaged ({reason}). Name "
                              f"another .npz that npcaption train wrote.") from error


def read(archive, size):
    """The checkpoint in an open archive of `size` bytes.  If it is none, one of the errors that `load` catches."""
    members = stored_members(archive, size)
    config, tokenizer, state = read_meta(array_of("meta", archive.read(members.pop("meta")), np.uint8).tobytes())
    seen = [members.pop(name) for name in SEEN if name in members]
    shapes = expected_shapes(config.model, members)
    arrays = {name: array_of(name, archive.read(members[name]), np.float32, shape) for name, shape in shapes.items()}
    parameters = Parameters(config.model)
    for name, view in parameters.named.items():
        view[...] = arrays[name]
    optimiser = tuple(arrays[name] for name in (*MOMENTS, AVERAGE) if name in arrays) or None
    return Checkpoint(config, tokenizer, parameters, state, optimiser, read_seen([archive.read(member) for member in seen]))


def stored_members(archive, size):
    """{array's name: its ZipInfo}, once it is clear that reading them all takes no more than `size` bytes.

    Only what np.savez writes: no compression, which could unpack to any size, and no comments, into which a directory
    with a damaged length reads the members that follow.
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
    """The Seen in the bytes of its arrays; None if there are none.  ValueError if they are not three of equal length."""
    if not members:
        return None
    arrays = [array_of(name, member, np.uint64) for name, member in zip(SEEN, members)]
    if len(arrays) < len(SEEN) or len(set(map(len, arrays))) > 1:
        raise ValueError("its fingerprints of the training images are not complete")
    return Seen(*arrays)


def array_of(name, member, dtype, shape=None):
    """The array in the bytes of an .npy file; if no shape is expected, as long as they are.  ValueError if it is another.

    The header is compared with the one that np.savez writes for such an array, never interpreted.
    """
    start = 10 + int.from_bytes(member[8:10], "little")      # after the magic string, the version, two bytes of length
    shape = shape or ((len(member) - start) // np.dtype(dtype).itemsize,)
    found = member[10:start].rstrip().decode("latin-1")
    header = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': False, 'shape': {shape}, }}"
    if not member.startswith(b"\x93NUMPY\x01\x00") or found != header:
        raise ValueError(f"{name} is {found[:100]} where {header} is expected")
    array = np.frombuffer(member, dtype, offset=start).reshape(shape).copy()
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return array


def read_meta(text):
    """-> config, tokenizer, state.  ValueError or ConfigError if they are not there, cannot be used or do not fit."""
    meta = json.loads(text)
    try:
        if meta["version"] not in range(1, VERSION + 1):
            raise ValueError(f"it has the format {meta['version']!r}, this program reads 1 to {VERSION}")
        config, state = meta["config"] if meta["version"] >= 3 else separated(meta["config"]), meta["state"]
        config = Config.from_json(config)
        tokenizer = tokenizers.from_json(meta["tokenizer"])
    except (LookupError, TypeError, CheckpointError) as error:
        raise ValueError(f"its meta is not as this program writes it: {type(error).__name__}: {error}") from error
    check(config)
    if not isinstance(state, dict):
        raise ValueError("its state is no dictionary")
    if tokenizer.size != config.model.vocabulary:
        raise ValueError(f"the tokenizer has {tokenizer.size} ids, the model {config.model.vocabulary}")
    return config, tokenizer, state


def separated(config):
    """A configuration of format 1 or 2 as format 3 has it: `data` and `convolutions` were each one text."""
    parts = {part: {**config[part]} for part in ("model", "training")}
    for part, name, separate in (("model", "convolutions", lambda text: numbers_in([text])), ("training", "data", paths_in)):
        if name in parts[part]:
            if not isinstance(parts[part][name], str):
                raise ValueError(f"{name} is {parts[part][name]!r}; it must be text")
            parts[part][name] = separate(parts[part][name])
    return parts


def paths_in(text):
    """The paths that one text joins -> tuple

    One that exists is one path. Else a system's separator is its own, but a checkpoint may come from another system, where
    it was ; and paths began with C:\\, or :.
    """
    if os.path.exists(text):
        return (text,)
    drive = re.match(r"[A-Za-z]:\\" if os.pathsep == ":" else r"[A-Za-z]:[\\/]", text)
    separator = ";" if drive else next((mark for mark in (os.pathsep, ":", ";") if mark in text), os.pathsep)
    return tuple(filter(None, text.split(separator))) or (text,)


def expected_shapes(model, members):
    """{name: shape} of the arrays that a model has, with what AdamW and averaging keep, if there is any.

    ValueError if others are there.

    Blocks are counted first, as a configuration may claim more of them than there is memory to name.
    """
    if model.encoder_blocks + model.decoder_blocks > len(members):
        raise ValueError("its configuration has more blocks than it holds arrays")
    shapes = {f"{layer}.{name}": shape for layer, names in sublayers(model).items() for name, shape in names.items()}
    if found := members.keys() & {*MOMENTS, AVERAGE}:
        shapes |= dict.fromkeys({*MOMENTS} | found, (sum(map(math.prod, shapes.values())),))
    if wrong := sorted(shapes.keys() ^ members.keys()):
        raise ValueError(f"{wrong[0]!r} is {'missing' if wrong[0] in shapes else 'not known'}")
    return shapes
