"""Caption files -> entries, one for each caption, in the order of the file."""
import codecs
import csv
import json
import re
from typing import NamedTuple

from ..errors import DataError
from .text import SURROGATE, clean, printable

FORMATS = {"dataset_*.json": "Karpathy's JSON", "Flickr8k.token.txt": "the original Flickr8k",
           "captions.txt": "a caption list"}        # in the order in which they are looked for
TEXT_FOLDER = "Flickr8k_text"                       # where the original archive puts its text files
KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class Fault(NamedTuple):
    """Why entries are left out: "Left out 2 lines that ..." """
    noun: str                                       # what is counted
    why: str


NOT_UTF8 = Fault("line", "in another encoding than UTF-8")
NOT_A_ROW = Fault("line", "without a name, a {} and a caption")
NOT_QUOTED = Fault("line", 'whose quotes do not match (within quotes "" stands for one)')


class Entry(NamedTuple):
    place: str                                      # where it stands: "captions.txt:12"
    image: str                                      # its path below the folder of the images; of a fault, the line
    caption: str
    split: str | None                               # None where the format does not tell
    fault: Fault | None = None                      # why it cannot be used


def find_caption_file(path):
    """The caption file that path is or holds, and the title of its format."""
    try:
        if path.is_file():
            return path, next((title for name, title in FORMATS.items() if path.match(name)), "captions")
        there = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)} cannot be read: {getattr(error, 'strerror', None) or error}. "
                        "Give the path of a folder or of a caption file.") from error
    for pattern, title in FORMATS.items():
        files = files_like(pattern, path) or files_like(pattern, path / TEXT_FOLDER)
        if len(files) > 1:
            raise DataError(f"{path} holds {', '.join(file.name for file in files)}. "
                            "Give the path of the one you mean.")
        if files:
            return files[0], title
    holds = printable(", ".join(there[:10])) + (f" and {len(there) - 10:,} more" if len(there) > 10 else "")
    raise DataError(f"No captions were found in {path}: looked for {', '.join(FORMATS)} there and in "
                    f"{TEXT_FOLDER}/. The folder holds {holds or 'nothing'}. Give another folder, or write a "
                    "captions.txt with one line `name.jpg,caption` for each caption.")


def files_like(pattern, folder):
    """Files alone: reading a pipe would wait for ever."""
    return sorted(file for file in folder.glob(pattern) if file.is_file())


def read_text(file, errors="strict"):
    r"""A file's text, UTF-8, or UTF-16 if it says so, with "\n" line ends and without a byte order mark."""
    try:
        data = file.read_bytes()
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16") if utf16 else data.decode("utf-8-sig", errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}:{line} is not {'UTF-16' if utf16 else 'UTF-8'} text (byte 0x{data[error.start]:02x}). "
                        "Save the file as UTF-8.") from error


def read_captions(file):
    """Entries of `name<TAB>caption` lines if on most lines a tab comes first, or else of RFC 4180's `name,caption`.

    A header, recognised by its column `caption`, is skipped. A suffix #k of the name, Flickr8k's number of
    the caption, is dropped. Only the first comma or tab separates: others, unquoted, belong to the caption.
    A line that is no such row becomes an entry with a fault.
    """
    lines = read_text(file, "surrogateescape").split("\n")   # what is not UTF-8 becomes surrogates, seen below
    tabbed = sum("\t" in line.partition(",")[0] for line in lines)
    separator = "\t" if 2 * tabbed > sum(map(bool, lines)) else ","
    not_a_row = NOT_A_ROW._replace(why=NOT_A_ROW.why.format("tab" if separator == "\t" else "comma"))
    number, first = 0, True
    while number < len(lines):
        place, line = f"{file}:{number + 1}", lines[number]
        row, taken = quoted(lines, number) if separator == "," and '"' in line else (line.split(separator), 1)
        number += taken
        if not row:
            yield Entry(place, line, "", None, NOT_QUOTED)
            continue
        if not any(map(str.strip, row)):
            continue
        if first and "caption" in (columns := [column.strip().lower() for column in row]):
            if columns[1:] != ["caption"]:
                raise DataError(f"{place} has the columns {printable(', '.join(row))}. Keep two, image and caption.")
            first = False
            continue
        first, text = False, separator.join(row)
        name, caption = re.sub(r"#\d+$", "", row[0].strip()), separator.join(row[1:])
        fault = NOT_UTF8 if SURROGATE.search(text) else not_a_row if len(row) == 1 or not name else None
        yield Entry(place, text, "", None, fault) if fault else Entry(place, name, clean(caption), None)


def quoted(lines, number):
    """The fields of the row that begins in a line with quotes, and how many lines it takes; none if they do not match."""
    rows = csv.reader((lines[i] + "\n" for i in range(number, len(lines))), strict=True)
    try:
        return next(rows), rows.line_num
    except csv.Error:
        return None, 1


def read_karpathy(file):
    """Entries of {"images": [{"filename", "split", "sentences": [{"raw"}], and perhaps "filepath"}]}"""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}. Download it again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{file} has no list `images`, as Karpathy's dataset_*.json have. Give another file.")
    for i, image in enumerate(content["images"]):
        place = f"{file}: images[{i}]"
        try:
            name = "/".join(filter(None, (image.get("filepath"), image["filename"])))
            split = KARPATHY_SPLITS[image["split"]]
            captions = [clean(sentence["raw"]) for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{place} cannot be used ({type(error).__name__}: {error}). It needs `filename`, "
                            f"`split` ({', '.join(KARPATHY_SPLITS)}) and `sentences` with `raw`.") from error
        for caption in captions or [""]:
            yield Entry(place, name, caption, split)
