"""Output files: the check that they are writable and none of them is an input."""
import os
from pathlib import Path

from ..config import SHAPES
from ..data.formats.sources import find_caption_files
from ..support.files import check_writable


def check_outputs(files, inputs):
    """DataError if a file cannot be written, or would destroy an input or another output."""
    for i, file in enumerate(files):
        check_writable(file, [*inputs, *files[:i]])


def inputs_of(data, dataset):
    """The files of a data set: caption files, and images in files of their own.  data: tuple of paths, or SHAPES"""
    for path in () if data == SHAPES else data:
        yield from (source.file for source in find_caption_files(Path(path))[0])
    yield from (file for split in (dataset.train, dataset.val, dataset.test) for file in split.files or []
                if isinstance(file, os.PathLike))
