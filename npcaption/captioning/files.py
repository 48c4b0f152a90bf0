"""Captions of image files: find, read and caption them in groups, print the captions, draw attribution maps."""
import glob
import json
import os
import sys
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from ..data.formats.text import clean, count
from ..errors import DataError, printable
from ..support.cores import usable_cores
from ..support.files import check_writable, identity
from ..support.images import max_pixels, open_image, pillow_set_up
from ..support.in_order import in_order
from ..support.progress import note, progress, say
from . import attribution, pictures
from .captioner import GROUP

MAPS = {"attention": attribution.attention, "saliency": attribution.saliency}

# Suffixes of images that Pillow reads only with a plug-in, or not at all: a note names such files in a folder.
UNREADABLE_SUFFIXES = frozenset("""
    .heic .heif .hif .avif .jxl .jp2 .webp .tif .tiff .psd .psb .xcf .svg .svgz .pdf .ai .eps
    .3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw
    .x3f
    """.split())


def find_images(names):
    """Files, folders (the images in them) and patterns such as "photos/*.jpg" -> paths.  DataError if one is empty."""
    found = []
    for name in names:
        path, matches = Path(name), [name]
        if path.is_dir():
            matches = images_in(name)
        elif glob.has_magic(name) and not path.exists():
            matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise DataError(f"{name} matches no file. Pass images, folders of images, or patterns.")
        found += matches
    return found


def images_in(folder):
    """Paths of the images in a folder, sorted by name; a note on stderr lists skipped images and folders.

    DataError if there are none.
    """
    files = sorted(file for file in Path(folder).iterdir() if not file.name.startswith("."))  # without macOS's ._ files
    images = [os.path.join(folder, file.name) for file in files if is_image(file)]
    others = Counter(file.suffix.lower() for file in files
                     if file.suffix.lower() in UNREADABLE_SUFFIXES and file.is_file() and not is_image(file))
    folders = [file.name for file in files if file.is_dir()]
    skipped = []
    if others:
        skipped.append(f"Skipped {count(sum(others.values()), 'unreadable file')} in {folder} "
                       f"({', '.join(sorted(others))}). Convert them to JPEG.")
    if folders:
        first = ", ".join(folders[:3] + ["..."] * (len(folders) > 3))
        skipped.append(f"Skipped {count(len(folders), 'folder')} in {folder} ({first}). Pass them, or a pattern such "
                       f"as '{os.path.join(folder, '**', '*.jpg')}'.")
    if not images:
        raise DataError(" ".join([f"{folder} is a folder without images.", *skipped]
                                 + ["Pass images, folders of images, or patterns."] * (not skipped)))
    for sentence in skipped:
        note(printable(sentence))
    return images


def is_image(file):
    """Whether Pillow reads a file, by its suffix, or without a suffix by its first bytes."""
    if not file.is_file():
        return False
    if not file.suffix:
        with suppress(Exception), pillow_set_up(max_pixels()), Image.open(file):  # it can raise any exception
            return True
    kind = Image.registered_extensions().get(file.suffix.lower())
    return kind in Image.OPEN and kind not in ("MPEG", "EPS")


def captioned(captioner, paths, decode):
    """For each path in turn (path, the model's input, its Sentences), or (path, None, its DataError)"""
    read, cores = deque(), usable_cores() if len(paths) > 1 and captioner.encoder is None else 1

    def readable(pool):
        for path, (image, error) in zip(paths, in_order(pool, partial(attempt, captioner), paths, 2 * cores)):
            read.append((path, image, error))
            if error is None:
                yield image

    def found():
        with ThreadPoolExecutor(cores) as pool:
            for sentences in captioner.stream(readable(pool), decode):
                while read[0][2]:                            # unreadable files before it
                    yield read.popleft()
                yield *read.popleft()[:2], sentences
        yield from read
    yield from progress(found(), len(paths), "captioning", "images") if len(paths) > GROUP else found()


def attempt(captioner, path):
    """-> (the model's input, None) or (None, DataError), so that an unreadable file costs only its own caption"""
    try:
        return captioner.inputs_of([path])[0], None
    except DataError as error:
        return None, error


def print_captions(path, sentences, count, as_json):
    """Print the first `count` captions of an image, or its error on stderr."""
    failed = isinstance(sentences, DataError)
    if failed:
        note(printable(sentences))
    if as_json:
        found = {"error": str(sentences)} if failed else {"captions": [
            {"caption": text, "log_probability": round(h.log_probability, 4), "score": round(h.score, 4)}
            for text, h in sentences[:count]]}
        say(json_line({"image": path} | found))
    elif not failed:
        for text, hypothesis in sentences[:count]:
            say(f"{printable(path)}: {clean(text)}" + (f"  ({hypothesis.score:.3f})" if count > 1 else ""))


def json_line(value):
    """JSON text, in ASCII if stdout's encoding lacks some of its characters."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (LookupError, UnicodeError):
        return json.dumps(value)
    return text if text.isprintable() else json.dumps(value)


def check_pictures(outs, paths, taken=()):
    """Check before any work: DataError if a picture cannot be saved, or would overwrite a file.

    Protected files are the images, the files `taken`, and other pictures. Numbered pictures, whose names nobody typed,
    overwrite only earlier pictures of npcaption.
    """
    taken = {*map(identity, paths), *map(identity, taken)}
    for out in outs:
        for number in range(1, len(paths) + 1):
            file = numbered(out, number, len(paths))
            if number == 1:
                check_writable(file)
                pictures.kind_of(file)
            if identity(file) in taken:
                raise DataError(f"{file} would be overwritten. Choose another name for the picture.")
            if len(paths) > 1 and os.path.lexists(file) and not pictures.is_ours(file):
                raise DataError(f"{file} exists and would be overwritten. Choose another name for the pictures, or "
                                f"remove the file.")
            taken.add(identity(file))


def draw(kind, captioner, path, image, sentence, out, **chosen):
    """Save a picture of an image with the map of each word as an overlay.  kind "attention" or "saliency"

    chosen: layer and head, for attention.
    """
    looks = MAPS[kind](captioner, image, sentence.hypothesis.ids, **chosen)
    note = (lambda m: f"peak {m.max() * m.size:.0f}x even") if kind == "attention" else (lambda m: "")
    panels = [pictures.Panel(look.word, note(look.map), look.map) for look in looks]
    pictures.save(pictures.sheet(open_image(path), sentence.text, panels), out)


def numbered(out, number, count):
    """Path of the picture of image `number` of `count`: dog.png, or for several images dog-1.png, dog-2.png, ..."""
    path = Path(out)
    return path if count == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
