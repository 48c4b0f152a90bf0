"""Losses of captions with their own images and with shuffled images."""
import bisect
import math
from typing import NamedTuple

import numpy as np

from ..captioning.captioner import GROUP
from ..data.batches import encode_captions
from ..model.batch import trim
from ..support.progress import progress
from ..tokenizers import PADDING

CUT = 48  # the post's maximum caption length: character ids, with start and end


class Losses(NamedTuple):
    loss: float                 # nats per token over all captions, with the end, without padding
    bits_per_character: float   # the same loss in bits per character of the text; the end counts as one
    shuffled: float             # the loss with the image of another caption, the image-blind part of the loss


def losses(captioner, images, sequences, label="validation"):
    """Losses of all captions of all images.  images (N, A, A, 3) uint8, or features (N, P, D) -> Losses

    shuffled is nan for a single image.
    """
    nats, shuffled = nats_of(captioner, images, sequences, label)
    tokens = int((sequences.ids[:, 1:] != PADDING).sum())
    characters = sum(len(captioner.tokenizer.decode(row)) + 1 for row in sequences.ids)
    return Losses(nats / tokens, nats / math.log(2) / characters, shuffled / tokens)


def losses_cut(captioner, split):
    """The loss of captions truncated to the post's length, CUT - 2 characters, for any tokenizer.

    The end token counts as one character but is free on truncated captions: a model trained on them always predicts it
    there. A token across the cut counts whole.  -> nats per character, with the own and with another image
    """
    c, kept, characters = captioner, CUT - 2, 0
    sequences = encode_captions(split, c.tokenizer, c.config.max_length)
    for row in sequences.ids:
        text = c.tokenizer.decode(row)
        characters += min(len(text), kept) + 1
        if len(text) > kept:
            row[bisect.bisect_left(range(len(row)), kept, key=lambda i: len(c.tokenizer.decode(row[:i]))):] = PADDING
    nats, shuffled = nats_of(captioner, split.inputs, sequences, "losses, cut")
    return nats / characters, shuffled / characters


def nats_of(captioner, images, sequences, label):
    """Total loss of all captions with their own and with other images.  -> two floats; the second is nan for one image

    Images are processed in groups, and shuffled within a group.
    """
    order = np.random.default_rng(0).permutation(len(images))
    groups = np.array_split(order, math.ceil(len(order) / GROUP))  # nearly equal, so that none is left with one image

    def of_group(group):
        group = np.sort(group)                               # as they lie on disk
        owners = np.repeat(np.arange(len(group)), np.diff(sequences.first)[group])  # (M,), each caption's image
        ids = trim(np.concatenate([sequences.ids[sequences.first[i]:sequences.first[i + 1]] for i in group]))  # (M, T)
        return images[group], owners, ids
    found = captioner.engine.each(nats_of_group, map(of_group, groups))
    return tuple(map(sum, zip(*progress(found, len(groups), label, "groups"))))


def nats_of_group(engine, group):
    """group: images (N, ...), owners and ids of their M captions -> nats beside their own images, and beside others"""
    images, owners, ids = group
    source = engine.encode(images)                           # (N, P, C)
    neighbours = (owners - 1) % len(images)                  # (M,), the image before; before the first comes the last
    return (engine.decode_loss(source, owners, ids),
            engine.decode_loss(source, neighbours, ids) if len(images) > 1 else math.nan)
