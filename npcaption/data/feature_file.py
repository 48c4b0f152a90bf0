"""Precomputed features: a file of arrays, and a text file of image names beside it."""
import math
import os
from pathlib import Path

import numpy as np

from ..errors import DataError, PretrainedError, printable, why
from ..pretrained.encoders import sha256_of
from ..pretrained.tensors import read_tensors

ELSEWHERE = "features of "                                   # prefix of a FeatureFile's name


class FeatureFile:
    """Precomputed features with the interface of a frozen encoder: see pretrained.encoders.Encoder.

    FILE.npy, or FILE.safetensors with one tensor, is (N, P, D), or (N, D) for one token per image; FILE.txt has N
    lines, the images' file names. FILE-mirrored.npy (optional) has the features of the mirrored images, in the same
    order.
    """
    preprocessing = "elsewhere"

    def __init__(self, path):
        """DataError or PretrainedError if the files are unreadable or do not match."""
        self.path = path = Path(path)
        self.rows, self.names = rows_of(path), names_of(path.with_suffix(".txt"))
        if len(self.rows) != len(self.names):
            raise DataError(f"{path} has features of {len(self.rows):,} images, but {path.with_suffix('.txt')} has "
                            f"{len(self.names):,} names. Write one name per image, in the same order.")
        mirrored = path.with_stem(f"{path.stem}-mirrored")
        self.mirrored = rows_of(mirrored) if mirrored.exists() else None
        if self.mirrored is not None and self.mirrored.shape != self.rows.shape:
            raise DataError(f"{mirrored} has shape {self.mirrored.shape}, but {path} has {self.rows.shape}. Compute "
                            "both from the same images.")
        self.name, self.sha256, self.shape = f"{ELSEWHERE}{path.name}", sha256_of(path), self.rows.shape[1:]
        tokens = self.shape[0]
        self.class_token = math.isqrt(tokens) ** 2 != tokens and math.isqrt(tokens - 1) ** 2 == tokens - 1
        self.numbers = {name: number for number, name in enumerate(self.names)}

    def numbers_of(self, paths):
        """Rows of the images at paths.  DataError names the first image without features"""
        names = [os.path.basename(os.fspath(path)) for path in paths]
        for name in names:
            if name not in self.numbers:
                raise DataError(f"There are no features of {printable(name)} in the {self.name}. Add its name and "
                                "features, or remove the image from the data.")
        return np.array([self.numbers[name] for name in names], np.int64)

    def tokens(self, images):
        """Features of the images at paths.  images: B paths -> (B, P, D) float32"""
        images = list(images)
        for image in images:
            if not isinstance(image, (str, os.PathLike)):
                raise DataError(f"The {self.name} are found by file names; an image of type {type(image).__name__} has "
                                "none. Pass its path, or the encoder's weights with --encoder.")
        return self.rows[self.numbers_of(images)].astype(np.float32)


def rows_of(path):
    """Map the array in a file -> (N, P, D)"""
    try:
        rows = np.load(path, mmap_mode="r") if path.suffix == ".npy" else only(path, read_tensors(path))
    except (OSError, ValueError, EOFError) as error:
        reason = why(error) if isinstance(error, OSError) else printable(error)
        raise DataError(f"{path} cannot be read as features ({reason}). Pass an .npy file, or a .safetensors file with "
                        "one tensor.") from error
    if rows.ndim == 2:
        rows = rows[:, None]
    if rows.ndim != 3 or not rows.size or rows.dtype not in (np.float16, np.float32):
        raise DataError(f"{path} holds an array {rows.shape} of {rows.dtype}; it must be (images, tokens, channels), "
                        "float16 or float32. Convert it.")
    return rows


def only(path, tensors):
    if len(tensors) != 1:
        raise PretrainedError(f"{path} holds {len(tensors)} tensors; it must hold one, (images, tokens, channels). "
                              "Save them separately.")
    return next(iter(tensors.values()))


def names_of(path):
    """Read file names, one per line."""
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = why(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{path} cannot be read ({reason}). Write the images' file names into it, one per line, in the "
                        "order of the features.") from error
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise DataError(f"{path} has the name {printable(twice)} twice. Keep each image once.")
    return names
