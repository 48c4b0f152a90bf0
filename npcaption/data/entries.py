"""What every caption format is read into."""
from typing import NamedTuple

IMAGE_COLUMNS = "image", "image_name", "file_name", "filename", "filepath", "file", "path"
CAPTION_COLUMNS = "caption", "captions", "text", "comment", "sentence"


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
    inside: str                                     # the name that the file gives the image, or ""

    @property
    def name(self):
        return self.inside or str(self).rpartition("/")[2]

    def __fspath__(self):
        return self.file

    def __str__(self):
        return f"{self.file}:{self.number}"


class Entry(NamedTuple):
    """One caption of an image."""
    place: str                                      # where it stands: "captions.txt:12"
    image: str | Cell                               # its path below the folder of the images; of a fault, the line
    caption: str
    split: str | None                               # None where the format does not tell
    fault: Fault | None = None                      # why it cannot be used
