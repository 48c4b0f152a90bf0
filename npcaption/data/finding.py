"""Image files: which one a name in a caption file means, and under which name the data set knows it."""
import errno
import os
import unicodedata
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from ..errors import DataError, printable, why
from .formats.entries import Cell, Fault

IMAGE_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images",
                 "flickr30k-images", ".")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2",
            ".jfif")
DEEPEST = 20                                        # folders in a name; deeper ones are only looked for exactly

MISSING = Fault("image", "whose file is missing")
OUTSIDE = Fault("image", "whose path is absolute or has `..` in it")
AMBIGUOUS = Fault("image", "whose name matches several files, none of them exactly")


class Respelt(NamedTuple):
    """A file that a name means though it is not spelt like it."""
    image: Path
    how: str                                        # in what the two differ


class Listing(NamedTuple):
    """A folder's content."""
    files: set
    folders: dict                                   # {folded name: [names]}
    folded: dict                                    # {folded name: [names of files]}
    stems: dict                                     # the same of images without their suffixes


class Finder:
    """The images below a folder. Each folder is listed once: a stat for each image takes minutes on a network drive."""

    def __init__(self, root):
        self.root = root
        self.tops = [name for name in IMAGE_FOLDERS if os.path.isdir(root / name)]
        self.files = {}                             # {folder: names of its files}
        self.listings = {}
        self.resolved = {(): [root]}                # {names of folders: those in any case and Unicode form}
        self.exact = {}                             # {sub-folder: its existing folders below each image folder}
        self.rough = {}                             # {parts of a sub-folder: [(what differs, folders)]}
        self.found = {}                             # {(name, below): what find returned}

    def find(self, name, below=""):
        """A name, which may begin with sub-folders -> the path of its file, a Respelt, or the Fault that there is none

        below: the folder to which it may be relative. A name that leads elsewhere is refused: who reads a foreign data
        set does not mean to show their own files. An image in a Parquet file is its own path.
        """
        if isinstance(name, Cell):
            return name
        if (name, below) not in self.found:
            self.found[name, below] = self._find(name, below)
        return self.found[name, below]

    def _find(self, name, below):
        plain = name.replace("\\", "/")
        if any(path.anchor or ".." in path.parts
               for path in (PurePath(name), PurePosixPath(plain), PureWindowsPath(plain))):
            return OUTSIDE
        starts = [below, ""] if below else [""]
        for start in [*starts[:-1], *(f"{below}/{folder}" for folder in IMAGE_FOLDERS[:-1] if below), ""]:
            folder, file = os.path.split(os.path.join(start, name))
            for place in self._places(folder):
                if file in self.files[place]:
                    return place / file
        parts = [part for part in plain.split("/") if part not in ("", ".")]
        if not 0 < len(parts) <= DEEPEST:
            return MISSING
        for start in starts:
            if found := self._find_roughly(name, (*filter(None, [start]), *parts[:-1]), parts[-1]):
                return found
        return MISSING

    def _places(self, below):
        """The existing folders `below` each image folder, listed"""
        if below not in self.exact:
            self.exact[below] = []
            for image_folder in self.tops:
                place = self.root / image_folder / below
                if place not in self.files:
                    self.files[place] = list_folder(place)[0]
                if self.files[place] and place not in self.exact[below]:
                    self.exact[below].append(place)
        return self.exact[below]

    def _find_roughly(self, name, below, file):
        """A Respelt, AMBIGUOUS, or None"""
        key, (stem, suffix) = folded(file), os.path.splitext(file)
        for elsewhere, folders in self._variants(below):
            for cut in False, True:                 # with the suffix, and if the name or the file has none
                matches = {}
                for folder in folders:
                    listing = self._listing(folder)
                    names = listing.stems.get(key, []) if cut else listing.folded.get(key, [])
                    if cut and suffix.lower() in SUFFIXES:
                        names = names + listing.folded.get(folded(stem), [])
                    matches |= {folder / name: None for name in names}
                if len(different := distinct(matches)) > 1:
                    return AMBIGUOUS
                if different:
                    return Respelt(different[0], difference(name, different[0], elsewhere, cut))
        return None

    def _variants(self, below):
        """The folders where an image of the folders `below` may be, the nearest first -> [(what differs, folders)]

        The same folders in another case or Unicode form; one of them doubled, as archives unpack; and without leading
        ones that are not there.
        """
        if below not in self.rough:
            tops = [top for top in [(), *((name,) for name in IMAGE_FOLDERS[:-1])] if self._resolved(top)]
            variants = [("", [top + below for top in tops]),
                        ("a doubled folder", [one + (two,) + below for one in tops[1:] for two in IMAGE_FOLDERS[:-1]]
                         + [top + below[:1] + below for top in tops if below])]
            rest = below
            while rest and not any(self._resolved(top + rest[:1]) for top in tops):
                rest = rest[1:]
                variants.append(("folders that are not there", [top + rest for top in tops]))
            self.rough[below] = [
                (what, list(dict.fromkeys(folder for parts in each for folder in self._resolved(parts))))
                for what, each in variants]
        return self.rough[below]

    def _resolved(self, parts):
        """The folders of these names below the root, in any case and Unicode form"""
        if parts not in self.resolved:
            above = self._resolved(parts[:-1])
            key = folded(parts[-1]) if above else ""
            self.resolved[parts] = [folder / name for folder in above
                                    for name in self._listing(folder).folders.get(key, [])]
        return self.resolved[parts]

    def _listing(self, folder):
        if folder not in self.listings:
            files, folders = list_folder(folder)
            images = [name for name in files if name.lower().endswith(SUFFIXES)]
            self.listings[folder] = Listing(files, grouped(folders), grouped(files),
                                            grouped(images, lambda name: folded(os.path.splitext(name)[0])))
        return self.listings[folder]

    def example(self):
        """The first image that lies where images are looked for, or None"""
        return next((place / name for place in self._places("") for name in sorted(self.files[place])
                     if name.lower().endswith(SUFFIXES)), None)

    def elsewhere(self, name):
        """A folder in which there is a file of this name, though images are not looked for in it, or None"""
        folders = [self.root / folder for names in self._listing(self.root).folders.values() for folder in names]
        return next((inside for folder in folders for inside in (folder, *(folder / top for top in IMAGE_FOLDERS[:-1]))
                     if os.path.basename(name) in self._listing(inside).files), None)

    def unnamed(self, named):
        """The path of each file beside the named images, and of their kinds, that is not among them."""
        named = {path for path in named if isinstance(path, Path)}
        kinds = {path.suffix.lower() for path in named}
        for folder in sorted({path.parent for path in named}):
            for name in sorted(self.files.get(folder) or self._listing(folder).files):
                path = folder / name
                if path.suffix.lower() in kinds and path not in named and not name.startswith("."):
                    yield path


