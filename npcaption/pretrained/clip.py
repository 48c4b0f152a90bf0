"""CLIP's image encoder, frozen: images -> a class token and a token for each patch."""
import numpy as np

from . import clip_config, clip_weights
from .preprocessing import batches, cropped_square
from .vision_transformer import ACTIVATIONS, tokens_of

SIZES = {(768, 12): "B", (1024, 24): "L", (1280, 32): "H"}  # (channels, blocks): the letter of the model
TITLES = {"quick_gelu": "QuickGELU", "gelu": "GELU"}
USUAL = 224         # pixels along a side


def recognises(tensors):
    """Whether these names are those of a CLIP, with or without its text encoder.  tensors: {name: array}"""
    return bool(clip_weights.find(tensors))


class Clip:
    """A frozen encoder from the tensors of its file: see encoders.Encoder.

    tensors: {name: array}; path: the file, beside which a JSON file may state activation and heads; sha256: the file's,
    hexadecimal; activation: "quick_gelu", "gelu" or None.  PretrainedError if the model is unknown, damaged or unclear.
    """
    class_token = True

    def __init__(self, tensors, path, sha256, activation=None):
        self._weights = clip_weights.read(tensors, path)
        patch_pixels, channels = self._weights.embedding["patch.weight"].shape
        patches = len(self._weights.embedding["position"]) - 1
        side, patch_size = round(patches ** 0.5), round((patch_pixels / 3) ** 0.5)
        activation, self._heads = clip_config.facts(path, tensors, channels, activation)
        self._activation = ACTIVATIONS[activation]
        self.sha256, self.image_size = sha256, side * patch_size
        self.grid, self.shape = (side, side), (patches + 1, channels)
        self.name = name_of(channels, len(self._weights.blocks), patch_size, self.image_size, activation)
        self.preprocessing = (f"RGB, shorter side to {self.image_size} (Pillow bicubic, antialiased), centre crop, "
                              f"(x / 255 - {clip_config.MEAN}) / {clip_config.STD}")

    def preprocess(self, image):
        """A path, a PIL image or what else open_image takes -> (S, S, 3) float32"""
        return cropped_square(image, self.image_size, clip_config.MEAN, clip_config.STD)

    def forward(self, pixels):
        """(B, S, S, 3) float32 -> (B, P, D) float32"""
        return tokens_of(pixels, self._weights, self._heads, self._activation)

    def tokens(self, images):
        """An iterable of B images, each as `preprocess` takes it -> (B, P, D) float32

        The class token is the first, then come the patches row by row.
        DataError for an image that cannot be read.
        """
        found = [self.forward(pixels) for pixels in batches(images, self.preprocess)]
        return np.concatenate(found) if found else np.empty((0, *self.shape), np.float32)


def name_of(channels, blocks, patch_size, image_size, activation):
    """Such as "CLIP ViT-B/32 (QuickGELU)" """
    size = SIZES.get((channels, blocks), f"{channels}x{blocks}")
    resolution = f"@{image_size}" if image_size != USUAL else ""
    return f"CLIP ViT-{size}/{patch_size}{resolution} ({TITLES[activation]})"
