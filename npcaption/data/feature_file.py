"""Features that were computed elsewhere: a file of arrays, and a file with the name of each one's image beside it."""
import math
import os
from pathlib import Path

import numpy as np

from ..errors import DataError, PretrainedError, printable, why
from ..pretrained.encoders import sha256_of
from ..pretrained.tensors import read_tensors

ELSEWHERE = "features of "                                   # how its name begins


class FeatureFile:
    """Precomputed features, offered as a frozen encoder offers those that it computes: see pretrained.encoders.Encoder.

    FILE.npy, or FILE.safetensors with one tensor, is (N, P, D), or (N, D) for one token an image; FILE.txt has N lines, the
    images' file names. FILE-mirrored.npy, if there is one, has the features of the mirrored images in the same order.
    """
    preprocessing = "elsewhere"

    def __init__(self, path):
        """DataError or PretrainedError if the files cannot be read or do not fit together."""
        self.path = path = Path(path)
        self.rows, self.names = rows_of(path), names_of(path.with_suffix(".txt"))
        if len(self.rows) != len(self.names):
            raise DataError(f"{path} has features of {len(self.rows):,} images, and {path.with_suffix('.txt')} has "
                            f"{len(self.names):,} names. Give one name for each, in the same order.")
        twin = path.with_stem(f"{path.stem}-mirrored")
        self.mirrored = rows_of(twin) if twin.exists() else None
        if self.mirrored is not None and self.mirrored.shape != self.rows.shape:
            raise DataError(f"{twin} is {self.mirrored.shape}, and {path} is {self.rows.shape}. Compute both of the same images.")
        self.name, self.sha256, self.shape = f"{ELSEWHERE}{path.name}", sha256_of(path), self.rows.shape[1:]
        tokens = self.shape[0]
        self.class_token = math.isqrt(tokens) ** 2 != tokens and math.isqrt(tokens - 1) ** 2 == tokens - 1
        self.numbers = {name: number for number, name in enumerate(self.names)}

    def numbers_of(self, paths):
        """Rows of the images at paths.  DataError names the first that has none"""
        names = [os.path.basename(os.fspath(path)) for path in paths]
        for name in names:
            if name not in self.numbers:
                raise DataError(f"There are no features of {printable(name)} in the {self.name}, which have those of {len(self.names):,} "
                                f"images. Add its name and features, or remove it from the data.")
        return np.array([self.numbers[name] for name in names], np.int64)

    def tokens(self, images):
        """Of images that are given by their paths -> (B, P, D) float32"""
        images = list(images)
        for image in images:
            if not isinstance(image, (str, os.PathLike)):
                raise DataError(f"The {self.name} are found by file names, and this is an image of type "
                                f"{type(image).__name__}. Give its path, or the encoder's weights with --encoder.")
        return self.rows[self.numbers_of(images)].astype(np.float32)


def rows_of(path):
    """The array in a file, mapped -> (N, P, D)"""
    try:
        rows = np.load(path, mmap_mode="r") if path.suffix == ".npy" else only(path, read_tensors(path))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as features ({why(error) if isinstance(error, OSError) else printable(error)}). "
                        "Give an .npy file or a .safetensors file with one tensor.") from error
    if rows.ndim == 2:
        rows = rows[:, None]
    if rows.ndim != 3 or not rows.size or rows.dtype not in (np.float16, np.float32):
        raise DataError(f"{path} holds an array {rows.shape} of {rows.dtype}; features are (images, tokens, channels) in float16 "
                        "or float32.")
    return rows


def only(path, tensors):
    if len(tensors) != 1:
        raise PretrainedError(f"{path} holds {len(tensors)} tensors. Give a file with one, (images, tokens, channels).")
    return next(iter(tensors.values()))


def names_of(path):
    """File names, one a line"""
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = why(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{path} cannot be read ({reason}). It must have the images' file names, one a line, in the order of the "
                        "features.") from error
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise DataError(f"{path} has the name {printable(twice)} twice. Give each image's features once.")
    return names
