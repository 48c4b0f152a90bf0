"""Readers of JSON caption files -> entries, one per caption, in the order of the file."""
import json

from ...errors import DataError, printable
from ..splits import WORDS
from .entries import Entry, SkipReason, holds_captions, stated_split
from .lists import NOT_A_ROW_OF_JSON, pairs_once, row_of
from .text import clean, read_text

NO_ROW = NOT_A_ROW_OF_JSON._replace(noun="row")
NO_CAPTIONS = SkipReason("name", "no caption and no list of captions")


def read_annotations(file):
    """Yield the entries of a JSON caption file, in one of four forms.

    Karpathy's; COCO's, with separate lists of images and captions; a list of rows {"image": name, "caption": text}, or
    other common keys; {name: caption or captions}.
    """
    content = read_json(file)
    if isinstance(content, list) and content:
        return rows(file, content)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return coco(file, content) if "annotations" in content else karpathy(file, content["images"])
    if isinstance(content, dict) and content and not {"images", "annotations"} & set(content):
        return by_name(file, content)
    raise DataError(f"{printable(file)} has no list `images` (Karpathy's, COCO's) and no rows of `image` and "
                    "`caption`. Pass another file.")


def read_json(file):
    try:
        return json.loads(read_text(file), object_pairs_hook=pairs_once)
    except (ValueError, RecursionError) as error:
        several = str(error).startswith("Extra data")
        remedy = "If it has one JSON object per line, rename it to .jsonl" if several else "Download it again"
        raise DataError(f"{printable(file)} is not JSON: {printable(error)}. {remedy}.") from error


def karpathy(file, images):
    """Yield entries of [{"filename", "sentences": [{"raw"}], optional "split" and "filepath"}]."""
    for i, image in enumerate(images):
        place = f"{printable(file)}: images[{i}]"
        try:
            name = "/".join(filter(None, (image.get("filepath"), image["filename"])))
            split = stated_split(image)
            captions = [clean(sentence["raw"]) for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{place} is unusable ({type(error).__name__}: {printable(error)}). Give it `filename` and "
                            "`sentences` with `raw`.") from error
        for caption in captions or [""]:
            yield Entry(place, name, caption, split)


def coco(file, content):
    """Yield entries of {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}."""
    shown, images = printable(file), {}
    place = f"{shown}: images"
    try:
        for i, image in enumerate(content["images"]):
            row = image["file_name"].strip(), stated_split(image)
            if images.setdefault(image["id"], row) != row:
                raise DataError(f"{place}[{i}] has the id {printable(image['id'])} of another image. Give it a unique "
                                "id.")
        for i, annotation in enumerate(content["annotations"]):
            place = f"{shown}: annotations[{i}]"
            name, split = images[annotation["image_id"]]
            yield Entry(place, name, clean(annotation["caption"]), split)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{place} is unusable ({type(error).__name__}: {printable(error)}). Give each image `id` and "
                        "`file_name`, each annotation `caption` and `image_id`.") from error


def rows(file, content):
    """Yield entries of [{"image", "caption"}]; other rows become entries with a skip reason."""
    for i, row in enumerate(content):
        yield from row_of(row, f"{printable(file)}: [{i}]", NO_ROW, json.dumps(row)[:80])


def by_name(file, content):
    """Yield entries of {name: caption, list of captions or {"captions": ...}}, or of {split: such a dict, or rows}."""
    if all(key.lower() in WORDS and (isinstance(value, dict) or isinstance(value, list) and value
                                     and isinstance(value[0], dict)) for key, value in content.items()):
        for key, value in content.items():
            for entry in by_name(file, value) if isinstance(value, dict) else rows(file, value):
                yield entry._replace(place=f"{entry.place} of {key}", split=entry.split or key)
        return
    for name, value in content.items():
        place = f"{printable(file)}: {printable(name)[:60]}"
        if isinstance(value, dict):
            row = {"image": name, **{key: value[key] for key in value if holds_captions(key) or key == "split"}}
        else:
            row = {"image": name, "caption": value}
        yield from row_of(row, place, NO_CAPTIONS, name)
