"""Thumbnail and attention maps of each image for the page."""
import io

import numpy as np

from ..captioning import attribution
from ..support.images import open_image
from ..tokenizers import PADDING, caption_ids
from . import page

THUMBNAIL = 224  # pixels, the longest side of an image in the page


def photographs(split):
    """A JPEG of each image's file, or of the model's input if there are no files."""
    for i, pixels in enumerate(split.images):
        photo = open_image(split.files[i] if split.files else np.array(pixels))
        photo.thumbnail((THUMBNAIL, THUMBNAIL))
        jpeg = io.BytesIO()
        photo.save(jpeg, "JPEG", quality=80)
        yield jpeg.getvalue()


def looks(captioner, split, captions):
    """The words of each image's shown caption, with their attention maps."""
    for image, caption in zip(split.inputs, captions):
        text = page.shown(caption)["caption"]
        ids = caption_ids(captioner.tokenizer, text, captioner.config.max_length)
        found = attribution.attention(captioner, np.array(image), ids[:(ids != PADDING).sum()])
        yield [(look.word, look.map) for look in found]
