"""Entries, the common form of every caption format."""
from typing import NamedTuple

from ..splits import WORDS

IMAGE_COLUMNS = "image", "image_name", "file_name", "filename", "filepath", "file", "path"
CAPTION_COLUMNS = "caption", "captions", "text", "comment", "sentence"
OTHER_CAPTIONS = "raw", "sentences", "description", "descriptions", "caption_text"  # of a table without the above
SPLIT_COLUMNS = "set", "subset", "partition", "fold", "phase", "usage", "data_split", "dataset_split", "split_name"
                                                # which may mean something else; `split` means one thing


class Fault(NamedTuple):
    """Why entries are left out: "Left out 2 lines that ..." """
    noun: str                                       # what is counted
    why: str


class Cell(NamedTuple):
    """An image that lies in a row of a Parquet file; os.stat and the like see that file."""
    file: str
    group: int                                      # the row group
    row: int                                        # in that group
    number: int                                     # of the row in the file, from 1 on
    inside: str                                     # the path that the file gives the image, or ""

    @property
    def name(self):
        return self.inside or str(self).rpartition("/")[2]

    def __fspath__(self):
        return self.file

    def open_file(self):
        """The image's file, as a binary file object.  OSError if the row holds none"""
        from .parquet import open_cell  # which needs the entries
        return open_cell(self)

    def __str__(self):
        return f"{self.file}:{self.number}"


class Entry(NamedTuple):
    """One caption of an image."""
    place: str                                      # where it stands: "captions.txt:12", printable
    image: str | Cell                               # its path below the folder of the images; of a fault, the line
    caption: str
    split: str | None = None                        # the word that states it, or None
    fault: Fault | None = None                      # why it cannot be used


def plain(column):
    """The name of a column or a key as the tables above have it."""
    return column.strip().lower().replace(" ", "_")


def holds_captions(column):
    """Whether a column is one of captions: `caption`, or `caption_0` and so on."""
    return plain(column).rstrip("0123456789").rstrip("_") in CAPTION_COLUMNS


def states_split(column):
    """Whether a column may state a split."""
    return plain(column) == "split" or plain(column) in SPLIT_COLUMNS


def stated_split(row):
    """The word by which a row {column: value} states its split, or None

    A word that is no split's counts in a column `split` alone. Of two columns that differ, both words: no split's.
    """
    texts = {plain(column): str(value).strip() for column, value in row.items()
             if states_split(column) and value is not None}
    if "split" in texts:
        return texts["split"] or None
    found = {WORDS[text.lower()]: text for text in texts.values() if text.lower() in WORDS}
    return " and ".join(found.values()) or None
