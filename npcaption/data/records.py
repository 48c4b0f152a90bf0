"""Caption formats -> records: one per image, with its captions and the split it belongs to."""
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, printable
from .finding import IMAGE_FOLDERS, MISSING, Finder, Respelt, full_name, identities, list_folder, spelling, unique_names
from .formats.entries import Cell, Fault
from .formats.lists import NOT_UTF8
from .formats.sources import TEXT_FOLDER, find_caption_files, like, read_entries
from .formats.text import count, read_text
from .splits import SPLITS, WORDS, completed, split_named

SPLIT_LISTS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt",
               "test": "Flickr_8k.testImages.txt"}

EMPTY = Fault("empty caption", "")
ARCHIVES = ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"
NO_TEXT = "nan", "none", "null", "n/a", "<na>", "[]"      # what programs write for a caption that is not there
SHARED = Fault("image", "whose name fits no file but that of another name")
UNLISTED = Fault("image", "in none of the split lists")
UNSTATED = Fault("image", "in none of the stated splits")
UNKNOWN = Fault("image", "whose stated split is none of train, val and test")
LISTED = Fault("image", "of the split lists whose file is missing")
UNNAMED = Fault("image", "without a caption")


class Record(NamedTuple):
    image: Path | Cell
    captions: tuple[str, ...]                       # on one line each, stripped of white space around them
    split: str                                      # "train", "val" or "test"
    name: str                                       # of the image: its path below the folder of images, printable


class Records(NamedTuple):
    train: list[Record]
    val: list[Record]
    test: list[Record]
    notes: list[str]                                # sentences to print before any work starts
    left_out: list[str]                             # those of the notes that tell what cannot be used


class Gathered(NamedTuple):
    """Captions, splits and faults gathered from the entries of a data set."""
    captions: dict                                  # {image: list}
    first: dict                                     # {image: its first entry}
    stated: dict                                    # {image: split}
    by_row: set                                     # the splits that are stated image by image, not by files' names
    left_out: dict                                  # as of leave_out
    respelt: dict                                   # {how: (first place, first name, first path, {path: None})}


