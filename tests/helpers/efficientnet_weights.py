"""Random EfficientNet-Lite weights under the real files' names and in their order, and an image made by a formula."""
import zlib

import numpy as np

# Of each stage: kernel, expansion; of each variant: blocks and channels of the stages.
STAGES = [(3, 1), (3, 6), (5, 6), (3, 6), (5, 6), (5, 6), (3, 6)]
VARIANTS = {"EfficientNet-Lite0": ((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
            "EfficientNet-Lite1": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
            "EfficientNet-Lite2": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352))}

EVERY = {"head": 40, "last": 16, "middle": 16}  # of how many channels the fixture holds one


def shapes_of(variant):
    """{name: shape} of a file's tensors, in its order"""
    shapes, blocks, channels = {}, 0, 32

    def add(convolution, norm, *shape):
        shapes[f"{convolution}.weight"] = shape
        shapes.update({f"{norm}.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{norm}.num_batches_tracked"] = ()

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    for (kernel, expansion), repeats, width in zip(STAGES, *VARIANTS[variant]):
        for _ in range(repeats):
            name, wide = f"_blocks.{blocks}", channels * expansion
            if expansion > 1:
                add(f"{name}._expand_conv", f"{name}._bn0", wide, channels, 1, 1)
            add(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, kernel, kernel)
            add(f"{name}._project_conv", f"{name}._bn2", width, wide, 1, 1)
            blocks, channels = blocks + 1, width
    add("_conv_head", "_bn1", 1280, channels, 1, 1)
    return shapes | {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}


def random_weights(variant):
    """{name: float32 array}, the same on every machine; norms that scale, shift and have means, as trained ones do

    With filters of twice the variance the network is chaotic: it multiplies roundings by 500. With these, noise of 1 %
    in the image still changes the tokens by 5e-4 and more.
    """
    tensors = {}
    for name, shape in shapes_of(variant).items():
        value = np.random.default_rng(zlib.crc32(name.encode())).uniform(-1, 1, shape)
        if name.endswith("running_var"):
            value = 1 + value / 2
        elif len(shape) > 1:
            value *= (3 / np.prod(shape[1:])) ** 0.5
        elif "_bn" in name and name.endswith(".weight"):
            value = 1 + value / 4
        tensors[name] = np.asarray(value, np.int64 if name.endswith("tracked") else np.float32)
    return tensors


def formula_image(side):
    """(side, side, 3) float32 from -1 to 1: waves across, down and aslant, one in each colour"""
    x, y = np.meshgrid(np.arange(side) / side, np.arange(side) / side)
    return np.stack([np.sin(20 * x), np.cos(31 * y), np.sin(13 * x + 47 * y * y)], -1).astype(np.float32)
