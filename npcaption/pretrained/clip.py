"""CLIP's image encoder, frozen: images -> a class token and one token per patch."""
import numpy as np

from . import clip_config, clip_weights
from .preprocessing import batches, cropped_square
from .vision_transformer import ACTIVATIONS, tokens_of

SIZES = {(768, 12): "B", (1024, 24): "L", (1280, 32): "H"}  # {(channels, blocks): letter of the model}
TITLES = {"quick_gelu": "QuickGELU", "gelu": "GELU"}
USUAL = 224         # pixels along a side, omitted from the name


def recognises(tensors):
    """Whether the tensors are a CLIP's, with or without its text encoder.  tensors: {name: array}"""
    return bool(clip_weights.find(tensors))


class Clip:
    """CLIP's image encoder as a frozen encoder: see encoders.Encoder.

    tensors: {name: array} of the weight file; path: the file; a JSON file beside it can state activation and heads;
    sha256: the file's, hexadecimal; activation: "quick_gelu", "gelu" or None.
    PretrainedError if the model is unsupported, damaged or ambiguous.
    """
    class_token = True

    def __init__(self, tensors, path, sha256, activation=None):
        self._weights = clip_weights.read(tensors, path)
        patch_pixels, channels = self._weights.embedding["patch.weight"].shape
        patches = len(self._weights.embedding["position"]) - 1
        side, patch_size = round(patches ** 0.5), round((patch_pixels / 3) ** 0.5)
        activation, self._heads = clip_config.activation_and_heads(path, tensors, channels, activation)
        self._activation = ACTIVATIONS[activation]
        self.sha256, self.image_size = sha256, side * patch_size
        self.grid, self.shape = (side, side), (patches + 1, channels)
        self.name = name_of(channels, len(self._weights.blocks), patch_size, self.image_size, activation)
        self.preprocessing = (f"RGB, shorter side to {self.image_size} (Pillow bicubic, antialiased), centre crop, "
                              f"(x / 255 - {clip_config.MEAN}) / {clip_config.STD}")

    def preprocess(self, image):
        """A path, a PIL image or another source for open_image -> (S, S, 3) float32"""
        return cropped_square(image, self.image_size, clip_config.MEAN, clip_config.STD)

    def forward(self, pixels):
        """(B, S, S, 3) float32 -> (B, P, D) float32"""
        return tokens_of(pixels, self._weights, self._heads, self._activation)

    def tokens(self, images):
        """Iterable of B images, as for `preprocess` -> (B, P, D) float32: the class token, then the patches row by row

        DataError for an unreadable image.
        """
        found = [self.forward(pixels) for pixels in batches(images, self.preprocess)]
        return np.concatenate(found) if found else np.empty((0, *self.shape), np.float32)


def name_of(channels, blocks, patch_size, image_size, activation):
    """Name of a model, such as "CLIP ViT-B/32 (QuickGELU)" """
    size = SIZES.get((channels, blocks), f"{channels}x{blocks}")
    resolution = f"@{image_size}" if image_size != USUAL else ""
    return f"CLIP ViT-{size}/{patch_size}{resolution} ({TITLES[activation]})"
