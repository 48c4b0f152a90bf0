"""One `.npz` file: everything needed to caption, or to go on training. Nothing in it is ever unpickled.

Its arrays are the parameters under their names, `optimiser.m` and `optimiser.v` if training can go on from it, and
`meta`: JSON as bytes, with the format's version, the configuration, the tokenizer and the state of training. Seed,
epoch and step are the whole random state: whatever training draws is a function of them.
"""
import json
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import tokenizers
from .captioner import Captioner
from .config import Config, check, check_types
from .engines import compile_engine, make_engine
from .errors import CheckpointError, ConfigError
from .parameters import Parameters

VERSION = 1


class Checkpoint(NamedTuple):
    config: Config
    tokenizer: object
    parameters: Parameters
    state: dict                 # epoch, step, best, ...: what training wants to know again
    optimiser: tuple | None     # m and v, (N,) each


def save(path, checkpoint):
    """Written beside `path` and renamed when it is whole, so that there is never half a checkpoint."""
    path = Path(path)
    meta = {"version": VERSION, "config": checkpoint.config.to_json(), "tokenizer": checkpoint.tokenizer.to_json(),
            "state": checkpoint.state}
    arrays = {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8), **checkpoint.parameters.named}
    if checkpoint.optimiser is not None:
        arrays["optimiser.m"], arrays["optimiser.v"] = checkpoint.optimiser
    unfinished = path.with_name(path.name + ".part")
    try:
        with open(unfinished, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        before = "; the one before is untouched" if path.exists() else ""
        raise CheckpointError(f"The checkpoint {path} could not be written ({error.strerror}){before}. Free some space "
                              f"or make the folder writable.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def load(path):
    """The checkpoint in a file.  Raises CheckpointError if it is not one, or not whole."""
    path = Path(path)
    if path.is_file() and not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is not a checkpoint, or is cut short. Name an .npz that train.py wrote.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        if meta["version"] != VERSION:
            raise CheckpointError(f"{path} has the checkpoint format {meta['version']}, this program reads {VERSION}: "
                                  f"use the program that wrote it, or train again.")
        config, state = Config.from_json(meta["config"]), dict(meta["state"])
        tokenizer = tokenizers.from_json(meta["tokenizer"])
        check_types(config)
        check(config)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}. Train one (python train.py), or name another.") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a folder; name the checkpoint in it, such as {path / 'best.npz'}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, ConfigError,
            zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a checkpoint, or is damaged ({error}). Use another.") from error

    moments = [arrays.pop(name, None) for name in ("optimiser.m", "optimiser.v")]
    parameters = Parameters(config.model)
    wrong = [f"{name} is missing" for name in parameters.named if name not in arrays]
    wrong += [f"{name} is not known" for name in arrays if name not in parameters.named]
    wrong += [f"{name} has shape {arrays[name].shape}, not {view.shape}" for name, view in parameters.named.items()
              if name in arrays and arrays[name].shape != view.shape]
    wrong += [f"{name} has shape {array.shape}, not {parameters.flat.shape}"
              for name, array in zip(("optimiser.m", "optimiser.v"), moments) if array is not None
              and array.shape != parameters.flat.shape]
    wrong += [f"{name} is not of finite float32 numbers" for name, array in [*arrays.items(), *zip("mv", moments)]
              if array is not None and (array.dtype != np.float32 or not np.isfinite(array).all())]
    if tokenizer.size != config.model.vocabulary:
        wrong.append(f"the tokenizer has {tokenizer.size} ids, the model {config.model.vocabulary}")
    if wrong:
        raise CheckpointError(f"{path} does not hold the model that it says: {wrong[0]}"
                              + (f" (and {len(wrong) - 1} more)." if len(wrong) > 1 else "."))
    for name, view in parameters.named.items():
        view[...] = arrays[name]
    optimiser = None if moments[0] is None or moments[1] is None else tuple(moments)
    return Checkpoint(config, tokenizer, parameters, state, optimiser)


def newest(folder="runs"):
    """The best.npz that was written last, of all trainings under `folder`."""
    found = sorted(Path(folder).glob("*/best.npz"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise CheckpointError(f"There is no model under {folder}/. Train one (python train.py), or name one (--checkpoint).")
    return found[-1]


def load_captioner(path, engine="numpy", threads=0):
    """A Captioner from a checkpoint's file.

    engine "numpy" is at hand at once; "numba" is several times faster once its kernels are compiled, which takes some
    seconds, once. threads: as for make_engine.
    """
    checkpoint = load(path)
    compile_engine(engine).result()
    return Captioner(checkpoint.config.model, checkpoint.tokenizer, checkpoint.parameters,
                     make_engine(engine, checkpoint.config.model, checkpoint.parameters, threads))
