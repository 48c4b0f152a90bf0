"""Frozen image encoders: what all of them offer, and which of them a weight file holds."""
import hashlib
import os
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from ..errors import PretrainedError, printable, why
from . import clip
from .clip_weights import EXPECTED
from .tensors import read_tensors

CHUNK = 2 ** 22     # bytes


class Encoder(Protocol):
    """P tokens of D channels for each image."""
    name: str                               # such as "CLIP ViT-B/32 (QuickGELU)"
    sha256: str                             # of the weight file, hexadecimal
    shape: tuple[int, int]                  # (P, D)
    grid: tuple[int, int]                   # rows and columns of patches
    class_token: bool                       # the first token is the class token: P = 1 + rows * columns
    image_size: int                         # pixels along a side, preprocessed
    preprocessing: str                      # equal texts, equal pixels; stored features are valid for one text only

    def preprocess(self, image: Any) -> np.ndarray:
        """A path or a PIL image -> (S, S, 3) float32.  DataError if it cannot be read"""

    def tokens(self, images: Iterable) -> np.ndarray:
        """Images, each as `preprocess` takes it, in batches -> (B, P, D) float32"""


def load_encoder(path, activation=None) -> Encoder:
    """The frozen encoder in a file of weights: .safetensors, .pt, .pth or .bin. Nothing is ever downloaded.

    activation: "quick_gelu" or "gelu", for a CLIP without a JSON file beside it that states it.
    PretrainedError if the file cannot be read, holds no known encoder, or contradicts the activation.
    """
    tensors = read_tensors(path)
    if clip.recognises(tensors):
        return clip.Clip(tensors, path, sha256_of(path), activation)
    from . import efficientnet  # which imports numba
    if not efficientnet.recognises(tensors):
        raise PretrainedError(f"{printable(path)} holds no image encoder that npcaption knows. {EXPECTED}, or of an "
                              "EfficientNet-Lite.")
    if activation:
        raise PretrainedError(f"{printable(path)} is an EfficientNet, whose activation is ReLU6. Drop '{activation}'.")
    try:
        return efficientnet.EfficientNetLite(tensors, sha256_of(path))
    except PretrainedError as error:
        raise PretrainedError(f"{printable(path)}: {error}") from error


def sha256_of(path):
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    try:
        with open(os.fspath(path), "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise PretrainedError(f"{printable(path)} cannot be read: {why(error)}. Make it readable.") from error
    return digest.hexdigest()
