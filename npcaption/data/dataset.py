"""Data sets: images, from files or generated, with captions, in three splits."""
import hashlib
import json
import os
from collections import Counter
from typing import NamedTuple

import numpy as np

from ..config import SHAPES
from ..errors import DataError, printable
from ..support.settings import shown
from . import shapes
from .formats.text import count
from .image_store import open_images
from .records import load_all_records, paths_of

HELD_OUT_SCENES = 400


class Split(NamedTuple):
    images: np.ndarray | None   # (N, A, A, 3) uint8, memory-mapped for files; None if not requested
    captions: list              # N tuples of strings
    names: list                 # N names of images, for messages
    files: list | None = None   # N paths or ParquetImages; None if generated
    features: np.ndarray | None = None  # (N, P, D), on disk; None if the model reads pixels
    mirrored: np.ndarray | None = None  # (N, P, D), features of the mirrored images, if requested

    @property
    def inputs(self):
        """Inputs of the model: features, or else images."""
        return self.images if self.features is None else self.features

    def first(self, count):
        """The first `count` images; all for 0"""
        return Split(*(part if part is None else part[:count or None] for part in self))

    def only(self, keep):
        """The images of these indices.  keep: an array"""
        def chosen(part):
            return [part[i] for i in keep] if isinstance(part, list) else part if part is None else part[keep]
        return Split(*map(chosen, self))


class Dataset(NamedTuple):
    train: Split
    val: Split
    test: Split
    notes: list                 # sentences about the data read and skipped
    scenes: list | None         # test scenes for judging captions, if generated


def load_dataset(data, image_size, seed, scenes=0, limit=0, looked_at=("train", "val", "test"), strict=False,
                 say=lambda note: None):
    """Load a data set -> Dataset.  data: "shapes", or one or several paths for load_all_records

    limit: maximum images of each split; 0 for all. looked_at: splits with images; image files of other splits are not
    decoded, and their `images` are None. Unusable images and captions are skipped and counted in the notes; with strict
    they raise DataError. say: function for each note, called at once, because decoding can take hours.
    DataError if no image is left.
    """
    data = paths_of(data)
    if data == SHAPES:
        dataset = _generated(image_size, seed, min(limit or scenes, scenes))
        say("\n".join(dataset.notes))
        return dataset
    records = load_all_records(data)
    say("\n".join(records.notes))
    splits = {name: getattr(records, name)[:limit or None] for name in ("train", "val", "test")}
    paths = [record.image for name in looked_at for record in splits[name]]
    if not paths:
        raise DataError(" ".join([f"{shown(data)} has no images in the splits needed ({', '.join(looked_at)}). Check "
                                  "the splits.", *records.notes]))
    store = open_images(paths, image_size)
    unreadable = _unreadable(paths, store.unreadable)
    say("\n".join(unreadable))
    skipped = records.skipped + unreadable
    if strict and skipped:
        raise DataError(" ".join([*skipped, "Fix the data, or run without --strict to skip them."]))

    images, number, start = dict.fromkeys(splits), 0, 0      # number: index into paths; start: row of the store
    for name in looked_at:
        numbers = range(number, number + len(splits[name]))
        splits[name] = [record for i, record in zip(numbers, splits[name]) if i not in store.unreadable]
        images[name] = store.rows[start:start + len(splits[name])]
        number, start = numbers.stop, start + len(splits[name])
    return Dataset(*(Split(images[name], [record.captions for record in part],
                           [record.name for record in part], [record.image for record in part])
                     for name, part in splits.items()), records.notes + unreadable, None)


def _unreadable(paths, why):
    """Note about unreadable images, a list of at most one.  why: {index of a path: reason}"""
    if not why:
        return []
    first, kinds = min(why), Counter(text.partition(" (")[0] for text in why.values())
    listed = "; ".join(f"{number:,} x {kind}" for kind, number in kinds.most_common())
    return [f"Skipped {count(len(why), 'unreadable image')}, first {printable(paths[first])} ({why[first]})"
            + (f"; reasons: {listed}" if len(kinds) > 1 else "") + "."]


def fingerprint(dataset):
    """Identity of the training data, checked on resuming -> str

    A hash of names, captions and file sizes of train and val; generated scenes have the shape of their images instead
    of sizes. It does not depend on the folder's place or on file times. It misses changes of the test split, and an
    image replaced by another of the same name and size.
    """
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.val):
        sizes = [split.images.shape] * len(split.names) if split.files is None else map(_size, split.files)
        digest.update(json.dumps(list(zip(split.names, split.captions, sizes))).encode() + b"\n")
    return digest.hexdigest()


def _size(file):
    """Size of a file in bytes, or None if it is gone"""
    try:
        return os.path.getsize(file)
    except OSError:
        return None


def _generated(image_size, seed, number):
    splits = []
    for name, n in [("train", number), ("val", min(number, HELD_OUT_SCENES)), ("test", min(number, HELD_OUT_SCENES))]:
        try:
            scenes, images = shapes.make_scenes(seed, name, n, image_size)
        except MemoryError as error:
            raise DataError(f"{n} scenes of {image_size} x {image_size} pixels do not fit into memory. "
                            f"Pass a smaller --image-size or --limit.") from error
        captions = [shapes.describe(scene) for scene in scenes]
        splits.append(Split(images, captions, [f"{name} scene {i}" for i in range(n)]))
    notes = [f"Generated {number} scenes of coloured shapes. Every second test scene has a combination of colour and "
             f"shape absent from training."]
    return Dataset(*splits, notes, scenes)
