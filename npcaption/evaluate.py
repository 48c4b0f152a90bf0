"""How good a model is on captions that it has not seen."""
import math
from typing import NamedTuple

import numpy as np

from .data.dataset import trim
from .progress import progress
from .tokenizers import PADDING

GROUP = 32  # images at a time; the shuffled loss shuffles within a group


class Evaluation(NamedTuple):
    loss: float                 # nats per token over all captions, the end counted, padding not
    bits_per_character: float   # the same nats in bits, per character of the text; the end counts as one
    shuffled: float             # the loss when every caption stands beside another image: what is not gained by looking


def evaluate(captioner, images, sequences, label="validation"):
    """All captions of all images.  images (N, S, S, 3) uint8 -> Evaluation; shuffled is nan for a single image."""
    c, order = captioner, np.random.default_rng(0).permutation(len(images))
    groups = np.array_split(order, math.ceil(len(order) / GROUP))  # nearly equal, so that none is left with one image
    nats = shuffled = tokens = characters = 0
    for group in progress(groups, len(groups), label, "groups"):
        group = np.sort(group)                               # as they lie on disk
        source = c.engine.encode(images[group])              # (N, P, C)
        owners = np.repeat(np.arange(len(group)), np.diff(sequences.first)[group])  # (M,), each caption's image
        ids = trim(np.concatenate([sequences.ids[sequences.first[i]:sequences.first[i + 1]] for i in group]))  # (M, T)
        nats += c.engine.decode_loss(source, owners, ids)
        shuffled += c.engine.decode_loss(source, owners - 1, ids) if len(group) > 1 else math.nan  # -1: the last one's
        tokens += int((ids[:, 1:] != PADDING).sum())
        characters += sum(len(c.tokenizer.decode(row)) + 1 for row in ids)
    return Evaluation(nats / tokens, nats / math.log(2) / characters, shuffled / tokens)

