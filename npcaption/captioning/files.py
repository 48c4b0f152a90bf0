"""Captions for files: found, read and captioned in groups, told as they come, and drawn with what they come from."""
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

# Images that Pillow cannot read, or only with a plug-in: told if a folder holds them, as somebody expects a caption.
OTHER_KINDS = frozenset("""
    .heic .heif .hif .avif .jxl .jp2 .webp .tif .tiff .psd .psb .xcf .svg .svgz .pdf .ai .eps
    .3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw
    .x3f
    """.split())


def find_images(names):
    """Files, folders (the images in them) and patterns such as "photos/*.jpg" -> paths.  DataError if one has none."""
    found = []
    for name in names:
        path, matches = Path(name), [name]
        if path.is_dir():
            matches = images_in(name)
        elif glob.has_magic(name) and not path.exists():
            matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise DataError(f"{name} matches no file. Name images, folders of images, or patterns.")
        found += matches
    return found


def images_in(folder):
    """Paths of the images of a folder, in the order of their names; what else a person may expect is told on stderr.

    DataError if there are none.
    """
    files = sorted(file for file in Path(folder).iterdir() if not file.name.startswith("."))  # as macOS hides some
    images = [os.path.join(folder, file.name) for file in files if is_image(file)]
    others = Counter(file.suffix.lower() for file in files
                     if file.suffix.lower() in OTHER_KINDS and file.is_file() and not is_image(file))
    folders = [file.name for file in files if file.is_dir()]
    left = []
    if others:
        left.append(f"Skipped {count(sum(others.values()), 'file')} of {folder} that cannot be read here "
                    f"({', '.join(sorted(others))}): convert them to JPEG.")
    if folders:
        few = ", ".join(folders[:3] + ["..."] * (len(folders) > 3))
        left.append(f"Skipped {count(len(folders), 'folder')} in {folder} ({few}): name them, or a pattern such as "
                    f"'{os.path.join(folder, '**', '*.jpg')}'.")
    if not images:
        raise DataError(" ".join([f"{folder} is a folder without images.", *left]
                                 + ["Name images, folders of images, or patterns."] * (not left)))
    for sentence in left:
        note(printable(sentence))
    return images


def is_image(file):
    """By its name, or without a suffix by its first bytes; not what Pillow can write but not read."""
    if not file.is_file():
        return False
    if not file.suffix:
        with suppress(Exception), pillow_set_up(max_pixels()), Image.open(file):  # it can raise nearly anything
            return True
    kind = Image.registered_extensions().get(file.suffix.lower())
    return kind in Image.OPEN and kind not in ("MPEG", "EPS")


def captioned(captioner, paths, decode):
    """For each path in turn (path, the image as the model reads it, its Sentences), or (path, None, its DataError)"""
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
    """-> (image, None) or (None, DataError): one bad file among a thousand costs one caption."""
    try:
        return captioner.inputs_of([path])[0], None
    except DataError as error:
        return None, error


def tell(path, sentences, count, as_json):
    """Print the first `count` captions of an image, or on stderr why it has none."""
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
    """JSON in characters that stdout can show; if it cannot show them all, in ASCII."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (LookupError, UnicodeError):
        return json.dumps(value)
    return text if text.isprintable() else json.dumps(value)


def check_pictures(outs, paths, taken=()):
    """Before any work: DataError if a picture could not be saved, or would be saved over a file that must stay.

    That is an image, one of `taken`, or another picture.  Where pictures are numbered, so that nobody gave their names, it
    is every file but earlier pictures of ours.
    """
    taken = {*map(identity, paths), *map(identity, taken)}
    for out in outs:
        for number in range(1, len(paths) + 1):
            file = numbered(out, number, len(paths))
            if number == 1:
                check_writable(file)
                pictures.kind_of(file)
            if identity(file) in taken:
                raise DataError(f"{file} would be written over. Give the picture another name.")
            if len(paths) > 1 and os.path.lexists(file) and not pictures.is_ours(file):
                raise DataError(f"{file} exists and would be written over. Give the pictures another name, or remove "
                                f"it.")
            taken.add(identity(file))


def draw(kind, captioner, path, image, sentence, out, **chosen):
    """Save a picture of an image with the map of each word over it.  kind "attention" or "saliency"

    chosen: layer and head, of attention.
    """
    looks = MAPS[kind](captioner, image, sentence.hypothesis.ids, **chosen)
    note = (lambda m: f"peak {m.max() * m.size:.0f}x even") if kind == "attention" else (lambda m: "")
    panels = [pictures.Panel(look.word, note(look.map), look.map) for look in looks]
    pictures.save(pictures.sheet(open_image(path), sentence.text, panels), out)


def numbered(out, number, count):
    """Where the picture of image `number` of `count` goes: dog.png, or of several dog-1.png, dog-2.png, ..."""
    path = Path(out)
    return path if count == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