def load_all_records(data):
    """load_records of one path, or of several, their data sets put together split by split."""
    paths = paths_of(data)
    parts = [load_records(path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    labels = labels_of(paths)
    records = {name: [record._replace(name=f"{label}/{record.name}") for label, part in zip(labels, parts)
                      for record in getattr(part, name)] for name in SPLITS}
    real = cache(os.path.realpath)                  # of folders: of each image it would take minutes on a network drive
    images = Counter(image._replace(file=real(image.file)) if isinstance(image, Cell) else (real(image.parent),
                                                                                            image.name)
                     for part in records.values() for image, *_ in part)
    if twice := [image for image, number in images.items() if number > 1]:
        first = twice[0] if isinstance(twice[0], Cell) else os.path.join(*twice[0])
        raise DataError(f"{count(len(twice), 'image')} would be there twice, the first {printable(first)}. "
                        "Name each data set once.")
    return Records(**records, notes=[note for part in parts for note in part.notes],
                   left_out=[note for part in parts for note in part.left_out])


def labels_of(paths):
    """Labels of several data sets, wherever they lie: the last part of each path, or as many as it takes"""
    parts = [Path(path).resolve().parts for path in paths]
    for number in range(1, max(map(len, parts)) + 1):
        labels = [printable("/".join(part[-number:])) for part in parts]
        if len(set(labels)) == len(labels):
            break
    return labels


def paths_of(data):
    """One path, or several -> a tuple of them"""
    return (data,) if isinstance(data, (str, os.PathLike)) else tuple(data)


def load_records(path):
    """The captioned images of a data set, in the order of its caption file.

    path is a folder or a caption file in it, of any of formats.FORMATS. The split is the one that the data set states:
    in a column or key `split`, in the names of its files and folders, or in Flickr8k's lists. What it does not state is
    drawn by a hash of each image's name, which no other image changes. What cannot be used is left out and told in the
    notes, each kind once, with its number and first place. A caption that an image has twice counts twice: two people
    may agree.
    DataError when nothing usable is there, when a split is ambiguous, or when a file is malformed.
    """
    sources, root = find_caption_files(Path(path))
    finder = Finder(root)
    found = gather(read_entries(sources), finder.find)
    captions, left_out = found.captions, found.left_out
    for image in finder.unnamed(found.first):
        leave_out(left_out, UNNAMED, root, image.relative_to(root), captions=0)
    others = f" and {count(len(sources) - 1, 'file')} beside it" if len(sources) > 1 else ""
    notes = [f"Read {printable(sources[0].file)}{others} ({sources[0].kind.title}): {count(len(captions), 'image')} "
             f"with {count(sum(map(len, captions.values())), 'caption')}."]
    if not captions:
        raise DataError(" ".join([f"No captioned image is left in {printable(root)}.", *notes, *told(left_out),
                                  advice(left_out, finder)]))
    names = identities(captions, root)
    if len(set(names.values())) < 3:                # such as image.jpg for each row of a Parquet file
        names = unique_names(names, root)
    split, sentences = split_of(found, names, root, finder.find, {source.file for source in sources})
    names = unique_names(names, root)
    notes += [*differences(found.respelt, root), *sentences]
    records = {name: [] for name in SPLITS}
    for image, texts in captions.items():
        if image in split:
            records[split[image]].append(Record(image, tuple(texts), split[image], printable(names[image])))
    if not any(records.values()):
        raise DataError(" ".join(["No captioned image is in any split.", *notes, *told(left_out)]))
    notes += [*told(left_out), "Split: " + ", ".join(f"{len(records[name]):,} {name}" for name in records) + "."]
    return Records(**records, notes=notes, left_out=told(left_out))


# ----------------------------------------------------------------------------------------------------------- gathering

def gather(entries, find):
    """(source, entry) pairs -> Gathered

    By path, as a name may be spelt in several ways: a.jpg, ./a.jpg, Images/a.jpg. A file that is spelt otherwise than
    its name is that name's only if no other name means it.
    """
    found, roughly = Gathered({}, {}, {}, set(), {}, {}), []
    for source, entry in entries:
        image = entry.fault or find(entry.image, source.below)
        if isinstance(image, Respelt):
            found.captions.setdefault(image.image, [])                              # its place in the order
            roughly.append((source, entry, image))
        else:
            take(found, source, entry, image)
    spellings = {}
    for _, entry, image in roughly:
        exact = [spelling(found.first[image.image].image)] if image.image in found.first else []
        spellings.setdefault(image.image, set()).update([*exact, spelling(entry.image)])
    for source, entry, image in roughly:
        if len(spellings[image.image]) > 1:
            take(found, source, entry, SHARED)
        else:
            respell(found.respelt, image, entry.place, entry.image)
            take(found, source, entry, image.image)
    for image in [image for image, texts in found.captions.items() if not texts]:
        del found.captions[image]
    return found


def take(found, source, entry, image):
    """Add an entry of an image, or of the Fault that makes it unusable, to Gathered."""
    if isinstance(image, Fault):
        leave_out(found.left_out, image, entry.place, entry.image)
        return
    split = WORDS.get(entry.split.lower()) if entry.split else source.split
    if not split and entry.split:
        name = entry.image.name if isinstance(entry.image, Cell) else entry.image
        leave_out(found.left_out, UNKNOWN, entry.place, f"{name}: {entry.split}")
        return
    found.first.setdefault(image, entry)
    if split and source.split not in (None, split):
        raise DataError(f"{entry.place} states the split {printable(entry.split)}, and the name of its file or folder "
                        f"the split {source.split}. Correct one of them.")
    if split and found.stated.setdefault(image, split) != split:
        raise DataError(f"{entry.place}: {printable(full(entry.image))} is in the splits {found.stated[image]} and "
                        f"{split}. Leave it in one of them.")
    if entry.split:
        found.by_row.add(split)
    if entry.caption and entry.caption.lower() not in NO_TEXT:
        found.captions.setdefault(image, []).append(entry.caption)
    else:
        leave_out(found.left_out, EMPTY, entry.place, entry.image)


def full(thing):
    """An image or a line as a sentence names it."""
    return thing.name if isinstance(thing, Cell) else thing


def leave_out(left_out, fault, place, thing, captions=1):
    """Add a thing and its captions to {fault: (first place, first thing, {thing: captions})}."""
    left_out.setdefault(fault, (place, thing, Counter()))[2][thing] += captions


def told(left_out):
    """A sentence for each fault."""
    sentences = []
    for (noun, why), (place, thing, captions) in left_out.items():
        number = len(captions) if noun == "image" else captions.total()
        beside = f", with {count(captions.total(), 'caption')}" if noun == "image" and captions.total() else ""
        sentences.append(f"Left out {count(number, noun)}{' ' * bool(why)}{why}{beside}, first at {printable(place)} "
                         f"({printable(full(thing))[:60]}).")
    return sentences


def respell(respelt, image, place, name):
    respelt.setdefault(image.how, (place, name, image.image, {}))[3][image.image] = None


def differences(respelt, root):
    """A sentence for each way in which names differ from those of their files."""
    return [f"Found {count(len(images), 'image')} whose name differs from its file's ({how}), first at "
            f"{printable(place)} ({printable(name)[:60]} is {printable(full_name(path, root))})."
            for how, (place, name, path, images) in respelt.items()]


def advice(left_out, finder):
    """Remedy where no image is left."""
    if NOT_UTF8 in left_out:
        return "Save the file as UTF-8."
    if MISSING not in left_out:
        return "Correct the file, or add images."
    archives = [name for name in sorted(finder.files.get(finder.root, ())) if name.lower().endswith(ARCHIVES)]
    if archives:
        return f"Unpack {printable(archives[0])} there."
    if folder := finder.elsewhere(left_out[MISSING][1]):
        return (f"That file is in {printable(folder)}: give that folder one of the names "
                f"{', '.join(IMAGE_FOLDERS[:-1])}.")
    if image := finder.example():
        return (f"There are images, such as {printable(image.relative_to(finder.root))}, but none of these names. Give "
                "the captions the names of the files.")
    return f"There are no images there. Put them there or into {', '.join(IMAGE_FOLDERS[:-1])}."


# -------------------------------------------------------------------------------------------------------------- splits

def split_of(found, names, root, find, taken):
    """{image: split} of the captioned images, and sentences on where it is from; adds to found.left_out

    The split of the rows or of the files' names, or of lists of images, or of the folders of the images. Files that are
    all of one split are a part of a data set: then theirs is none. taken: the caption files.
    """
    stated = {image: found.stated[image] for image in names if image in found.stated}
    folders = {image: part for image, name in names.items() if (part := split_of_folders(name))}
    folders = folders if len(set(folders.values())) > 1 else {}
    only = set() if found.by_row else set(stated.values())
    alone = f"The files state the split {only.pop()} alone. " if len(only) == 1 else ""
    files = list_files(root, find, taken)
    lists = list(read_lists(files, find))
    if stated and not alone:
        split, fault, notes = stated, UNSTATED, [
            f"The split is the one stated {'for each image' if found.by_row else 'by the names of the files'}."]
        for image, part, name, place in lists:
            if split.get(image, part) != part:
                raise DataError(f"{place}: {printable(name)} is in the split {split[image]} by "
                                f"{found.first[image].place}. Correct one of them.")
        if other := [image for image in split if folders.get(image, split[image]) != split[image]]:
            notes.append(f"{count(len(other), 'image')} of other splits than their folders are named after, the first "
                         f"{printable(names[other[0]])} of {split[other[0]]}: the folders do not count.")
    elif lists:
        split, fault, notes = split_of_lists(lists, files, found.left_out), UNLISTED, [
            f"The split is that of the lists {printable(', '.join(file.name for file in files.values()))}."]
        if "train" not in files:
            split = {image: split.get(image, "train") for image in names}
            notes.append("To train on are the images in none of them.")
    elif folders:
        split, fault, notes = folders, UNSTATED, ["The split is that of the folders of the images."]
    elif (different := len(set(names.values()))) < 3:
        raise DataError(" ".join([f"{count(different, 'captioned image')} cannot be split into train, val and test. "
                                  "Add more.", *told(found.left_out)]))
    else:
        split, drawn = completed(dict.fromkeys(names, "train"), names)
        return split, [f"{alone or 'No split is stated. '}{drawn}"]
    for image in names:
        if image not in split:
            first = found.first[image]
            leave_out(found.left_out, fault, first.place, first.image, len(found.captions[image]))
    if fault is UNLISTED and len(files) == len(SPLITS):
        return split, notes
    split, drawn = completed(split, names)
    return split, notes + [drawn] * bool(drawn)


def split_of_folders(name):
    """The split that the folders in an image's name state, or None if none or several"""
    found = {part for folder in name.split("/")[:-1] if (part := split_named(folder))}
    return found.pop() if len(found) == 1 else None


def read_lists(files, find):
    """Rows of the lists that are there: (image, or the Fault of the name; split; name; place)"""
    for part, file in files.items():
        for line, name in enumerate(map(str.strip, read_text(file, "surrogateescape").split("\n")), 1):
            if name:
                image = find(name)
                yield image.image if isinstance(image, Respelt) else image, part, name, f"{printable(file)}:{line}"


def list_files(root, find, taken):
    """{split: file} of Flickr8k's three lists, or else of files such as train.txt, val.txt and test.txt that are lists

    A list has an image's name in each line. DataError if one of Flickr8k's is missing, or two lists are of one split.
    """
    places = [(folder, list_folder(folder)[0]) for folder in (root, root / TEXT_FOLDER, root / "splits")]
    found = {split: folder / name for split, name in SPLIT_LISTS.items()
             for folder, names in reversed(places) if name in names}
    if absent := [name for split, name in SPLIT_LISTS.items() if split not in found and found]:
        raise DataError(f"{' and '.join(absent)} missing in {printable(root)}, where the rest of the split lists is. "
                        "Add the missing, or remove all three for a random split.")
    if found:
        return found
    for file in (folder / name for folder, names in places for name in sorted(names) if like(name, "*.txt")):
        if (split := split_named(file.stem)) and file not in taken and is_list(file, find):
            if split in found:
                raise DataError(f"{printable(found[split])} and {printable(file)} both list images of the split "
                                f"{split}. Leave one of them.")
            found[split] = file
    return {split: found[split] for split in SPLITS if split in found}


def is_list(file, find):
    """Whether most of the first lines of a file are names of images."""
    try:
        lines = [line for line in map(str.strip, read_text(file, "surrogateescape").split("\n")) if line][:100]
    except DataError:                               # binary
        return False
    return 2 * sum(not isinstance(find(line), Fault) for line in lines) > len(lines)


def split_of_lists(rows, files, left_out):
    """The rows of the lists -> {path or name: split}; adds to left_out"""
    split, known = {}, {name for *_, names in left_out.values() for name in names}
    for image, part, name, place in rows:
        if isinstance(image, Fault):
            if name not in known:
                leave_out(left_out, LISTED, place, name, captions=0)
            image = name                            # even a missing one may be in one list only
        if split.setdefault(image, part) != part:
            raise DataError(f"{place}: {printable(name)} is in {printable(files[split[image]].name)} too. "
                            "Leave it in one of them.")
    return split
