"""Reader of Parquet files of images and captions, as on the Hugging Face hub, one row group at a time."""
import io
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from ...errors import DataError, printable, why
from .entries import IMAGE_COLUMNS, Entry, ParquetImage, SkipReason, holds_captions, plain, stated_split, states_split
from .text import HEAD, check_text, clean

STRINGS = {"string", "large_string", "string_view"} | {
    f"dictionary<values=string, indices={sign}int{bits}, ordered={ordered}>"
    for sign in ("", "u") for bits in (8, 16, 32, 64) for ordered in (0, 1)}
TEXTS = STRINGS | {f"{kind}<{name}: {text}>" for kind in ("list", "large_list") for name in ("element", "item")
                   for text in ("string", "large_string")}      # types of caption columns
NO_NAME = SkipReason("row", "no image name")
LOCK = Lock()       # without it, each decoding thread would read the row group


class Columns(NamedTuple):
    """Names of a table's columns."""
    image: str | None                               # column of image bytes; None if images are separate files
    name: str | None                                # column of image names, or None
    captions: list
    splits: list                                    # columns that may state a split


def read_parquet(file):
    """Yield the entries of a Parquet file's rows.

    An image column has bytes, {bytes, path} or file names. Captions are in `caption`, or `caption_0` and so on, each
    text or a list of texts. `split` (optional) states the split.
    """
    table = open_parquet(file)
    schema = table.schema_arrow
    found, number, shown = columns(file, schema), 0, printable(file)
    path = [f"{found.image}.path"] if found.image and has_field(schema.field(found.image).type, "path") else []
    wanted = [*path, *filter(None, [found.name]), *found.captions, *found.splits]
    for group in range(table.num_row_groups):
        with damage_as_data_error(file):
            rows = table.read_row_group(group, columns=wanted).to_pylist()
        for row, values in enumerate(rows):
            number += 1
            place, name = f"{shown}:{number}", values[found.name] if found.name else None
            if found.image:
                stored = path and (values[found.image] or {}).get("path")
                name = ParquetImage(str(file), group, row, number, stored or name or "")
            split = stated_split({column: values[column] for column in found.splits}) if found.splits else None
            texts = [text for column in found.captions for text in listed(values[column])]
            for text in texts or [""]:
                yield Entry(place, name.strip() if isinstance(name, str) else name or shown, clean(text), split,
                            None if name else NO_NAME)


def open_parquet(file):
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{printable(file)} is a Parquet file; reading it needs pyarrow. Run "
                        "pip install 'npcaption[parquet]'.") from error
    try:
        with open(file, "rb") as opened:
            head = opened.read(HEAD)
    except OSError as error:
        raise DataError(f"{printable(file)} cannot be read: {why(error)}. Check its permissions.") from error
    if not head.startswith(b"PAR1"):
        check_text(file, head)                      # a Git LFS pointer, a web page, an archive
    with damage_as_data_error(file):
        return parquet.ParquetFile(file)


@contextmanager
def damage_as_data_error(file):
    try:
        yield
    except Exception as error:              # a damaged file can raise nearly anything inside a decoder
        reason = printable(" ".join(str(error).split())).rstrip(".")
        raise DataError(f"{printable(file)} cannot be read as a Parquet file: {reason}. Download it again.") from error


def columns(file, schema):
    """Columns of a file.  DataError if images or captions are missing or ambiguous"""
    kinds = {name: schema.field(name).type for name in schema.names if schema.names.count(name) == 1}
    images = [name for column in IMAGE_COLUMNS for name in kinds if plain(name) == column]
    with_bytes = [name for name in images if holds_bytes(kinds[name])]
    named = [name for name in images if str(kinds[name]) in STRINGS]
    captions = [name for name in kinds if holds_captions(name) and str(kinds[name]) in TEXTS]
    if len(with_bytes) > 1 or not (with_bytes or named) or not captions:
        raise DataError(f"{printable(file)} has the columns {printable(', '.join(schema.names))}. It needs one `image` "
                        "(bytes or file names) and `caption` or `caption_0`, `caption_1`, ... (texts or lists).")
    return Columns(*with_bytes or [None], next(iter(named), None), captions, list(filter(states_split, kinds)))


def holds_bytes(kind):
    """Whether a column's type is bytes, or a struct with a field `bytes`."""
    return str(kind) in ("binary", "large_binary", "binary_view") or has_field(kind, "bytes")


def has_field(kind, name):
    """Whether a column's type is a struct with a field of this name."""
    return str(kind).startswith("struct") and kind.get_field_index(name) >= 0


def listed(value):
    """A text, a list of texts or None -> a list of texts"""
    return [text for text in (value if isinstance(value, list) else [value]) if text is not None]


def open_image(image):
    """Open a ParquetImage as a binary file object.  OSError if the row has no image"""
    with LOCK:
        value = images_of(image.file, image.group)[image.row].as_py()
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise OSError("the row has no image bytes")
    return io.BytesIO(data)


@lru_cache(2)       # row groups can have hundreds of megabytes; decoding threads use at most two at a time
def images_of(file, group):
    table = open_parquet(Path(file))
    return table.read_row_group(group, columns=[columns(file, table.schema_arrow).image]).column(0)
