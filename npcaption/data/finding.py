"""Image files: lookup of a caption file's names, and unique names of images in the data set."""
import errno
import os
import unicodedata
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from ..errors import DataError, printable, why
from .formats.entries import ParquetImage, SkipReason

IMAGE_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images",
                 "flickr30k-images", ".")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2",
            ".jfif")
MAX_DEPTH = 20                                      # folders in a name; deeper names are matched only exactly

MISSING = SkipReason("image", "missing file")
OUTSIDE = SkipReason("image", "absolute path, or `..` in it")
AMBIGUOUS = SkipReason("image", "name matches several files, none exactly")


class InexactMatch(NamedTuple):
    """A file found for a name spelt differently."""
    image: Path
    difference: str


class Listing(NamedTuple):
    """A folder's content."""
    files: set
    folders: dict                                   # {folded name: [names]}
    folded: dict                                    # {folded name: [names of files]}
    stems: dict                                     # {folded stem: [names of image files]}


class Finder:
    """Lookup of images below a folder, listing each folder once: a stat per image takes minutes on a network drive."""

    def __init__(self, root):
        self.root = root
        self.tops = [name for name in IMAGE_FOLDERS if os.path.isdir(root / name)]
        self.files = {}                             # {folder: names of its files}
        self.listings = {}
        self.resolved = {(): [root]}                # {names of folders: folders of these names, see _resolved}
        self.exact = {}                             # {sub-folder: its existing folders below each image folder}
        self.variants = {}                          # {parts of a sub-folder: [(difference, folders)]}
        self.found = {}                             # {(name, below): result of find}

    def find(self, name, below=""):
        """Find the file of a name, sub-folders included -> its path, an InexactMatch, or a SkipReason

        below: folder of relative names, tried first. A name that leads outside the root is refused: a downloaded data
        set must not expose the user's own files. A ParquetImage is returned unchanged.
        """
        if isinstance(name, ParquetImage):
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
        if not 0 < len(parts) <= MAX_DEPTH:
            return MISSING
        for start in starts:
            if found := self._find_inexactly(name, (*filter(None, [start]), *parts[:-1]), parts[-1]):
                return found
        return MISSING

    def _places(self, below):
        """Existing folders `below` each image folder, listed"""
        if below not in self.exact:
            self.exact[below] = []
            for image_folder in self.tops:
                place = self.root / image_folder / below
                if place not in self.files:
                    self.files[place] = list_folder(place)[0]
                if self.files[place] and place not in self.exact[below]:
                    self.exact[below].append(place)
        return self.exact[below]

    def _find_inexactly(self, name, below, file):
        """An InexactMatch, AMBIGUOUS, or None"""
        key, (stem, suffix) = folded(file), os.path.splitext(file)
        for folder_difference, folders in self._variants(below):
            for no_suffix in False, True:           # True: the name or the file lacks its suffix
                matches = {}
                for folder in folders:
                    listing = self._listing(folder)
                    names = listing.stems.get(key, []) if no_suffix else listing.folded.get(key, [])
                    if no_suffix and suffix.lower() in SUFFIXES:
                        names = names + listing.folded.get(folded(stem), [])
                    matches |= {folder / name: None for name in names}
                if len(different := distinct(matches)) > 1:
                    return AMBIGUOUS
                if different:
                    found = different[0]
                    return InexactMatch(found, difference(name, found, folder_difference, no_suffix))
        return None

    def _variants(self, below):
        """Candidate folders for the folders `below`, closest first -> [(difference, folders)]

        The same folders in another case or Unicode form; with one doubled, as archives unpack; without missing leading
        folders.
        """
        if below not in self.variants:
            tops = [top for top in [(), *((name,) for name in IMAGE_FOLDERS[:-1])] if self._resolved(top)]
            variants = [("", [top + below for top in tops]),
                        ("a doubled folder", [one + (two,) + below for one in tops[1:] for two in IMAGE_FOLDERS[:-1]]
                         + [top + below[:1] + below for top in tops if below])]
            rest = below
            while rest and not any(self._resolved(top + rest[:1]) for top in tops):
                rest = rest[1:]
                variants.append(("missing folders", [top + rest for top in tops]))
            self.variants[below] = [
                (label, list(dict.fromkeys(folder for parts in each for folder in self._resolved(parts))))
                for label, each in variants]
        return self.variants[below]

    def _resolved(self, parts):
        """Existing folders of these names below the root, in any case and Unicode form"""
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
        """The first image in the image folders, or None"""
        return next((place / name for place in self._places("") for name in sorted(self.files[place])
                     if name.lower().endswith(SUFFIXES)), None)

    def elsewhere(self, name):
        """Another folder with a file of this name, or None"""
        folders = [self.root / folder for names in self._listing(self.root).folders.values() for folder in names]
        return next((inside for folder in folders for inside in (folder, *(folder / top for top in IMAGE_FOLDERS[:-1]))
                     if os.path.basename(name) in self._listing(inside).files), None)

    def unnamed(self, named):
        """Yield the other files in the named images' folders that have one of their suffixes."""
        named = {path for path in named if isinstance(path, Path)}
        suffixes = {path.suffix.lower() for path in named}
        for folder in sorted({path.parent for path in named}):
            for name in sorted(self.files.get(folder) or self._listing(folder).files):
                path = folder / name
                if path.suffix.lower() in suffixes and path not in named and not name.startswith("."):
                    yield path


