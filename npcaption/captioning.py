"""Captions for files: found, read and captioned in groups, told as they come, and drawn with what they come from."""
import glob
import json
import sys
from pathlib import Path

from PIL import Image

from . import attribution, pictures
from .captioner import GROUP
from .data.images import load_image, open_image
from .errors import DataError
from .files import check_writable
from .progress import progress, say

MAPS = {"attention": attribution.attention, "saliency": attribution.saliency}


def find_images(names):
    """Files, folders (the images in them) and patterns such as "photos/*.jpg" -> paths.  DataError if one has none."""
    found = []
    for name in names:
        path, matches = Path(name), [name]
        if path.is_dir():
            matches = sorted(str(file) for file in path.iterdir() if is_image(file))
        elif glob.has_magic(name) and not path.exists():
            matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise DataError(f"{name} {'is a folder without images' if path.is_dir() else 'matches no file'}. Name images, "
                            f"folders of images, or patterns.")
        found += matches
    return found


def is_image(file):
    """By its name; not the hidden ones that macOS lays beside images, nor what Pillow can write but not read."""
    kind = Image.registered_extensions().get(file.suffix.lower())
    return kind in Image.OPEN and kind != "MPEG" and not file.name.startswith(".") and file.is_file()


def captioned(captioner, paths, decode):
    """For each path in turn (path, image (S, S, 3) uint8, its Sentences), or (path, None, the DataError that it gave)"""
    group = []
    watched = progress(paths, len(paths), "captioning", "images") if len(paths) > GROUP else paths
    for number, path in enumerate(watched, 1):
        group.append((path, *attempt(path, captioner.config.image_size)))
        if len(group) == GROUP or number == len(paths):
            sentences = iter(captioner.sentences([image for _, image, _ in group if image is not None], decode))
            for path, image, error in group:
                yield path, image, error or next(sentences)
            group = []


def attempt(path, size):
    """-> (image, None) or (None, DataError): one bad file among a thousand costs one caption."""
    try:
        return load_image(path, size), None
    except DataError as error:
        return None, error


def tell(path, sentences, count, as_json):
    """Print the first `count` captions of an image, or on stderr why it has none."""
    failed = isinstance(sentences, DataError)
    if failed:
        say(str(sentences), sys.stderr)
    if as_json:
        found = {"error": str(sentences)} if failed else {"captions": [
            {"caption": text, "log_probability": round(h.log_probability, 4), "score": round(h.score, 4)}
            for text, h in sentences[:count]]}
        say(json.dumps({"image": path} | found, ensure_ascii=False))
    elif not failed:
        for text, hypothesis in sentences[:count]:
            say(f"{path}: {text}" + (f"  ({hypothesis.score:.3f})" if count > 1 else ""))


def check_pictures(outs, paths):
    """Before any work: DataError if a picture could not be saved, or would be saved over an image or another picture."""
    files = [numbered(out, number, len(paths)) for out in outs for number in range(1, len(paths) + 1)]
    for file in files[::len(paths)]:
        check_writable(file)
        pictures.kind_of(file)
    taken = {Path(path).resolve() for path in paths}
    for file in files:
        if file.resolve() in taken:
            raise DataError(f"{file} would be written over. Give the picture another name.")
        taken.add(file.resolve())


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
