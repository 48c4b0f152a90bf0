"""From an image to token ids: greedy decoding."""
import numpy as np

from . import model
from .tokenizers import END, PADDING, START


def greedy(layers, config, p, images):
    """The likeliest token after the likeliest so far, until the end.  images (B, S, S, 3) uint8 -> ids (B, T)

    T is at most max_length. Every caption ends with END, also one that had to be cut; behind it stands padding.
    """
    source, _ = model.encode_forward(layers, config, p, images, 0.0, 0)  # (B, P, C)
    ids = np.full((len(images), 1), START)                   # (B, 1)
    ended = np.zeros(len(images), bool)                      # (B,)
    while ids.shape[1] < config.max_length - 1 and not ended.all():
        x, _ = model.decode_forward(layers, config, p, ids, source, 0.0, 0)  # (B, T, C)
        logits, _ = layers.output_forward(x[:, -1:], p["output"])  # (B, 1, V)
        logits[..., [PADDING, START]] = -np.inf              # never a target, so their scores mean nothing
        chosen = np.where(ended, PADDING, logits[:, 0].argmax(-1))  # (B,)
        ended |= chosen == END
        ids = np.concatenate([ids, chosen[:, None]], axis=1)  # (B, T + 1)
    return np.concatenate([ids, np.where(ended, PADDING, END)[:, None]], axis=1)
