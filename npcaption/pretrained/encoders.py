"""Frozen image encoders: their common interface, and loading from a weight file."""
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
    sha256: str                             # SHA-256 of the weight file, hexadecimal
    shape: tuple[int, int]                  # (P, D)
    grid: tuple[int, int]                   # rows and columns of patches
    class_token: bool                       # whether the first token is a class token: P = 1 + rows * columns
    image_size: int                         # pixels along a side after preprocessing
    preprocessing: str                      # description: equal texts, equal pixels; part of the feature store's key

    def preprocess(self, image: Any) -> np.ndarray:
        """A path or a PIL image -> (S, S, 3) float32.  DataError if unreadable"""

    def tokens(self, images: Iterable) -> np.ndarray:
        """Iterable of B images, as for `preprocess` -> (B, P, D) float32"""


def load_encoder(path, activation=None) -> Encoder:
    """Load a frozen encoder from a weight file: .safetensors, .pt, .pth or .bin. Nothing is ever downloaded.

    activation: "quick_gelu" or "gelu", for a CLIP without a JSON file beside it.
    PretrainedError if the file is unreadable, holds no known encoder, or contradicts the activation.
    """
    tensors = read_tensors(path)
    if clip.recognises(tensors):
        return clip.Clip(tensors, path, sha256_of(path), activation)
    from . import efficientnet  # imports numba
    if not efficientnet.recognises(tensors):
        raise PretrainedError(f"{printable(path)} holds no supported image encoder. {EXPECTED}, or of an "
                              "EfficientNet-Lite.")
    if activation:
        raise PretrainedError(f"{printable(path)} is an EfficientNet; its activation is ReLU6, not {activation}. Omit "
                              "--activation.")
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
