"""Readers of line-based caption files -> entries, one per caption, in the order of the file."""
import ast
import json
import re
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

from ...errors import DataError, printable
from .entries import (
    CAPTION_COLUMNS,
    IMAGE_COLUMNS,
    OTHER_CAPTIONS,
    Entry,
    SkipReason,
    holds_captions,
    plain,
    stated_split,
    states_split,
)
from .text import SURROGATE, clean, read_text

NOT_UTF8 = SkipReason("line", "not UTF-8")
NOT_A_ROW = SkipReason("line", "needs a name, a {} and a caption")
NOT_QUOTED = SkipReason("line", 'unmatched quotes; write "" for a quote within quotes')
NOT_A_ROW_OF_JSON = SkipReason("line", "needs a JSON object of an image and captions")
NOT_A_LIST = SkipReason("line", "list of captions in neither Python's nor JSON's form")
NOT_NUMBERED = SkipReason("line", "needs a name, a | and a number")
NUMBERED = re.compile(r"([^|]+)\|\s*\d+\s*\|?(.*)")     # one line of Flickr30k's file lacks its second |
SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
FIRST = re.compile(r'(?:"[^"]*(?:""[^"]*)*")?[^\t,;|]*([\t,;|])')   # first separator of a line, outside quotes
INSIDE = re.compile(r'[^"]*(?:""[^"]*)*')               # content of quotes, up to the closing quote
SPACED = r' +"([^"]*(?:""[^"]*)*)" *(?={}|$)'           # quoted field with spaces around the quotes
LISTED = re.compile(r"""\[\s*['"].*\]""", re.DOTALL)   # list of captions, as written by pandas
FILE_NAME = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}(?:#\d+)?$")
MAX_LINES = 100                                         # lines of a quoted field; a bound against quadratic time


def lines_of(file):
    """Read a file -> [(place, line)]; bytes that are not UTF-8 become surrogates"""
    shown, lines = printable(file), read_text(file, "surrogateescape").split("\n")
    return [(f"{shown}:{number}", line) for number, line in enumerate(lines, 1)]


# --------------------------------------------------------------------------------------------------------------- tables

class Columns(NamedTuple):
    """Indices of a table's columns."""
    image: int = 0
    captions: tuple = (1,)
    width: int = 2                                      # number of columns
    splits: tuple = ()                                  # (index, name) of columns that may state a split


def read_captions(file):
    """Yield entries of lines `name,caption` (RFC 4180), or with tabs, semicolons or bars instead of commas.

    A header, recognised by its caption column, can name the columns in any order, with other columns between them,
    several captions (`caption_0`, `caption_1`) and a split. Flickr8k's caption number is dropped, as a suffix #k of the
    name or as a column. A field ["one", "two"] is two captions. A caption in the last column can contain unquoted
    separators. With tabs or bars, has_quoted_fields decides whether quotes enclose fields. Other lines become entries
    with a skip reason.
    """
    shown, lines = printable(file), read_text(file, "surrogateescape").split("\n")
    if re.fullmatch("sep=.", lines[0].strip().lower()):     # Excel's
        lines[0] = ""
    separator = separator_of(lines)
    not_a_row = NOT_A_ROW._replace(why=NOT_A_ROW.why.format(SEPARATORS[separator]))
    quotes = separator in ",;" or has_quoted_fields(lines, separator, shown)
    number, columns = 0, None
    while number < len(lines):
        place, line = f"{shown}:{number + 1}", lines[number]
        row, taken = quoted(lines, number, separator, columns or Columns()) if quotes and '"' in line else (
            line.split(separator), 1)
        number += taken
        if not row:
            yield Entry(place, line, "", skip=NOT_QUOTED)
            continue
        if not any(map(str.strip, row)):
            continue
        if not columns:
            columns = header(row, place)
            if columns:
                continue
            columns = Columns(0, (2,), 3) if are_numbered(lines, separator) else Columns()
        text, first = separator.join(row), columns.captions[0]
        if columns.captions == (columns.width - 1,):
            row[first:] = [separator.join(row[first:])] if len(row) >= columns.width else []
        if SURROGATE.search(text):
            yield Entry(place, text, "", skip=NOT_UTF8)
        elif len(row) != columns.width or not (name := re.sub(r"#\d+$", "", row[columns.image].strip())):
            yield Entry(place, text, "", skip=not_a_row)
        else:
            split = stated_split({column: row[i] for i, column in columns.splits}) if columns.splits else None
            captions = [caption for i in columns.captions if row[i].strip() for caption in listed(row[i].strip())]
            for caption in captions or [""]:
                yield Entry(place, name, "" if caption is None else clean(caption), split,
                            NOT_A_LIST if caption is None else None)


def separator_of(lines):
    """Separator of the columns: from a header with common names, or else the first separator of most lines."""
    first = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        names = [plain(name.strip().strip('"')) for name in first.split(separator)]
        if any(map(holds_captions, names)) and any(name in IMAGE_COLUMNS for name in names):
            return separator
    firsts = Counter(found[1] for found in map(FIRST.match, lines) if found)
    return next((separator for separator, number in firsts.items() if 2 * number > sum(map(bool, lines))), ",")


def are_numbered(lines, separator):
    """Whether most lines of a list without a header are name, number and caption."""
    rows = [line.split(separator, 2) for line in lines if line.strip()]
    return 2 * sum(len(row) == 3 and row[1].strip().isdecimal() for row in rows) > len(rows)


def listed(field):
    """Captions in a field -> list of texts; a list in Python's or JSON's form is parsed, [None] if that fails"""
    if not LISTED.fullmatch(field):
        return [field]
    readers = [json.loads]
    if not re.search(r"""['"]\s+['"]""", field):        # NumPy writes 'a' 'b'; Python would join them
        readers.append(ast.literal_eval)
    for read in readers:
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            texts = read(field)
            if all(isinstance(text, str) for text in texts):
                return texts
    return [None]


def header(row, place):
    """Columns of a header, or None if the row is not a header.  DataError if it is ambiguous"""
    names = list(map(plain, row))
    captions = tuple(i for i, name in enumerate(names) if holds_captions(name))
    captions = captions or tuple(i for i, name in enumerate(names) if name in OTHER_CAPTIONS)
    images = [i for i, name in enumerate(names) if name in IMAGE_COLUMNS]
    unknown = not captions and len(images) == 1 and len(names) > 1 and not any(map(FILE_NAME.search, names))
    if unknown and len(names) == 2:
        captions = (1 - images[0],)                     # under any name
    elif unknown:
        raise DataError(f"{place} has no caption column among {printable(', '.join(row))}. Rename it to `caption`, or "
                        "several to `caption_0`, `caption_1` and so on.")
    if not captions or not images and not any(name.startswith("caption") for name in map(names.__getitem__, captions)):
        return None
    splits = tuple((i, name) for i, name in enumerate(names) if states_split(name))
    if not images and len(names) == 2:
        images = [1 - captions[0]]                      # under any name
    if sum(names[i] in CAPTION_COLUMNS + OTHER_CAPTIONS for i in captions) > 1 or len(images) != 1:
        raise DataError(f"{place} has the columns {printable(', '.join(row))}; it must have one image and one caption "
                        f"column. Rename them to `image` and `caption`, and the others to neither "
                        f"{', '.join(IMAGE_COLUMNS)} nor {', '.join(CAPTION_COLUMNS)}.")
    return Columns(images[0], captions, len(row), splits)


def quoted(lines, number, separator, columns):
    """Fields of a row with quotes, none if the quotes do not match; and the number of its lines

    A quoted field can span lines, except lines that look like rows: then its closing quote is missing.
    """
    row, line, at, taken = [], lines[number], 0, 1
    spaced = re.compile(SPACED.format(re.escape(separator)))
    while True:
        if line.startswith('"', at):
            parts, start = [], at + 1
            while (end := INSIDE.match(line, start).end()) == len(line):            # no closing quote on this line
                if taken == MAX_LINES or number + taken == len(lines) or (
                        taken == 1 and is_row(line, start, end, separator, columns)):
                    return [], 1
                parts.append(line[start:])
                line, start, taken = lines[number + taken], 0, taken + 1
                if is_row(line, 0, INSIDE.match(line).end(), separator, columns):
                    return [], 1
            field, at = "\n".join([*parts, line[start:end]]).replace('""', '"'), end + 1
            if at < len(line) and not line.startswith(separator, at):
                return [], 1
        elif found := spaced.match(line, at):
            field, at = found[1].replace('""', '"'), found.end()
        else:
            end = line.find(separator, at)
            field, at = line[at:end if end >= 0 else len(line)], end if end >= 0 else len(line)
        row.append(field)
        if at >= len(line):
            return row, taken
        at += len(separator)


def is_row(line, start, stop, separator, columns):
    """Whether the quoted part of a line, from start to stop, has an image name in the image's column, like a row."""
    fields = line.split(separator)
    if len(fields) < columns.width:
        return False
    end = len(separator.join(fields[:columns.image + 1]))
    name = fields[columns.image].strip()
    return start <= end - len(fields[columns.image]) and end <= stop and (
        bool(FILE_NAME.search(name)) or len(name) > 5 and name.isascii() and name.replace("_", "").isalnum()
        and any(map(str.isdigit, name)))


def has_quoted_fields(lines, separator, place):
    """Whether quotes enclose fields, as programs write them, or are plain characters, as in Flickr8k's raw lists.

    A program quotes every field, or each field with separators, quotes (doubled) or line ends; Excel also one with
    commas. It writes no quote elsewhere.
    """
    first = next((line for line in lines if line.strip()), "")
    columns = header([name.strip().strip('"') for name in first.split(separator)], place) or Columns()
    sure = likely = plain_quotes = number = 0
    while number < len(lines):
        row, taken = quoted(lines, number, separator, columns) if '"' in lines[number] else (None, 1)
        text = "\n".join(lines[number:number + taken])
        enclosed = [field for field in row or () if '"' + field.replace('"', '""') + '"' in text]
        if enclosed and all(field in enclosed for field in row if '"' in field):
            sure += row[min(columns.image, len(row) - 1)] in enclosed or any(
                character in field for field in enclosed for character in (separator, '"', "\n"))
            likely += any("," in field for field in enclosed)
        else:
            plain_quotes += '"' in text
        number += taken
    return 4 * sure >= plain_quotes if sure else not plain_quotes and likely > 0  # a missing quote makes two plain ones


def read_flickr30k(file):
    """Yield entries of `name| number| caption` lines below a header. Quotes are plain characters, often unmatched.

    A file without | in the header, a common copy, goes to read_captions.
    """
    if "|" not in lines_of(file)[0][1]:
        yield from read_captions(file)
        return
    for place, line in lines_of(file)[1:]:
        row = NUMBERED.fullmatch(line)
        if SURROGATE.search(line):
            yield Entry(place, line, "", skip=NOT_UTF8)
        elif row:
            yield Entry(place, row[1].strip(), clean(row[2]))
        elif line.strip():
            yield Entry(place, line, "", skip=NOT_NUMBERED)


# ----------------------------------------------------------------------------------------------------------- JSON lines

def read_json_lines(file):
    """Yield entries of lines {"image": name, "caption": text or list of texts}, or with other common keys."""
    for place, line in lines_of(file):
        if not line.strip():
            continue
        if SURROGATE.search(line):
            yield Entry(place, line, "", skip=NOT_UTF8)
            continue
        try:
            row = json.loads(line, object_pairs_hook=pairs_once)
        except (ValueError, RecursionError):
            row = None
        yield from row_of(row, place, NOT_A_ROW_OF_JSON, line)


def row_of(row, place, reason, shown):
    """Entries of a JSON object of an image and captions, or one entry with the skip reason and the shown row"""
    try:
        keys = pairs_once((plain(key), value) for key, value in row.items())
        name, = (keys[key] for key in IMAGE_COLUMNS if key in keys)
        captions = [text for key, value in keys.items()
                    if holds_captions(key) and (value is not None or key in CAPTION_COLUMNS)
                    for text in (value or [""] if isinstance(value, list) else [value])]
        split = stated_split({key: value for key, value in keys.items() if states_split(key)})
        if sum(key in CAPTION_COLUMNS for key in keys) > 1 or not captions:
            raise ValueError("captions under several keys, or none")
        entries = [Entry(place, name.strip(), clean(caption), split) for caption in captions]
    except (ValueError, TypeError, AttributeError):
        entries = [Entry(place, shown, "", skip=reason)]
    return entries


def pairs_once(pairs):
    """Pairs of key and value -> dict.  ValueError for a duplicate key: one value would be lost"""
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"duplicate key {next(key for key in keys if keys.count(key) > 1)!r} in one object")
    return found
