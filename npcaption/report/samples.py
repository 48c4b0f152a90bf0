"""The samples of a run: captions of a few validation images after each epoch, with thumbnails.

The run directory's samples.json holds them, so a resumed run keeps the samples of every epoch:

    {"images": {"0": {"name": "a.jpg", "person": "a dog runs", "photo": "data:image/jpeg;base64,..."}, ...},
     "epochs": [{"epoch": 1, "followed": {"0": "a man"}, "drawn": {"7": "a dog"}}, ...]}

Keys are the images' numbers in the validation split. Followed images are the same in every epoch, drawn ones change.
"""
import io
import json
import re
from base64 import b64encode
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, why
from ..support.files import write_whole
from ..support.images import open_image

SIDE = 160          # pixels, the longest side of a photograph in the page
PHOTO = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+=*")
KINDS = "followed", "drawn"


class Samples(NamedTuple):
    images: dict                # {number as text: {"name", "person", "photo"}}
    epochs: list                # [{"epoch": int, "followed": {number: caption}, "drawn": {number: caption}}]

    def until(self, epoch):
        """The samples up to this epoch -> Samples"""
        return self._replace(epochs=[each for each in self.epochs if each["epoch"] <= epoch])


def read_samples(path):
    """Read the samples in a file; none if the file is missing.  DataError if it is damaged, or holds something else"""
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        return Samples({}, [])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({why(error)}). Make it readable, or remove it.") from error
    try:
        found = Samples(**json.loads(text))
        check(found)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise DataError(f"{path} holds no samples, or is damaged. Remove it; reports do not need it.") from None
    return found


def check(samples):
    """ValueError, or one of Python's errors for wrong types, unless the content has the form described above."""
    for image in samples.images.values():
        if not PHOTO.fullmatch(image["photo"]) or {type(image["name"]), type(image["person"])} != {str}:
            raise ValueError
    numbers = [each["epoch"] for each in samples.epochs]
    if any(type(number) is not int for number in numbers) or numbers != sorted(set(numbers)):
        raise ValueError
    for captions in (each[kind] for each in samples.epochs for kind in KINDS):
        if not all(number in samples.images and isinstance(text, str) for number, text in captions.items()):
            raise ValueError


def add_samples(path, split, epoch, followed, drawn):
    """Add the samples of an epoch to the file.  split Split; followed, drawn {number: caption}

    This epoch and later ones in the file are replaced: they were incomplete, and a resumed run repeats them.
    """
    known = read_samples(path).until(epoch - 1)
    new = [{str(number): caption for number, caption in captions.items()} for captions in (followed, drawn)]
    epochs = [*known.epochs, {"epoch": epoch, **dict(zip(KINDS, new))}]
    shown = dict.fromkeys(number for samples in epochs for kind in KINDS for number in samples[kind])
    images = {number: known.images.get(number) or described(split, int(number)) for number in shown}
    write_whole(path, json.dumps({"images": images, "epochs": epochs}).encode())


def described(split, number):
    return {"name": split.names[number], "person": split.captions[number][0], "photo": photo(split, number)}


def photo(split, number):
    """An image of a split as a data URI: from its file, or from the model's input if there is no file (any more)."""
    try:
        image = open_image(split.files[number] if split.files else split.images[number])
    except DataError:
        image = open_image(split.images[number])
    image.thumbnail((SIDE, SIDE))
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{b64encode(jpeg.getvalue()).decode()}"
