"""Caption formats -> records: one per image, with its captions and the split it belongs to."""
import codecs
import csv
import io
import json
import os
import re
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError

FORMATS = {"dataset_*.json": "Karpathy's JSON", "Flickr8k.token.txt": "the original Flickr8k",
           "captions.txt": "a caption list"}        # in the order in which they are looked for
TEXT_FOLDER = "Flickr8k_text"                       # where the original archive puts its text files
IMAGE_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", ".")
SPLIT_LISTS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt",
               "test": "Flickr_8k.testImages.txt"}
KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class Record(NamedTuple):
    image: Path
    captions: tuple[str, ...]                       # as written, stripped of white space around them
    split: str                                      # "train", "val" or "test"


class Records(NamedTuple):
    train: list[Record]
    val: list[Record]
    test: list[Record]
    notes: list[str]                                # sentences to be said aloud before any work starts


class Entry(NamedTuple):
    place: str                                      # where it stands: "captions.txt:12"
    image: str                                      # its path below the folder of the images
    caption: str
    split: str | None                               # None where the format does not tell


def load_records(path, seed=0):
    """The captioned images of a data set, in the order of its caption file.

    path is a folder or a caption file in it: Karpathy's dataset_*.json, the original Flickr8k.token.txt, or a
    captions.txt of `name,caption` or `name<TAB>caption` lines. The split is the format's own, or that of
    Flickr8k's lists, or else drawn from seed. What cannot be used is left out and told in the notes.
    DataError when nothing usable is there, when a split is ambiguous, or when a file is malformed.
    """
    file, title = find_caption_file(Path(path))
    root = file.parent.parent if file.parent.name == TEXT_FOLDER else file.parent
    read, find = read_karpathy if file.suffix == ".json" else read_captions, image_finder(root)

    images, captions, split, empty, missing = {}, {}, {}, [], []
    for entry in read(file):
        if split.setdefault(entry.image, entry.split) != entry.split:
            raise DataError(f"{entry.place}: {entry.image} is in the splits {split[entry.image]} and "
                            f"{entry.split}. Leave it in one of them.")
        if entry.image not in images:
            images[entry.image] = find(entry.image)
        if not images[entry.image]:
            missing.append(entry)
        elif not entry.caption:
            empty.append(entry)
        else:
            captions.setdefault(entry.image, []).append(entry.caption)

    notes = [f"Read {file} ({title}): {count(captions, 'image')} with "
             f"{count([*chain(*captions.values())], 'caption')}."]
    if missing:
        notes.append(f"Left out {count({entry.image for entry in missing}, 'image')} whose file is missing, "
                     f"with {count(missing, 'caption')}, first at {missing[0].place} ({missing[0].image}).")
    if empty:
        notes.append(f"Left out {count(empty, 'empty caption')}, "
                     f"first at {empty[0].place} ({empty[0].image}).")
    if not captions:
        advice = f"Put the files there or into {', '.join(IMAGE_FOLDERS[:-1])}." if missing else "Add some."
        raise DataError(" ".join([f"No captioned image is left in {root}.", *notes, advice]))

    if None in split.values():
        split, split_notes = split_of_lists(root, captions) or random_split(captions, seed)
        notes += split_notes
    records = {name: [] for name in SPLIT_LISTS}
    for name, texts in captions.items():
        if name in split:
            records[split[name]].append(Record(images[name], tuple(texts), split[name]))
    if not any(records.values()):
        raise DataError(" ".join(["No captioned image is in any split.", *notes]))
    notes.append("Split: " + ", ".join(f"{len(records[name]):,} {name}" for name in records) + ".")
    return Records(**records, notes=notes)


def find_caption_file(path):
    """The caption file that path is or holds, and the title of its format."""
    try:
        if path.is_file():
            return path, next((title for name, title in FORMATS.items() if path.match(name)), "captions")
        there = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}. "
                        "Give the path of a folder or of a caption file.") from error
    for pattern, title in FORMATS.items():
        files = sorted(path.glob(pattern)) or sorted((path / TEXT_FOLDER).glob(pattern))
        if len(files) > 1:
            raise DataError(f"{path} holds {', '.join(file.name for file in files)}. "
                            "Give the path of the one you mean.")
        if files:
            return files[0], title
    holds = ", ".join(there[:10]) + (f" and {len(there) - 10:,} more" if len(there) > 10 else "")
    raise DataError(f"No captions were found in {path}: looked for {', '.join(FORMATS)} there and in "
                    f"{TEXT_FOLDER}/. The folder holds {holds or 'nothing'}. Give another folder, or write a "
                    "captions.txt with one line `name.jpg,caption` for each caption.")


def image_finder(root):
    """A function from an image's name, which may begin with sub-folders, to its Path, or None if absent.

    Each folder is listed once: a stat for each image takes minutes on a network drive.
    """
    listings = {}

    def find(name):
        for image_folder in IMAGE_FOLDERS:
            path = root / image_folder / name
            if path.parent not in listings:
                listings[path.parent] = list_files(path.parent)
            if path.name in listings[path.parent]:
                return path
        return None
    return find


