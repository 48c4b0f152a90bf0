"""Entries: the common form of all caption formats."""
from typing import NamedTuple

from ..splits import WORDS

IMAGE_COLUMNS = "image", "image_name", "file_name", "filename", "filepath", "file", "path"
CAPTION_COLUMNS = "caption", "captions", "text", "comment", "sentence"
OTHER_CAPTIONS = "raw", "sentences", "description", "descriptions", "caption_text"  # for tables without the above
# Unlike `split`, these columns count only if their values are split words.
SPLIT_COLUMNS = "set", "subset", "partition", "fold", "phase", "usage", "data_split", "dataset_split", "split_name"


class SkipReason(NamedTuple):
    """Reason for skipping entries: "Skipped 2 lines (unmatched quotes), ..." """
    noun: str                                       # counted noun
    why: str                                        # short phrase, or ""


class ParquetImage(NamedTuple):
    """Image in a row of a Parquet file; os.stat and other path functions see the file."""
    file: str
    group: int                                      # index of the row group
    row: int                                        # index in that group
    number: int                                     # row number in the file, from 1
    path: str                                       # image path stored in the file, or ""

    @property
    def name(self):
        return self.path or str(self).rpartition("/")[2]

    def __fspath__(self):
        return self.file

    def open_file(self):
        """Open the image as a binary file object.  OSError if the row has no image"""
        from .parquet import open_image  # parquet imports this module
        return open_image(self)

    def __str__(self):
        return f"{self.file}:{self.number}"


class Entry(NamedTuple):
    """One caption of an image."""
    place: str                                      # such as "captions.txt:12", printable
    image: str | ParquetImage                       # path below the image folder; with a skip reason, the line
    caption: str
    split: str | None = None                        # stated split word, or None
    skip: SkipReason | None = None


def plain(column):
    """Name of a column or key in the spelling of the tables above"""
    return column.strip().lower().replace(" ", "_")


def holds_captions(column):
    """Whether a column has captions: `caption`, or `caption_0` and so on."""
    return plain(column).rstrip("0123456789").rstrip("_") in CAPTION_COLUMNS


def states_split(column):
    """Whether a column may state a split."""
    return plain(column) == "split" or plain(column) in SPLIT_COLUMNS


def stated_split(row):
    """Split word of a row {column: value}, or None

    Other words count only in a column `split`. If two columns differ, both words are joined and match no split.
    """
    texts = {plain(column): str(value).strip() for column, value in row.items()
             if states_split(column) and value is not None}
    if "split" in texts:
        return texts["split"] or None
    found = {WORDS[text.lower()]: text for text in texts.values() if text.lower() in WORDS}
    return " and ".join(found.values()) or None
