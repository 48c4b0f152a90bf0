"""Caption formats -> records: one per image, with its captions and the split it belongs to."""
import errno
import os
from collections import Counter
from functools import cache
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from ..errors import DataError, printable, why
from .entries import Cell, Fault
from .formats import COCO_FOLDER, TEXT_FOLDER, find_caption_files, read_entries
from .text import count, read_text

IMAGE_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images",
                 "flickr30k-images", ".")
SPLIT_LISTS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt",
               "test": "Flickr_8k.testImages.txt"}

MISSING = Fault("image", "whose file is missing")
OUTSIDE = Fault("image", "whose path is absolute or has `..` in it")
EMPTY = Fault("empty caption", "")
UNLISTED = Fault("image", "in none of the split lists")
LISTED = Fault("image", "of the split lists whose file is missing")
UNNAMED = Fault("image", "without a caption")


class Record(NamedTuple):
    image: Path | Cell
    captions: tuple[str, ...]                       # on one line each, stripped of white space around them
    split: str                                      # "train", "val" or "test"
    name: str                                       # of the image, to tell a person which one is meant


class Records(NamedTuple):
    train: list[Record]
    val: list[Record]
    test: list[Record]
    notes: list[str]                                # sentences to be said aloud before any work starts
    left_out: list[str]                             # those of the notes that tell what cannot be used


def load_all_records(data, seed=0):
    """load_records of one data set, or of several with os.pathsep between their paths, put together split by split."""
    paths = [data] if os.path.exists(data) else [path for path in os.fspath(data).split(os.pathsep) if path] or [data]
    parts = [load_records(path, seed) for path in paths]
    if len(parts) == 1:
        return parts[0]
    labels = [Path(path).resolve().name for path in paths]
    labels = labels if len(set(labels)) == len(labels) else paths
    records = {name: [record._replace(name=f"{label}/{record.name}") for label, part in zip(labels, parts)
                      for record in getattr(part, name)] for name in SPLIT_LISTS}
    images = Counter(record.image for part in records.values() for record in part)
    if twice := [image for image, number in images.items() if number > 1]:
        raise DataError(f"{count(len(twice), 'image')} would be there twice, the first {printable(twice[0])}. "
                        "Name each data set once.")
    return Records(**records, notes=[note for part in parts for note in part.notes],
                   left_out=[note for part in parts for note in part.left_out])


def load_records(path, seed=0):
    """The captioned images of a data set, in the order of its caption file.

    path is a folder or a caption file in it, of any of formats.FORMATS. The split is the format's own, or that of
    Flickr8k's lists, or else drawn from seed; where the format has no test split, that is half of val, drawn from seed.
    What cannot be used is left out and told in the notes, each kind once, with its number and first place. A caption
    that an image has twice counts twice: two people may agree.
    DataError when nothing usable is there, when a split is ambiguous, or when a file is malformed.
    """
    files, kind = find_caption_files(Path(path))
    file = files[0][0]
    root = file.parent.parent if file.parent.name in (TEXT_FOLDER, COCO_FOLDER) else file.parent
    listings = {}
    find = cache(lambda name: find_image(name, root, listings))
    captions, first, left_out = gather(read_entries(files, kind), find)
    for path in unnamed(dict(listings.values()), first):
        leave_out(left_out, UNNAMED, root, path.relative_to(root), captions=0)

    others = f" and {count(len(files) - 1, 'file')} beside it" if len(files) > 1 else ""
    notes = [f"Read {file}{others} ({kind.title}): {count(len(captions), 'image')} with "
             f"{count(sum(map(len, captions.values())), 'caption')}."]
    if not captions:
        advice = (f"Put the files there or into {', '.join(IMAGE_FOLDERS[:-1])}." if MISSING in left_out else
                  "Mend the file, or add some.")
        raise DataError(" ".join([f"No captioned image is left in {root}.", *notes, *told(left_out), advice]))
    split = {image: first[image].split for image in captions}
    if None in split.values():
        split, note = (split_of_lists(root, find, captions, first, left_out)
                       or random_split(captions, first, left_out, seed))
        notes.append(note)
    elif "test" not in split.values() and list(split.values()).count("val") > 1:
        notes.append(halve(split, first, seed))
    records = {name: [] for name in SPLIT_LISTS}
    for image, texts in captions.items():
        if image in split:
            records[split[image]].append(Record(image, tuple(texts), split[image], printable(image.name)))
    if not any(records.values()):
        raise DataError(" ".join(["No captioned image is in any split.", *notes, *told(left_out)]))
    notes += [*told(left_out), "Split: " + ", ".join(f"{len(records[name]):,} {name}" for name in records) + "."]
    return Records(**records, notes=notes, left_out=told(left_out))


def gather(entries, find):
    """Entries -> captions {path: list}, first {path: its first entry}, left_out as of leave_out

    By path, as a name may be spelt in several ways: a.jpg, ./a.jpg, Images/a.jpg.
    """
    captions, first, left_out = {}, {}, {}
    for entry in entries:
        image = entry.fault or find(entry.image)
        if isinstance(image, Fault):
            leave_out(left_out, image, entry.place, entry.image)
            continue
        if first.setdefault(image, entry).split != entry.split:
            raise DataError(f"{entry.place}: {printable(entry.image)} is in the splits {first[image].split} and "
                            f"{entry.split}. Leave it in one of them.")
        if entry.caption:
            captions.setdefault(image, []).append(entry.caption)
        else:
            leave_out(left_out, EMPTY, entry.place, entry.image)
    return captions, first, left_out


