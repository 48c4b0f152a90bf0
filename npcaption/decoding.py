"""From an image to token ids: greedy decoding."""
import numpy as np

from .tokenizers import END, PADDING, START


def greedy(engine, images):
    """The likeliest token after the likeliest so far, until the end.  images (B, S, S, 3) uint8 -> ids (B, T)

    T is at most max_length. Every caption ends with END, also one that had to be cut; behind it stands padding.
    """
    source = engine.encode(images)                           # (B, P, C)
    ids = np.full((len(images), 1), START)                   # (B, 1)
    ended = np.zeros(len(images), bool)                      # (B,)
    while ids.shape[1] < engine.config.max_length - 1 and not ended.all():
        logits = engine.next_logits(source, ids)             # (B, V)
        logits[:, [PADDING, START]] = -np.inf                # never a target, so their scores mean nothing
        chosen = np.where(ended, PADDING, logits.argmax(-1))  # (B,)
        ended |= chosen == END
        ids = np.concatenate([ids, chosen[:, None]], axis=1)  # (B, T + 1)
    return np.concatenate([ids, np.where(ended, PADDING, END)[:, None]], axis=1)
