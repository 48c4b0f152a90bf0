"""Arrays as small images: PNG and JPEG as data URIs."""
import io
from base64 import b64encode

import numpy as np
from PIL import Image

NEGATIVE, POSITIVE = (37, 99, 235), (234, 88, 12)  # distinct for the colour-blind, on white and on black
PALETTE = bytes(channel for i in range(256) for channel in (NEGATIVE if i < 128 else POSITIVE))
OPACITY = bytes(min(255, 2 * abs(i - 128)) for i in range(256))  # 0 is transparent
FULL = 99.5         # percentile of the sizes that gets the full colour: a single outlier would leave the rest pale


def signed(array):
    """A map of signs and sizes: blue below 0, orange above, no colour at 0.  (H, W) -> data URI of a PNG"""
    sizes = np.abs(array)
    scale = np.percentile(sizes, FULL) or sizes.max() or 1.0
    levels = 128 + 127 * (array / scale).clip(-1, 1)
    image = Image.fromarray(levels.round().astype(np.uint8)).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(PALETTE)
    return uri(image, "PNG", transparency=OPACITY, optimize=True)


def uri(image, kind, **settings):
    """A PIL image as a data URI.  kind "PNG" or "JPEG"; settings: options of Pillow's writer"""
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return f"data:image/{kind.lower()};base64,{b64encode(content.getvalue()).decode()}"