def folded(name):
    """A name without differences of case and Unicode composition, ignored by file systems and people."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def grouped(names, key=folded):
    groups = {}
    for name in sorted(names):
        groups.setdefault(key(name), []).append(name)
    return groups


def distinct(paths):
    """Paths of distinct files: on some file systems Images/ and images/ are the same."""
    different = []
    for path in paths:
        if not any(os.path.samefile(path, other) for other in different):
            different.append(path)
    return different


def difference(name, path, folder_difference, no_suffix):
    """Description of the difference between a name and its file's path"""
    given = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    actual = path.parts[-1:] if folder_difference else path.parts[-len(given):]
    given, actual = "/".join(given[-len(actual):]), "/".join(actual)
    if no_suffix:
        given, actual = (os.path.splitext(text)[0] if text.lower().endswith(SUFFIXES) else text
                         for text in (given, actual))
    composed = unicodedata.normalize("NFC", given) == unicodedata.normalize("NFC", actual)
    spelling_difference = "" if given == actual else "Unicode form" if composed else "upper and lower case"
    return " and ".join(filter(None, [folder_difference, "backslashes" * ("\\" in name), "the suffix" * no_suffix,
                                      spelling_difference])) or "upper and lower case"  # in the image folder's name


def list_folder(folder):
    """Names of the files and of the folders in a folder, links followed; both empty if it does not exist."""
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
            raise DataError(f"The folder {printable(folder)} cannot be listed: {why(error)}. Make it readable."
                            ) from error
    return files, folders


# ---------------------------------------------------------------------------------------------------------- identities

def identities(images, root):
    """Names of images, their paths below the image folder -> {image: name}; `unique_names` resolves duplicates"""
    return {image: "/".join(within(stored_parts(image) if isinstance(image, ParquetImage)
                                   else image.relative_to(root).parts)) or full_name(image, root) for image in images}


def unique_names(names, root):
    """Replace duplicate names by full names: paths below the root, or Parquet files with rows -> {image: name}"""
    once, twice = set(), set()
    for name in names.values():
        (twice if name in once else once).add(name)
    return {image: full_name(image, root) if name in twice else name for image, name in names.items()}


def spelling(name):
    """A name in canonical spelling: no image folder, forward slashes, accents composed."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return unicodedata.normalize("NFC", "/".join(within(parts)))


def stored_parts(image):
    """Parts of the path stored for a ParquetImage; an absolute path is reduced to the part below the image folder"""
    path = image.path.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    if not PurePosixPath(path).anchor and not PureWindowsPath(path).anchor:
        return parts
    tops = [number for number, part in enumerate(parts[:-1]) if folded(part) in map(folded, IMAGE_FOLDERS)]
    return parts[tops[0]:] if tops else parts[-1:]


def within(parts):
    """A path without leading image folders and without a doubled folder"""
    parts = list(parts)
    tops = set(map(folded, IMAGE_FOLDERS))
    while len(parts) > 1 and (folded(parts[0]) in tops or parts[0] == parts[1] and len(parts) > 2):
        del parts[0]
    return parts


def full_name(image, root):
    """Path of an image below the root, or of its Parquet file with its row"""
    if isinstance(image, ParquetImage):
        return f"{Path(image.file).relative_to(root).as_posix()}:{image.number}"
    return image.relative_to(root).as_posix()