def folded(name):
    """A name without what file systems, and people, take for the same: case, and how an accented letter is composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def grouped(names, key=folded):
    groups = {}
    for name in sorted(names):
        groups.setdefault(key(name), []).append(name)
    return groups


def distinct(paths):
    """The paths, without those that are the same file as one before, as Images/ and images/ can be"""
    different = []
    for path in paths:
        if not any(os.path.samefile(path, other) for other in different):
            different.append(path)
    return different


def difference(name, path, elsewhere, cut):
    """In what a name and its file's path differ, in words."""
    ours = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    theirs = path.parts[-1:] if elsewhere else path.parts[-len(ours):]
    ours, theirs = "/".join(ours[-len(theirs):]), "/".join(theirs)
    if cut:
        ours, theirs = (os.path.splitext(text)[0] if text.lower().endswith(SUFFIXES) else text
                        for text in (ours, theirs))
    composed = unicodedata.normalize("NFC", ours) == unicodedata.normalize("NFC", theirs)
    return " and ".join(filter(None, [elsewhere, "backslashes" * ("\\" in name), "the suffix" * cut,
                                      "" if ours == theirs else "Unicode form" if composed else "upper and lower case"])
                        ) or "upper and lower case"             # in the folder of images


def list_folder(folder):
    """The names of the files in a folder and of its folders, links followed; none if there is no such folder."""
    files, folders = set(), set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) or entry.is_symlink() and os.path.isfile(entry.path):
                    files.add(entry.name)
                elif entry.is_dir(follow_symlinks=False) or entry.is_symlink() and os.path.isdir(entry.path):
                    folders.add(entry.name)
    except (OSError, ValueError) as error:          # ValueError: a null character in its name
        if getattr(error, "errno", None) not in (None, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise DataError(f"The folder {printable(folder)} cannot be listed: {why(error)}.") from error
    return files, folders


# ---------------------------------------------------------------------------------------------------------- identities

def identities(images, root):
    """The name of each image in the data set, its path below the folder of images -> {image: name}

    Two that this would give one name have names of their own in `unique_names`.
    """
    return {image: "/".join(within(parts_inside(image) if isinstance(image, Cell) else image.relative_to(root).parts)
                            ) or full_name(image, root) for image in images}


def unique_names(names, root):
    """The same, but for images of one name: their paths below the root, or their Parquet files with their rows"""
    once, twice = set(), set()
    for name in names.values():
        (twice if name in once else once).add(name)
    return {image: full_name(image, root) if name in twice else name for image, name in names.items()}


def spelling(name):
    """A name without that in which no two images differ: the folder of images, how slashes and accents are written."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return unicodedata.normalize("NFC", "/".join(within(parts)))


def parts_inside(cell):
    """The path that a Parquet file gives an image; of one on its maker's disk, the part below the folder of images"""
    path = cell.inside.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    if not PurePosixPath(path).anchor and not PureWindowsPath(path).anchor:
        return parts
    tops = [number for number, part in enumerate(parts[:-1]) if folded(part) in map(folded, IMAGE_FOLDERS)]
    return parts[tops[0]:] if tops else parts[-1:]


def within(parts):
    """A path without the folders of images in front, nor one that is doubled"""
    parts = list(parts)
    tops = set(map(folded, IMAGE_FOLDERS))
    while len(parts) > 1 and (folded(parts[0]) in tops or parts[0] == parts[1] and len(parts) > 2):
        del parts[0]
    return parts


def full_name(image, root):
    """The path of an image below the root, or that of its Parquet file with its row"""
    if isinstance(image, Cell):
        return f"{Path(image.file).relative_to(root).as_posix()}:{image.number}"
    return image.relative_to(root).as_posix()