def leave_out(left_out, fault, place, thing, captions=1):
    """Add a thing and its captions to {fault: (first place, first thing, {thing: captions})}."""
    left_out.setdefault(fault, (place, thing, Counter()))[2][thing] += captions


def told(left_out):
    """A sentence for each fault."""
    sentences = []
    for (noun, why), (place, thing, captions) in left_out.items():
        number = len(captions) if noun == "image" else captions.total()
        beside = f", with {count(captions.total(), 'caption')}" if noun == "image" and captions.total() else ""
        thing = thing.name if isinstance(thing, Cell) else thing
        sentences.append(f"Left out {count(number, noun)}{' ' * bool(why)}{why}{beside}, first at {place} "
                         f"({printable(thing)[:60]}).")
    return sentences


def find_image(name, root, listings):
    """The path of an image whose name may begin with sub-folders, or the Fault that it has none.

    Each folder is listed once, into {(image folder, sub-folder): (path, names of its files)}: a stat for each
    image takes minutes on a network drive. A name that leads elsewhere is refused: who reads a foreign data set
    does not mean to show their own files. An image in a Parquet file is its own path.
    """
    if isinstance(name, Cell):
        return name
    path = PurePath(name)
    if path.anchor or ".." in path.parts:
        return OUTSIDE
    below, file = os.path.split(name)
    for image_folder in IMAGE_FOLDERS:
        if (image_folder, below) not in listings:
            folder = root / image_folder / below
            listings[image_folder, below] = folder, list_files(folder)
        folder, files = listings[image_folder, below]
        if file in files:
            return folder / file
    return MISSING


def list_files(folder):
    """The set of the names of the files in a folder, empty if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries
                    if entry.is_file(follow_symlinks=False) or entry.is_symlink() and os.path.isfile(entry.path)}
    except (OSError, ValueError) as error:          # ValueError: a null character in its name
        if getattr(error, "errno", None) in (None, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return set()
        raise DataError(f"The folder {printable(folder)} cannot be listed: {why(error)}.") from error


def unnamed(listings, named):
    """The path of each file beside the named images, and of their kinds, that is not among them.

    listings: {folder: names of its files}; named: paths.
    """
    named = {path for path in named if isinstance(path, Path)}
    kinds = {path.suffix.lower() for path in named}
    for folder in sorted({path.parent for path in named}):
        for name in sorted(listings[folder]):
            path = folder / name
            if path.suffix.lower() in kinds and path not in named and not name.startswith("."):
                yield path


def split_of_lists(root, find, captions, first, left_out):
    """Flickr8k's three lists -> ({path: split}, a note), or None if there are no lists; adds to left_out."""
    found = {split: next((file for file in (root / name, root / TEXT_FOLDER / name) if file.is_file()), None)
             for split, name in SPLIT_LISTS.items()}
    if not any(found.values()):
        return None
    absent = [SPLIT_LISTS[split] for split, file in found.items() if not file]
    if absent:
        raise DataError(f"{' and '.join(absent)} missing in {root}, where the rest of the split lists is. "
                        "Add the missing, or remove all three for a random split.")
    split, known = {}, {name for *_, names in left_out.values() for name in names}
    for part, file in found.items():
        for line, name in enumerate(map(str.strip, read_text(file).split("\n")), 1):
            if not name:
                continue
            image = find(name)
            if isinstance(image, Fault):
                if name not in known:
                    leave_out(left_out, LISTED, f"{file}:{line}", name, captions=0)
                image = name                        # even a missing one may be in one list only
            if split.setdefault(image, part) != part:
                raise DataError(f"{file}:{line}: {printable(name)} is in {SPLIT_LISTS[split[image]]} too. "
                                "Leave it in one of them.")
    for image, texts in captions.items():
        if image not in split:
            leave_out(left_out, UNLISTED, first[image].place, first[image].image, len(texts))
    return split, f"The split is that of the lists {', '.join(SPLIT_LISTS.values())}."


def random_split(captions, first, left_out, seed):
    """About an eighth of the images each for val and test, at least one -> ({path: split}, a note)"""
    shuffled = sorted(captions, key=lambda image: first[image].image)   # not in the order of the file
    if len(shuffled) < 3:
        raise DataError(" ".join([f"{count(len(shuffled), 'captioned image')} cannot be split into train, val and test. "
                                  "Add more.", *told(left_out)]))
    np.random.default_rng(seed).shuffle(shuffled)
    part = max(1, len(shuffled) // 8)
    split = dict.fromkeys(shuffled, "train") | dict.fromkeys(shuffled[:part], "val")
    split |= dict.fromkeys(shuffled[part:2 * part], "test")
    return split, f"There are no split lists: an eighth each for val and test was drawn with seed {seed}."


def halve(split, first, seed):
    """Turn half of the val images of {path: split} into test, drawn from seed -> a note"""
    held_out = sorted((image for image, part in split.items() if part == "val"), key=lambda image: first[image].image)
    np.random.default_rng(seed).shuffle(held_out)
    split.update(dict.fromkeys(held_out[:len(held_out) // 2], "test"))
    return f"There is no test split: half of the validation images were drawn for it with seed {seed}."
