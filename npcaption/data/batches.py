"""Mini-batches of an epoch, and captions as token ids."""
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..model.batch import Batch, target_tokens, trim
from ..support.in_order import in_order
from ..support.progress import progress
from ..tokenizers import caption_ids
from .augmentation import DRAWS, augment, sided
from .store import release


class Sequences(NamedTuple):
    """The captions of a split as token ids."""
    ids: np.ndarray             # (M, max_length) integers, the captions of image 0, then of image 1, ...
    first: np.ndarray           # (N + 1,); ids[first[n]:first[n + 1]] are the captions of image n
    sided: np.ndarray           # (M,) bool, whether the caption is wrong for the mirrored image
    targets: dict = {}          # {objective's name: (N, ...)}, targets of each image
    of_captions: dict = {}      # {objective's name: (M, max_length - 1, ...)}, targets of each caption's next tokens


class Views(NamedTuple):
    """Augmentations of an image; see augment. For features, mirroring is the only one."""
    flip: bool
    crop: float
    colour: float
    mirrored: np.ndarray | None = None  # (N, P, D), features of the mirrored images


NO_VIEWS = Views(False, 0.0, 0.0)


def encode_captions(split, tokenizer, max_length):
    first = np.cumsum([0] + [len(captions) for captions in split.captions])
    texts = [text for captions in split.captions for text in captions]
    ids = np.empty((len(texts), max_length), np.uint16 if tokenizer.size < 2 ** 16 else np.int32)  # maybe millions
    for row, text in zip(ids, progress(texts, len(texts), "captions to ids", "captions")):
        row[:] = caption_ids(tokenizer, text, max_length)
    return Sequences(ids, first, np.array(list(map(sided, texts)), bool))


def captions_of(sequences, captions, rng):
    """Choose each image's captions for an epoch -> a list of (K,) indices into sequences.ids, one for each image

    captions: "random" for one random caption of each image, "first" for the first, "all" for all.
    """
    first = sequences.first
    if captions == "all":
        return [np.arange(*ends) for ends in zip(first, first[1:])]
    counts = np.diff(first)
    drawn = (rng.random(len(counts)) * counts).astype(int) if captions == "random" else np.zeros(len(counts), int)
    return list((first[:-1] + drawn)[:, None])


def beside(ids, chosen):
    """The captions of B images, trimmed to the longest; images with fewer captions get empty ones at the end.

    ids (M, L), chosen: for each image indices into them -> (B, K, T) int64
    """
    return trim(padded(ids, chosen))


def padded(of_captions, chosen, count=None):
    """Rows of an array (M, ...) for the captions of B images, padded with zeros, as PADDING is one -> (B, K, ...)

    count: K, by default the most that an image has
    """
    found = np.zeros((len(chosen), count or max(map(len, chosen)), *of_captions.shape[1:]), of_captions.dtype)
    for captions, rows in zip(found, chosen):
        captions[:len(rows)] = of_captions[rows]
    return found


def epoch_batches(images, sequences, batch_size, captions, seed, epoch, done=0, views=NO_VIEWS, threads=0,
                  share=np.arange):
    """One epoch in random order, from batch `done` on -> Batches, without keys

    captions: see captions_of; views: augmentations. All random choices are functions of seed and epoch.
    threads: those that make the next batches while the ones before are being used; 0 for none.
    share: function: the number of a batch's images -> the places of the wanted ones, by default all.
    """
    rng, changing = np.random.default_rng([seed, epoch]), any(views[:3])
    order = rng.permutation(len(images))
    chosen = captions_of(sequences, captions, rng)
    draws, flips = (rng.random((len(images), DRAWS)), rng.random(len(images)) < 0.5) if changing else (None, None)

    def made(batch):
        ids = beside(sequences.ids, [chosen[i] for i in batch])  # (B, K, T) of the whole batch: so many tokens, so long
        tokens, count, part = target_tokens(ids), len(batch), share(len(batch))
        batch, ids = batch[part], ids[part]
        pictures = images[batch]                             # (B, A, A, 3), or features (B, P, D)
        release(images)
        if changing and len(batch):
            sided = np.array([sequences.sided[chosen[i]].any() for i in batch])  # (B,)
            pictures = seen_otherwise(pictures, batch, draws[batch], views.flip & flips[batch] & ~sided, views)
        captions = [chosen[i] for i in batch]
        targets = {name: target[batch] for name, target in sequences.targets.items()}
        for name, target in sequences.of_captions.items():
            targets[name] = padded(target, captions, ids.shape[1])[:, :, :ids.shape[-1] - 1]
            release(target)
        return Batch(pictures, ids, None, targets, None, max(1, tokens), count)
    parts = [order[start:start + batch_size] for start in range(done * batch_size, len(order), batch_size)]
    if not threads:
        yield from map(made, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(pool, made, parts, 2 + threads)


def seen_otherwise(pictures, batch, draws, mirror, views):
    """Augment images, or their features.  batch (B,): their numbers, draws (B, DRAWS), mirror (B,) bool"""
    if views.mirrored is None:
        return np.stack([augment(*each, views.crop, views.colour) for each in zip(pictures, draws, mirror)])
    pictures[mirror] = views.mirrored[batch[mirror]]
    return pictures
