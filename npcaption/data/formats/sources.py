"""Discovery of caption files in a folder, with their formats and splits."""
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError, printable, why
from ..finding import list_folder
from ..splits import SPLITS, split_named
from .annotations import read_annotations
from .lists import read_captions, read_flickr30k, read_json_lines
from .parquet import read_parquet

TEXT_FOLDER = "Flickr8k_text"                       # text files of the original Flickr8k
COCO_FOLDER = "annotations"
FOLDERS = "", TEXT_FOLDER, COCO_FOLDER, "data"      # folders searched for caption files
TOPS = "", "data", "default"                        # folders searched for one folder per split
COCO = "captions_"                                  # captions_train2017.json has its images in the folder train2017


class Format(NamedTuple):
    title: str
    read: object                                    # function: file -> entries
    sharded: bool = False                           # whether a split can have several files


class Source(NamedTuple):
    """A caption file."""
    file: Path
    kind: Format
    split: str | None                               # stated by the name of the file or folder
    below: str                                      # folder of its relative names, or ""


FORMATS = {"dataset_*.json": Format("Karpathy's JSON", read_annotations),
           "captions_*.json": Format("COCO captions", read_annotations),
           "captions.json": Format("JSON", read_annotations),
           "Flickr8k.token.txt": Format("the original Flickr8k", read_captions),
           "captions.txt": Format("a caption list", read_captions),
           "captions.csv": Format("a caption list", read_captions),
           "captions.tsv": Format("a caption list", read_captions),
           "captions.jsonl": Format("JSON lines", read_json_lines),
           "metadata.jsonl": Format("JSON lines", read_json_lines),
           "metadata.csv": Format("a caption list", read_captions),
           "results.csv": Format("the original Flickr30k", read_flickr30k),
           "*.parquet": Format("Parquet", read_parquet, sharded=True)}      # in the order of the search
BY_SUFFIX = {"*.csv": Format("a caption list", read_captions), "*.tsv": Format("a caption list", read_captions),
             "*.jsonl": Format("JSON lines", read_json_lines), "*.ndjson": Format("JSON lines", read_json_lines),
             "*.json": Format("JSON", read_annotations)}                   # only names that state a split
NOT_CAPTIONS = "dataset_info*.json", "dataset_dict.json"    # the Hugging Face hub's descriptions of columns


def find_caption_files(path):
    """Find the caption files of a path, a file or folder -> [Source], root folder of their images"""
    try:
        if path.is_file():
            return [source(path, kind_of(path))], root_of(path)
        there = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)} cannot be read: {why(error)}. "
                        "Pass the path of a folder or of a caption file.") from error
    listings = [(path / folder, *list_folder(path / folder)) for folder in FOLDERS]
    if found := files_of_one_kind(path, [(folder, files) for folder, files, _ in listings]):
        return found, root_of(found[0].file)
    for top in TOPS:
        found = []
        for folder in sorted(list_folder(path / top)[1]):
            if split := split_named(folder):
                inside = path / top / folder
                each = files_of_one_kind(path, [(inside, list_folder(inside)[0])], stated=True)
                found += [one._replace(split=agreed(one, split), below=folder) for one in each]
        if found:
            return found, path / top
    holds = printable(", ".join(there[:10])) + (f" and {len(there) - 10:,} more" if len(there) > 10 else "")
    raise DataError(f"No captions found in {printable(path)}. It holds {holds or 'nothing'}. Pass another folder, or "
                    f"write a captions.txt with one line `name.jpg,caption` per caption. Searched for: "
                    f"{', '.join(FORMATS)}, and files such as train.csv, val.csv and test.csv, there and in "
                    f"{', '.join(f'{name}/' for name in FOLDERS[1:])}, and in folders such as train/, val/ and test/.")


def root_of(file):
    """Folder of a data set, from one of its caption files"""
    return file.parent.parent if file.parent.name in (TEXT_FOLDER, COCO_FOLDER) else file.parent


def kind_of(file):
    return next((kind for pattern, kind in (FORMATS | BY_SUFFIX).items() if like(file.name, pattern)),
                Format("captions", read_captions))


def like(name, pattern):
    """Whether a file's name matches a pattern, in any case; hidden files never match."""
    name = name.lower()
    return (fnmatchcase(name, pattern.lower()) and not name.startswith(".")
            and not any(fnmatchcase(name, other) for other in NOT_CAPTIONS))


def source(file, kind):
    below = file.stem[len(COCO):] if file.stem.lower().startswith(COCO) and file.suffix.lower() == ".json" else ""
    return Source(file, kind, split_named(file.name), below)


def agreed(one, split):
    """Split of a source in a folder of one split.  DataError if the file's name states another"""
    if one.split not in (None, split):
        raise DataError(f"{printable(one.file)} is named after the split {one.split} but lies in a folder of the split "
                        f"{split}. Rename one of them.")
    return split


def files_of_one_kind(path, listings, stated=False):
    """Sources of the first format that has files, in the first folder with some; none if no file matches

    listings: [(folder, names of its files)]. stated: whether the folder states the split; file names then need not.
    """
    for pattern, kind in FORMATS.items():
        for folder, names in listings:
            found = [source(folder / name, kind) for name in sorted(names) if like(name, pattern)]
            if found:
                return unambiguous(path, found, stated)
    for folder, names in listings:
        found = {}                                  # {split: sources of its first format}: train.csv, val.jsonl
        for pattern, kind in BY_SUFFIX.items():
            here = [source(folder / name, kind) for name in sorted(names) if like(name, pattern)]
            found |= {split: [one for one in here if one.split == split] for split in SPLITS
                      if split not in found and any(one.split == split for one in here)}
        if found:
            return unambiguous(path, [one for each in found.values() for one in each], stated)
    return []


def unambiguous(path, found, stated):
    """Check that each split has one source, unless the format has shards -> the sources.  DataError"""
    if not found[0].kind.sharded and len({None if stated else one.split for one in found}) < len(found):
        raise DataError(f"{printable(path)} holds several caption files: "
                        f"{printable(', '.join(one.file.name for one in found))}. Pass the path of one.")
    return found


def read_entries(sources):
    """Yield (source, entry) of all sources."""
    for one in sources:
        for entry in one.kind.read(one.file):
            yield one, entry
