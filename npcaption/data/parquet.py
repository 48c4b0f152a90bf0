"""Parquet files of images and captions, as the Hugging Face hub has them. They are read one row group at a time."""
import io
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock

from ..errors import DataError, printable
from .entries import CAPTION_COLUMNS, IMAGE_COLUMNS, Cell, Entry
from .text import clean

TEXTS = {kind.format(text) for kind in ("{}", "list<element: {}>", "list<item: {}>", "large_list<item: {}>")
         for text in ("string", "large_string")}    # types of columns that can hold captions
LOCK = Lock()       # or of the threads that decode a row group each would read it


def read_parquet(file):
    """Entries of rows of an image, bytes or {bytes, path}, and of columns `caption`, or `caption_0` and so on, each of
    text or lists of text."""
    table = open_parquet(file)
    image, captions = columns(file, table.schema_arrow)
    named = [f"{image}.path"] if has_path(table.schema_arrow.field(image).type) else []
    number = 0
    for group in range(table.num_row_groups):
        with damage_told(file):
            rows = table.read_row_group(group, columns=[*named, *captions]).to_pylist()
        for row, values in enumerate(rows):
            number += 1
            inside = printable((values[image] or {}).get("path") or "").rpartition("/")[2] if named else ""
            cell = Cell(str(file), group, row, number, inside)
            texts = [text for name in captions for text in listed(values[name])]
            for text in texts or [""]:
                yield Entry(str(cell), cell, clean(text), None)


def open_parquet(file):
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{file} is a Parquet file, and to read it takes pyarrow: "
                        "pip install 'npcaption[parquet]'.") from error
    with damage_told(file):
        return parquet.ParquetFile(file)


@contextmanager
def damage_told(file):
    try:
        yield
    except Exception as error:              # a damaged file can raise nearly anything inside a decoder
        why = printable(" ".join(str(error).split())).rstrip(".")
        raise DataError(f"{printable(file)} cannot be read as a Parquet file: {why}. Download it again.") from error


def columns(file, schema):
    """The column of images and those of captions"""
    images = [name for name in schema.names if name in IMAGE_COLUMNS]
    captions = [name for name in schema.names if name.rstrip("0123456789").rstrip("_") in CAPTION_COLUMNS
                and str(schema.field(name).type) in TEXTS]
    if len(images) != 1 or not captions:
        raise DataError(f"{file} has the columns {printable(', '.join(schema.names))}. It needs one `image`, and "
                        "`caption` or `caption_0`, `caption_1`, ... of text or of lists of text.")
    return images[0], captions


def has_path(kind):
    """Whether a column's type is a struct with a field `path`."""
    return getattr(kind, "num_fields", 0) > 0 and kind.get_field_index("path") >= 0


def listed(value):
    """Text, a list of text or nothing -> a list of text"""
    return [text for text in (value if isinstance(value, list) else [value]) if text is not None]


def open_cell(cell):
    """The file that a row holds, as a file object. OSError if it holds none."""
    with LOCK:
        value = images_of(cell.file, cell.group)[cell.row].as_py()
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise OSError("the row holds no bytes of an image")
    return io.BytesIO(data)


@lru_cache(2)       # the threads that decode may be in two of them; they may be of hundreds of megabytes
def images_of(file, group):
    table = open_parquet(Path(file))
    image, _ = columns(file, table.schema_arrow)
    return table.read_row_group(group, columns=[image]).column(0)
