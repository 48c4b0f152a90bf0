"""Caption files of one entry a line -> entries, one for each caption, in the order of the file."""
import csv
import json
import re

from ..errors import DataError, printable
from .entries import CAPTION_COLUMNS, IMAGE_COLUMNS, Entry, Fault
from .text import SURROGATE, clean, read_text

NOT_UTF8 = Fault("line", "in another encoding than UTF-8")
NOT_A_ROW = Fault("line", "without a name, a {} and a caption")
NOT_QUOTED = Fault("line", 'whose quotes do not match (within quotes "" stands for one)')
NOT_JSON = Fault("line", "that is no JSON object of an image and captions")
NOT_NUMBERED = Fault("line", "without a name, a | and a number")
NUMBERED = re.compile(r"([^|]+)\|\s*\d+\s*\|?(.*)")     # one line of Flickr30k's file lacks its second |


def lines_of(file):
    """[(place, line)], where what is not UTF-8 has become surrogates"""
    lines = read_text(file, "surrogateescape").split("\n")
    return [(f"{file}:{number}", line) for number, line in enumerate(lines, 1)]


def read_captions(file):
    """Entries of `name<TAB>caption` lines if on most lines a tab comes first, or else of RFC 4180's `name,caption`.

    A header, recognised by its column for captions, may name the two columns in any order among others. A suffix
    #k of the name, Flickr8k's number of the caption, is dropped. If the caption is the last column, other commas or
    tabs belong to it, unquoted too. A line that is no such row becomes an entry with a fault.
    """
    lines = [line for _, line in lines_of(file)]
    tabbed = sum("\t" in line.partition(",")[0] for line in lines)
    separator = "\t" if 2 * tabbed > sum(map(bool, lines)) else ","
    not_a_row = NOT_A_ROW._replace(why=NOT_A_ROW.why.format("tab" if separator == "\t" else "comma"))
    number, columns = 0, None
    while number < len(lines):
        place, line = f"{file}:{number + 1}", lines[number]
        row, taken = quoted(lines, number) if separator == "," and '"' in line else (line.split(separator), 1)
        number += taken
        if not row:
            yield Entry(place, line, "", None, NOT_QUOTED)
            continue
        if not any(map(str.strip, row)):
            continue
        if not columns:
            columns = header(row, place)
            if columns:
                continue
            columns = 0, 1, 2
        text, (image, caption, width) = separator.join(row), columns
        if caption == width - 1:
            row[caption:] = [separator.join(row[caption:])] if len(row) >= width else []
        if SURROGATE.search(text):
            yield Entry(place, text, "", None, NOT_UTF8)
        elif len(row) != width or not (name := re.sub(r"#\d+$", "", row[image].strip())):
            yield Entry(place, text, "", None, not_a_row)
        else:
            yield Entry(place, name, clean(row[caption]), None)


def header(row, place):
    """The columns of image and caption and the number of columns, or None if the row is no header."""
    names = [name.strip().lower() for name in row]
    captions = [i for i, name in enumerate(names) if name in CAPTION_COLUMNS]
    images = [i for i, name in enumerate(names) if name in IMAGE_COLUMNS]
    if not captions or not images and "caption" not in names:
        return None
    if not images and len(names) == 2:
        images = [1 - captions[0]]                  # whatever it is called
    if len(captions) != 1 or len(images) != 1:
        raise DataError(f"{place} has the columns {printable(', '.join(row))}. Call one `image` and one `caption`, and "
                        f"the others neither {', '.join(IMAGE_COLUMNS)} nor {', '.join(CAPTION_COLUMNS)}.")
    return images[0], captions[0], len(row)


def quoted(lines, number):
    """The fields of the row that begins in a line with quotes, none if they do not match; and how many lines it takes"""
    rows = csv.reader((lines[i] + "\n" for i in range(number, len(lines))), strict=True)
    try:
        return next(rows), rows.line_num
    except csv.Error:
        return None, 1


def read_flickr30k(file):
    """Entries of `name| number| caption` lines below a header; quotes mean nothing, and often do not match.

    Of a file without a | in the header, as copies of it are, those of read_captions.
    """
    if "|" not in lines_of(file)[0][1]:
        yield from read_captions(file)
        return
    for place, line in lines_of(file)[1:]:
        row = NUMBERED.fullmatch(line)
        if SURROGATE.search(line):
            yield Entry(place, line, "", None, NOT_UTF8)
        elif row:
            yield Entry(place, row[1].strip(), clean(row[2]), None)
        elif line.strip():
            yield Entry(place, line, "", None, NOT_NUMBERED)


def read_json_lines(file):
    """Entries of lines of {"image": name, "caption": text, or a list of them}, or with other usual names of the two"""
    for place, line in lines_of(file):
        if not line.strip():
            continue
        if SURROGATE.search(line):
            yield Entry(place, line, "", None, NOT_UTF8)
            continue
        try:
            row = json.loads(line)
            name, = (row[key] for key in IMAGE_COLUMNS if key in row)
            captions, = (row[key] for key in CAPTION_COLUMNS if key in row)
            captions = captions or [""] if isinstance(captions, list) else [captions]
            entries = [Entry(place, name.strip(), clean(caption), None) for caption in captions]
        except (ValueError, TypeError, AttributeError, RecursionError):
            yield Entry(place, line, "", None, NOT_JSON)
        else:
            yield from entries
