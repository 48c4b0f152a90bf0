"""Features of a frozen encoder beside the images of a data set."""
from pathlib import Path

import numpy as np

from ..errors import DataError, printable
from .feature_file import FeatureFile
from .feature_store import open_features
from .formats.text import count


class Rows:
    """Some rows of an array on disk, by their numbers, read when they are asked for."""

    def __init__(self, array, numbers):
        self.array, self.numbers = array, numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, chosen):
        """An array for a number or an array of numbers, Rows for a slice"""
        return Rows(self.array, self.numbers[chosen]) if isinstance(chosen, slice) else self.array[self.numbers[chosen]]

    def __iter__(self):
        return (self.array[number] for number in self.numbers)


def with_features(dataset, encoder, flip=False, looked_at=("train", "val", "test")):
    """The Dataset with an encoder's features of the images that are looked at; as it is for no encoder.

    flip: those of the mirrored training images, too. An image that the encoder cannot read is skipped, which a note says.
    DataError if the images are not files, or features are missing.
    """
    if encoder is None:
        return dataset
    splits = {name: getattr(dataset, name) for name in looked_at}
    if any(split.files is None for split in splits.values()):
        raise DataError("A frozen encoder needs photographs: name their folder with --data.")
    find = found_in_file if isinstance(encoder, FeatureFile) else computed
    features, unreadable = find(encoder, splits, False)
    mirrored = find(encoder, {"train": splits["train"]}, True)[0] if flip else {}
    notes = list(dataset.notes)
    for name, split in splits.items():
        split = split._replace(features=features[name], mirrored=mirrored.get(name))
        if why := unreadable.get(name):
            keep = np.array([i for i in range(len(split.names)) if i not in why], int)
            notes.append(f"Skipped {count(len(why), f'{name} image')} that {encoder.name} cannot read, the first "
                         f"{printable(split.names[min(why)])} ({why[min(why)]}).")
            split = split._replace(features=None, mirrored=None).only(keep)._replace(
                features=split.features, mirrored=split.mirrored)
        splits[name] = split
    return dataset._replace(**splits, notes=notes)


def features_of(split, encoder):
    """An encoder's features of the images of a Split -> (N, P, D).  DataError if it cannot read one"""
    if split.features is not None:                           # the encoder's, as there is but one
        return split.features
    if split.files is None:
        raise DataError("A frozen encoder needs photographs: name their folder with --data.")
    find = found_in_file if isinstance(encoder, FeatureFile) else computed
    features, unreadable = find(encoder, {"train": split}, False)
    for number, reason in unreadable.get("train", {}).items():
        raise DataError(f"{encoder.name} cannot read {printable(split.names[number])} ({reason}). Remove it from the data.")
    return features["train"]


def computed(encoder, splits, mirrored):
    """{split's name: features (N, P, D)} from the feature store, and {name: {number of an unreadable image: why}}"""
    paths = [path for split in splits.values() for path in split.files]
    store, found, unreadable, first, row = open_features(paths, encoder, mirrored), {}, {}, 0, 0
    for name, split in splits.items():
        why = {number - first: why for number, why in store.unreadable.items() if first <= number < first + len(split.files)}
        rows = len(split.files) - len(why)
        found[name], unreadable[name] = store.rows[row:row + rows], why
        first, row = first + len(split.files), row + rows
    return found, unreadable


def found_in_file(file, splits, mirrored):
    """The same from a FeatureFile.  DataError if it lacks an image"""
    rows = file.mirrored if mirrored else file.rows
    if rows is None:
        raise DataError(f"flip needs the features of the mirrored images, and {file.name} come without them. Add "
                        f"{Path(file.path).stem}-mirrored.npy beside, or train with --no-flip.")
    return {name: Rows(rows, file.numbers_of(split.names)) for name, split in splits.items()}, {}
