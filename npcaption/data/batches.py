"""Captions as token ids, and batches of images beside them."""
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..support.progress import progress
from ..tokenizers import PADDING, caption_ids
from .augmentation import DRAWS, augment, sided
from .image_store import release


class Sequences(NamedTuple):
    """The captions of a split as token ids."""
    ids: np.ndarray             # (M, max_length) integers, the captions of image 0, then of image 1, ...
    first: np.ndarray           # (N + 1,): those of image n are ids[first[n]:first[n + 1]]
    sided: np.ndarray           # (M,) bool, which would be false of the mirrored image
    words: np.ndarray | None = None  # (N, W), which words an image's captions hold, if that is wanted: see bags_of_words


class Views(NamedTuple):
    """What training may do to an image; see augment."""
    flip: bool
    crop: float
    colour: float


NO_VIEWS = Views(False, 0.0, 0.0)


def encode_captions(split, tokenizer, max_length):
    first = np.cumsum([0] + [len(captions) for captions in split.captions])
    texts = [text for captions in split.captions for text in captions]
    ids = np.empty((len(texts), max_length), np.uint16 if tokenizer.size < 2 ** 16 else np.int32)  # there may be millions
    for row, text in zip(ids, progress(texts, len(texts), "captions to ids", "captions")):
        row[:] = caption_ids(tokenizer, text, max_length)
    return Sequences(ids, first, np.array(list(map(sided, texts)), bool))


def trim(ids):
    """Without the columns of nothing but padding: they would cost time and change nothing.  (B, L) -> (B, longest) int64"""
    return ids[:, :int((ids != PADDING).sum(-1).max())].astype(np.int64)


def epoch_batches(images, sequences, batch_size, captions, seed, epoch, done=0, views=NO_VIEWS):
    """One epoch in random order, from batch `done` on -> batches of images (B, S, S, 3) uint8, ids (B, longest) and words
    (B, W), or None if the sequences have none.

    captions "random" draws one of each image's, "first" takes the first; views: what may be done to the images. What is
    drawn depends on seed and epoch alone.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(images))
    counts = np.diff(sequences.first)
    drawn = (rng.random(len(images)) * counts).astype(int) if captions == "random" else np.zeros(len(images), int)
    chosen = sequences.first[:-1] + drawn                    # (N,), the caption of each image
    draws, flips = (rng.random((len(images), DRAWS)), rng.random(len(images)) < 0.5) if views != NO_VIEWS else (None, None)
    for start in range(done * batch_size, len(order), batch_size):
        batch = order[start:start + batch_size]
        pictures = images[batch]                             # (B, S, S, 3)
        release(images)
        if views != NO_VIEWS:
            mirrored = views.flip & flips[batch] & ~sequences.sided[chosen[batch]]
            pictures = np.stack([augment(*each, views.crop, views.colour)
                                 for each in zip(pictures, draws[batch], mirrored)])
        yield (pictures, trim(sequences.ids[chosen[batch]]),
               None if sequences.words is None else sequences.words[batch])


def ahead(batches, count=3):
    """The same batches, made in a thread of its own while the ones before are being used."""
    batches, end = iter(batches), object()
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, batches, end) for _ in range(count))
        while (batch := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, batches, end))
            yield batch