def list_files(folder):
    """The set of the names of the files in a folder, empty if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except (OSError, ValueError) as error:
        raise DataError(f"The folder {folder} cannot be listed: {error}.") from error


def read_text(file):
    r"""A file's text, with "\n" line ends and without a byte order mark."""
    try:
        data = file.read_bytes().removeprefix(codecs.BOM_UTF8)
        return data.decode().replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}:{line} is not UTF-8 text (byte 0x{data[error.start]:02x}). "
                        "Save the file as UTF-8.") from error


def read_captions(file):
    """Entries of `name<TAB>caption` lines if the first line has a tab, or else of RFC 4180's `name,caption`.

    A header, recognised by its column `caption`, is skipped. A suffix #k of the name, Flickr8k's number of
    the caption, is dropped. Only the first comma or tab separates: others, unquoted, belong to the caption.
    """
    text = read_text(file)
    tab = "\t" in text.lstrip().partition("\n")[0]
    separator, style = ("\t", {"quoting": csv.QUOTE_NONE}) if tab else (",", {"strict": True})
    rows = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, **style)
    line, header = 1, None
    try:
        for row in rows:
            place, line = f"{file}:{line}", rows.line_num + 1
            if not any(map(str.strip, row)):
                continue
            if header is None and (header := "caption" in [column.strip().lower() for column in row]):
                if len(row) == 2 and row[1].strip().lower() == "caption":
                    continue
                raise DataError(f"{place} has the columns {', '.join(row)}. Keep two, image and caption.")
            name = re.sub(r"#\d+$", "", row[0].strip())
            if len(row) == 1 or not name:
                raise DataError(f"{place} is not a name, a {'tab' if tab else 'comma'} and a caption: "
                                f"{separator.join(row)[:60]!r}. Correct or remove the line.")
            yield Entry(place, name, separator.join(row[1:]).replace("\n", " ").strip(), None)
    except csv.Error as error:
        raise DataError(f"{file}:{line} is not well quoted ({error}). Put a caption that begins with a quote "
                        'in quotes, and double its own: """Stop"" says the sign".') from error


def read_karpathy(file):
    """Entries of {"images": [{"filename", "split", "sentences": [{"raw"}], and perhaps "filepath"}]}"""
    try:
        content = json.loads(read_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}. Download it again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{file} has no list `images`, as Karpathy's dataset_*.json have. Give another file.")
    for i, image in enumerate(content["images"]):
        place = f"{file}: images[{i}]"
        try:
            name = "/".join(filter(None, (image.get("filepath"), image["filename"])))
            split = KARPATHY_SPLITS[image["split"]]
            captions = [sentence["raw"].replace("\n", " ").strip() for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{place} cannot be used ({type(error).__name__}: {error}). It needs `filename`, "
                            f"`split` ({', '.join(KARPATHY_SPLITS)}) and `sentences` with `raw`.") from error
        for caption in captions or [""]:
            yield Entry(place, name, caption, split)


def split_of_lists(root, names):
    """Flickr8k's three lists -> ({name: split}, notes), or None if there are no lists."""
    found = {split: next((file for file in (root / name, root / TEXT_FOLDER / name) if file.is_file()), None)
             for split, name in SPLIT_LISTS.items()}
    if not any(found.values()):
        return None
    absent = [SPLIT_LISTS[split] for split, file in found.items() if not file]
    if absent:
        raise DataError(f"{' and '.join(absent)} missing in {root}, where the rest of the split lists is. "
                        "Add the missing, or remove all three for a random split.")
    split, uncaptioned = {}, []
    for part, file in found.items():
        for line, name in enumerate(map(str.strip, read_text(file).split("\n")), 1):
            if name and split.setdefault(name, part) != part:
                raise DataError(f"{file}:{line}: {name} is in {SPLIT_LISTS[split[name]]} too. "
                                "Leave it in one of them.")
            if name and name not in names:
                uncaptioned.append(f"{file}:{line} ({name})")
    unlisted = [name for name in names if name not in split]
    notes = ["The split is that of the lists " + ", ".join(SPLIT_LISTS.values()) + "."]
    if unlisted:
        notes.append(f"Left out {count(unlisted, 'image')} in none of the lists, the first {unlisted[0]}.")
    if uncaptioned:
        notes.append(f"The lists name {count(uncaptioned, 'image')} without a caption or without a file, "
                     f"first at {uncaptioned[0]}.")
    return split, notes


def random_split(names, seed):
    """About an eighth of the names each for val and test, at least one -> ({name: split}, notes)"""
    shuffled = sorted(names)                        # the split shall not depend on the order of the file
    if len(shuffled) < 3:
        raise DataError(f"{count(shuffled, 'captioned image')} cannot be split into train, val and test. "
                        "Add more.")
    np.random.default_rng(seed).shuffle(shuffled)
    part = max(1, len(shuffled) // 8)
    split = dict.fromkeys(shuffled, "train") | dict.fromkeys(shuffled[:part], "val")
    split |= dict.fromkeys(shuffled[part:2 * part], "test")
    return split, [f"There are no split lists: an eighth each for val and test was drawn with seed {seed}."]


def count(things, noun):
    """2 things and "image" -> "2 images" """
    return f"{len(things):,} {noun}" + "s" * (len(things) != 1)
