"""Data sets: images with their captions, photographs or generated scenes, in three splits."""
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
    images: np.ndarray | None   # (N, A, A, 3) uint8, perhaps on disk; None if nobody looks at them
    captions: list              # N tuples of strings
    names: list                 # N names of images, to tell a person which one is meant
    files: list | None = None   # N paths or Cells of the images, if they are files
    features: np.ndarray | None = None  # (N, P, D), on disk, if the model reads those of a frozen encoder
    mirrored: np.ndarray | None = None  # (N, P, D), those of the mirrored images, if they are wanted

    @property
    def inputs(self):
        """Inputs of the model: features, or else images."""
        return self.images if self.features is None else self.features

    def first(self, count):
        """Its first images, or all for 0"""
        return Split(*(part if part is None else part[:count or None] for part in self))

    def only(self, keep):
        """The images of these numbers, an array"""
        def chosen(part):
            return [part[i] for i in keep] if isinstance(part, list) else part if part is None else part[keep]
        return Split(*map(chosen, self))


class Dataset(NamedTuple):
    train: Split
    val: Split
    test: Split
    notes: list                 # sentences on what was read and what was skipped
    scenes: list | None         # the test scenes, if generated: they can judge a caption exactly


def load_dataset(data, image_size, seed, scenes=0, limit=0, looked_at=("train", "val", "test"), strict=False,
                 say=lambda note: None):
    """data "shapes", or one path or several that load_all_records knows; limit: at most so many images of each split.

    looked_at: the splits whose images are wanted; those of files in other splits are not decoded, and None.
    What cannot be used is skipped and told in the notes; strict: it is a DataError instead. DataError, too, where no
    image is left.  say: a function that is given each note as soon as it is known; decoding the images can take hours.
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
        raise DataError(" ".join([f"{shown(data)} has no images to look at ({', '.join(looked_at)}).", *records.notes]))
    store = open_images(paths, image_size)
    unreadable = _unreadable(paths, store.unreadable)
    say("\n".join(unreadable))
    left_out = records.left_out + unreadable
    if strict and left_out:
        raise DataError(" ".join([*left_out, "Fix the data, or run without --strict to skip them."]))

    images, number, start = dict.fromkeys(splits), 0, 0      # number: of the paths; start: in the store
    for name in looked_at:
        numbers = range(number, number + len(splits[name]))
        splits[name] = [record for i, record in zip(numbers, splits[name]) if i not in store.unreadable]
        images[name] = store.rows[start:start + len(splits[name])]
        number, start = numbers.stop, start + len(splits[name])
    return Dataset(*(Split(images[name], [record.captions for record in part],
                           [record.name for record in part], [record.image for record in part])
                     for name, part in splits.items()), records.notes + unreadable, None)


def _unreadable(paths, why):
    """A sentence on the images that cannot be read, or none.  why: {number of a path: reason}"""
    if not why:
        return []
    first, kinds = min(why), Counter(text.partition(" (")[0] for text in why.values())
    listed = "; ".join(f"{number:,} x {kind}" for kind, number in kinds.most_common())
    return [f"Left out {count(len(why), 'image')} that cannot be read, the first {printable(paths[first])} ({why[first]})"
            + (f"; reasons: {listed}" if len(kinds) > 1 else "") + "."]


def fingerprint(dataset):
    """Identity of the training data, checked when resuming: a hash of the names, captions and files' sizes of train and val.

    Of generated scenes the shape of the images stands for the files. It is the same wherever the folder lies and
    whenever the files were written. It does not notice a photograph exchanged for one of the same name and size, nor
    the test split.  -> str
    """
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.val):
        sizes = [split.images.shape] * len(split.names) if split.files is None else map(_size, split.files)
        digest.update(json.dumps(list(zip(split.names, split.captions, sizes))).encode() + b"\n")
    return digest.hexdigest()


def _size(file):
    """In bytes, or None of a file that is gone: then these are other data."""
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
                            f"Choose a smaller --image-size or --limit.") from error
        captions = [shapes.describe(scene) for scene in scenes]
        splits.append(Split(images, captions, [f"{name} scene {i}" for i in range(n)]))
    notes = [f"Generated {number} scenes of coloured shapes. Every second test scene has a thing of a colour that its "
             f"shape never has in training."]
    return Dataset(*splits, notes, scenes)
