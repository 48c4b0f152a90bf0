"""Which caption files lie in a folder, of which format, and of which split."""
import re
from typing import NamedTuple

from ..errors import DataError, printable, why
from .annotations import read_annotations
from .lists import read_captions, read_flickr30k, read_json_lines
from .parquet import read_parquet

TEXT_FOLDER = "Flickr8k_text"                       # where the original archive puts its text files
COCO_FOLDER = "annotations"
FOLDERS = "", TEXT_FOLDER, COCO_FOLDER, "data"      # where caption files are looked for
SPLIT = re.compile("(?:captions_)?(train|val|test)")  # how the names of files of one split each begin


class Format(NamedTuple):
    title: str
    read: object                                    # function: file -> entries
    sharded: bool = False                           # whether several files may be of one split


FORMATS = {"dataset_*.json": Format("Karpathy's JSON", read_annotations),
           "captions_*.json": Format("COCO captions", read_annotations),
           "Flickr8k.token.txt": Format("the original Flickr8k", read_captions),
           "captions.txt": Format("a caption list", read_captions),
           "captions.csv": Format("a caption list", read_captions),
           "captions.jsonl": Format("JSON lines", read_json_lines),
           "metadata.jsonl": Format("JSON lines", read_json_lines),
           "results.csv": Format("the original Flickr30k", read_flickr30k),
           "*.parquet": Format("Parquet", read_parquet, sharded=True)}      # in the order in which they are looked for
READERS = {".json": read_annotations, ".jsonl": read_json_lines}            # of files with other names


def find_caption_files(path):
    """The caption files that path is or holds -> [(file, its split or None)], their Format

    Files whose names tell a split are of that split if there are several.
    """
    try:
        if path.is_file():
            return [(path, None)], next((kind for pattern, kind in FORMATS.items() if path.match(pattern)),
                                        Format("captions", READERS.get(path.suffix, read_captions)))
        there = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)} cannot be read: {why(error)}. "
                        "Give the path of a folder or of a caption file.") from error
    for pattern, kind in FORMATS.items():
        files = next(filter(None, (files_like(pattern, path / folder) for folder in FOLDERS)), [])
        splits = [split_of(file) for file in files]
        if not kind.sharded and len(set(splits)) < len(files):
            raise DataError(f"{path} holds {', '.join(file.name for file in files)}. "
                            "Give the path of the one you mean.")
        if files:
            return list(zip(files, splits if len(set(splits)) > 1 else [None] * len(files))), kind
    holds = printable(", ".join(there[:10])) + (f" and {len(there) - 10:,} more" if len(there) > 10 else "")
    raise DataError(f"No captions were found in {path}: looked for {', '.join(FORMATS)} there and in "
                    f"{', '.join(f'{folder}/' for folder in FOLDERS[1:])}. The folder holds {holds or 'nothing'}. Give "
                    "another folder, or write a captions.txt with one line `name.jpg,caption` for each caption.")


def files_like(pattern, folder):
    """Files alone: reading a pipe would wait for ever."""
    return sorted(file for file in folder.glob(pattern) if file.is_file())


def split_of(file):
    """ "train", "val", "test", or None if its name does not tell"""
    found = SPLIT.match(file.name)
    return found and found[1]


def read_entries(files, kind):
    """The entries of all files, of the splits of their files where they have one."""
    for file, split in files:
        for entry in kind.read(file):
            yield entry if split is None else entry._replace(split=split)
