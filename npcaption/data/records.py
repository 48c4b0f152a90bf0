"""Records of a data set: one per image, with its captions and its split."""
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, printable
from .finding import (
    IMAGE_FOLDERS,
    MISSING,
    Finder,
    InexactMatch,
    full_name,
    identities,
    list_folder,
    spelling,
    unique_names,
)
from .formats.entries import ParquetImage, SkipReason
from .formats.lists import NOT_UTF8
from .formats.sources import TEXT_FOLDER, find_caption_files, like, read_entries
from .formats.text import count, read_text
from .splits import SPLITS, WORDS, completed, split_named

SPLIT_LISTS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt",
               "test": "Flickr_8k.testImages.txt"}

EMPTY = SkipReason("empty caption", "")
ARCHIVES = ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"
NO_TEXT = "nan", "none", "null", "n/a", "<na>", "[]"      # programs' spellings of a missing caption
SHARED = SkipReason("image", "name matches only another name's file")
UNLISTED = SkipReason("image", "in none of the split lists")
UNSTATED = SkipReason("image", "in none of the stated splits")
UNKNOWN = SkipReason("image", "split other than train, val and test")
LISTED = SkipReason("image", "in a split list, missing file")
NO_CAPTION = SkipReason("image", "no caption")


class Record(NamedTuple):
    image: Path | ParquetImage
    captions: tuple[str, ...]                       # one line each, stripped
    split: str                                      # "train", "val" or "test"
    name: str                                       # image's path below the image folder, printable


class Records(NamedTuple):
    train: list[Record]
    val: list[Record]
    test: list[Record]
    notes: list[str]                                # sentences to print before any work starts
    skipped: list[str]                              # the notes about unusable images and captions


class Gathered(NamedTuple):
    """Captions, splits and skip reasons gathered from the entries of a data set."""
    captions: dict                                  # {image: list}
    first: dict                                     # {image: its first entry}
    stated: dict                                    # {image: split}
    by_row: set                                     # splits stated by rows, not by file names
    skipped: dict                                   # see skip
    inexact: dict                                   # {difference: (first place, first name, first path, {path: None})}


def load_all_records(data):
    """Load the records of one path, or of several paths combined split by split -> Records.  See load_records"""
    paths = paths_of(data)
    parts = [load_records(path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    labels = labels_of(paths)
    records = {name: [record._replace(name=f"{label}/{record.name}") for label, part in zip(labels, parts)
                      for record in getattr(part, name)] for name in SPLITS}
    real = cache(os.path.realpath)                  # once per folder: once per image takes minutes on a network drive
    images = Counter(image._replace(file=real(image.file)) if isinstance(image, ParquetImage)
                     else (real(image.parent), image.name) for part in records.values() for image, *_ in part)
    if twice := [image for image, number in images.items() if number > 1]:
        first = twice[0] if isinstance(twice[0], ParquetImage) else os.path.join(*twice[0])
        raise DataError(f"Two data sets share {count(len(twice), 'image')}, first {printable(first)}. Pass each data "
                        "set once.")
    return Records(**records, notes=[note for part in parts for note in part.notes],
                   skipped=[note for part in parts for note in part.skipped])


def labels_of(paths):
    """Distinct labels of several data sets: the last parts of their paths, as few as possible"""
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
    """Load the captioned images of a data set, in the order of its caption file -> Records

    path: a folder, or a caption file in it, of a format of formats.sources.FORMATS. The data set can state its split:
    in a column or key `split`, in names of files and folders, or in Flickr8k's lists. Other splits are drawn by a hash
    of each image's name, independent of other images. Unusable entries are skipped; the notes have one sentence per
    reason, with number and first place. Equal captions of an image are kept: two people can agree.
    DataError if nothing usable is left, a split is ambiguous, or a file is malformed.
    """
    sources, root = find_caption_files(Path(path))
    finder = Finder(root)
    found = gather(read_entries(sources), finder.find)
    captions, skipped = found.captions, found.skipped
    for image in finder.unnamed(found.first):
        skip(skipped, NO_CAPTION, root, image.relative_to(root), captions=0)
    others = f" and {count(len(sources) - 1, 'more file')}" if len(sources) > 1 else ""
    notes = [f"Read {printable(sources[0].file)}{others} ({sources[0].kind.title}): {count(len(captions), 'image')} "
             f"with {count(sum(map(len, captions.values())), 'caption')}."]
    if not captions:
        raise DataError(" ".join([f"No captioned image is left in {printable(root)}.", *notes, *skip_notes(skipped),
                                  remedy(skipped, finder)]))
    names = identities(captions, root)
    if len(set(names.values())) < 3:                # for example image.jpg in each row of a Parquet file
        names = unique_names(names, root)
    split, sentences = split_of(found, names, root, finder.find, {source.file for source in sources})
    names = unique_names(names, root)
    notes += [*inexact_notes(found.inexact, root), *sentences]
    records = {name: [] for name in SPLITS}
    for image, texts in captions.items():
        if image in split:
            records[split[image]].append(Record(image, tuple(texts), split[image], printable(names[image])))
    if not any(records.values()):
        raise DataError(" ".join(["No captioned image is in any split.", *notes, *skip_notes(skipped)]))
    notes += [*skip_notes(skipped), "Split: " + ", ".join(f"{len(records[name]):,} {name}" for name in records) + "."]
    return Records(**records, notes=notes, skipped=skip_notes(skipped))


# ----------------------------------------------------------------------------------------------------------- gathering

def gather(entries, find):
    """Group (source, entry) pairs by image -> Gathered

    Images are identified by path, because a name has several spellings: a.jpg, ./a.jpg, Images/a.jpg. An inexact match
    counts only if no other name matches the file.
    """
    found, inexact = Gathered({}, {}, {}, set(), {}, {}), []
    for source, entry in entries:
        image = entry.skip or find(entry.image, source.below)
        if isinstance(image, InexactMatch):
            found.captions.setdefault(image.image, [])                              # keeps the order of the file
            inexact.append((source, entry, image))
        else:
            add(found, source, entry, image)
    spellings = {}
    for _, entry, image in inexact:
        exact = [spelling(found.first[image.image].image)] if image.image in found.first else []
        spellings.setdefault(image.image, set()).update([*exact, spelling(entry.image)])
    for source, entry, image in inexact:
        if len(spellings[image.image]) > 1:
            add(found, source, entry, SHARED)
        else:
            images = found.inexact.setdefault(image.difference, (entry.place, entry.image, image.image, {}))[3]
            images[image.image] = None
            add(found, source, entry, image.image)
    for image in [image for image, texts in found.captions.items() if not texts]:
        del found.captions[image]
    return found


def add(found, source, entry, image):
    """Add an entry to Gathered.  image: its image, or a SkipReason"""
    if isinstance(image, SkipReason):
        skip(found.skipped, image, entry.place, entry.image)
        return
    split = WORDS.get(entry.split.lower()) if entry.split else source.split
    if not split and entry.split:
        skip(found.skipped, UNKNOWN, entry.place, f"{name_of(entry.image)}: {entry.split}")
        return
    found.first.setdefault(image, entry)
    if split and source.split not in (None, split):
        raise DataError(f"{entry.place} states the split {printable(entry.split)}, but its file's or folder's name "
                        f"states {source.split}. Fix one of them.")
    if split and found.stated.setdefault(image, split) != split:
        raise DataError(f"{entry.place}: {printable(name_of(entry.image))} is in the splits {found.stated[image]} and "
                        f"{split}. Keep it in one of them.")
    if entry.split:
        found.by_row.add(split)
    if entry.caption and entry.caption.lower() not in NO_TEXT:
        found.captions.setdefault(image, []).append(entry.caption)
    else:
        skip(found.skipped, EMPTY, entry.place, entry.image)


def name_of(subject):
    """Name of an image, or the line itself, for a message"""
    return subject.name if isinstance(subject, ParquetImage) else subject


def skip(skipped, reason, place, subject, captions=1):
    """Count an image or line and its captions in {reason: (first place, first subject, {subject: captions})}."""
    skipped.setdefault(reason, (place, subject, Counter()))[2][subject] += captions


def skip_notes(skipped):
    """One sentence per skip reason"""
    sentences = []
    for (noun, why), (place, subject, captions) in skipped.items():
        number = len(captions) if noun == "image" else captions.total()
        with_captions = f" with {count(captions.total(), 'caption')}" if noun == "image" and captions.total() else ""
        sentences.append(f"Skipped {count(number, noun)}{with_captions}{f' ({why})' if why else ''}, first at "
                         f"{printable(place)} ({printable(name_of(subject))[:60]}).")
    return sentences


def inexact_notes(inexact, root):
    """One sentence per kind of difference between names and their files' names"""
    return [f"Matched {count(len(images), 'image')} inexactly ({difference}), first at {printable(place)} "
            f"({printable(name)[:60]} is {printable(full_name(path, root))})."
            for difference, (place, name, path, images) in inexact.items()]


def remedy(skipped, finder):
    """Remedy for a data set without usable images"""
    if NOT_UTF8 in skipped:
        return "Save the file as UTF-8."
    if MISSING not in skipped:
        return "Fix the file, or add images."
    archives = [name for name in sorted(finder.files.get(finder.root, ())) if name.lower().endswith(ARCHIVES)]
    if archives:
        return f"Unpack {printable(archives[0])} there."
    if folder := finder.elsewhere(skipped[MISSING][1]):
        return f"The file is in {printable(folder)}: rename the folder to one of {', '.join(IMAGE_FOLDERS[:-1])}."
    if image := finder.example():
        return (f"The images, such as {printable(image.relative_to(finder.root))}, have other names. Use the files' "
                "names in the caption file.")
    return f"There are no images. Put them there or into {', '.join(IMAGE_FOLDERS[:-1])}."


# -------------------------------------------------------------------------------------------------------------- splits

def split_of(found, names, root, find, taken):
    """Splits of the captioned images -> {image: split}, sentences on their source; adds to found.skipped

    Source: rows or names of caption files; else lists of images; else image folders. If all caption files state the
    same split, they are a part of a data set and the statement is ignored. taken: the caption files.
    """
    stated = {image: found.stated[image] for image in names if image in found.stated}
    folders = {image: part for image, name in names.items() if (part := split_of_folders(name))}
    folders = folders if len(set(folders.values())) > 1 else {}
    only = set() if found.by_row else set(stated.values())
    alone = f"The files state only the split {only.pop()}. " if len(only) == 1 else ""
    files = list_files(root, find, taken)
    lists = list(read_lists(files, find))
    if stated and not alone:
        split, reason, notes = stated, UNSTATED, [
            f"The split is stated {'for each image' if found.by_row else 'by the names of the files'}."]
        for image, part, name, place in lists:
            if split.get(image, part) != part:
                raise DataError(f"{place}: {printable(name)} is in the split {split[image]} by "
                                f"{found.first[image].place}. Fix one of them.")
        if other := [image for image in split if folders.get(image, split[image]) != split[image]]:
            notes.append(f"The folders' names are ignored: {count(len(other), 'image')} have another split, first "
                         f"{printable(names[other[0]])} in {split[other[0]]}.")
    elif lists:
        split, reason, notes = split_of_lists(lists, files, found.skipped), UNLISTED, [
            f"The split is from the lists {printable(', '.join(file.name for file in files.values()))}."]
        if "train" not in files:
            split = {image: split.get(image, "train") for image in names}
            notes.append("Images in no list are for training.")
    elif folders:
        split, reason, notes = folders, UNSTATED, ["The split is from the image folders."]
    elif (different := len(set(names.values()))) < 3:
        raise DataError(" ".join([f"{count(different, 'captioned image')} cannot be split into train, val and test. "
                                  "Add more.", *skip_notes(found.skipped)]))
    else:
        split, drawn = completed(dict.fromkeys(names, "train"), names)
        return split, [f"{alone or 'No split is stated. '}{drawn}"]
    for image in names:
        if image not in split:
            first = found.first[image]
            skip(found.skipped, reason, first.place, first.image, len(found.captions[image]))
    if reason is UNLISTED and len(files) == len(SPLITS):
        return split, notes
    split, drawn = completed(split, names)
    return split, notes + [drawn] * bool(drawn)


def split_of_folders(name):
    """Split stated by the folders in an image's name; None if none or several"""
    found = {part for folder in name.split("/")[:-1] if (part := split_named(folder))}
    return found.pop() if len(found) == 1 else None


def read_lists(files, find):
    """Yield the rows of the split lists: (image or SkipReason, split, name, place)."""
    for part, file in files.items():
        for line, name in enumerate(map(str.strip, read_text(file, "surrogateescape").split("\n")), 1):
            if name:
                image = find(name)
                yield image.image if isinstance(image, InexactMatch) else image, part, name, f"{printable(file)}:{line}"


def list_files(root, find, taken):
    """Find the split lists -> {split: file}: Flickr8k's three, or else files such as train.txt, val.txt and test.txt

    A list has one image name per line. DataError if one of Flickr8k's is missing, or a split has two lists.
    """
    places = [(folder, list_folder(folder)[0]) for folder in (root, root / TEXT_FOLDER, root / "splits")]
    found = {split: folder / name for split, name in SPLIT_LISTS.items()
             for folder, names in reversed(places) if name in names}
    if absent := [name for split, name in SPLIT_LISTS.items() if split not in found and found]:
        raise DataError(f"{' and '.join(absent)} missing in {printable(root)}, unlike the other split lists. Add them, "
                        "or remove all three for a random split.")
    if found:
        return found
    for file in (folder / name for folder, names in places for name in sorted(names) if like(name, "*.txt")):
        if (split := split_named(file.stem)) and file not in taken and is_list(file, find):
            if split in found:
                raise DataError(f"{printable(found[split])} and {printable(file)} both list images of the split "
                                f"{split}. Keep one of them.")
            found[split] = file
    return {split: found[split] for split in SPLITS if split in found}


def is_list(file, find):
    """Whether most of a file's first lines are image names."""
    try:
        lines = [line for line in map(str.strip, read_text(file, "surrogateescape").split("\n")) if line][:100]
    except DataError:                               # binary
        return False
    return 2 * sum(not isinstance(find(line), SkipReason) for line in lines) > len(lines)


def split_of_lists(rows, files, skipped):
    """Splits of the lists' rows -> {path or name: split}; adds to skipped"""
    split, counted = {}, {name for *_, names in skipped.values() for name in names}
    for image, part, name, place in rows:
        if isinstance(image, SkipReason):
            if name not in counted:
                skip(skipped, LISTED, place, name, captions=0)
            image = name                            # a missing image, too, must not be in two lists
        if split.setdefault(image, part) != part:
            raise DataError(f"{place}: {printable(name)} is in {printable(files[split[image]].name)} too. "
                            "Keep it in one of them.")
    return split
