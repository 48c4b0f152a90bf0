"""Caption files of one JSON value -> entries, one for each caption, in the order of the file."""
import json

from ...errors import DataError, printable
from ..splits import WORDS
from .entries import Entry, Fault, holds_captions, stated_split
from .lists import NOT_A_ROW_OF_JSON, pairs_once, row_of
from .text import clean, read_text

NO_ROW = NOT_A_ROW_OF_JSON._replace(noun="row")
NO_CAPTIONS = Fault("name", "without a caption or a list of captions")


def read_annotations(file):
    """Entries of Karpathy's JSON, of COCO's, which keeps the captions apart from the images, of a list of rows
    {"image": name, "caption": text}, or of {name: caption or captions}; other usual names of the keys will do."""
    content = read_json(file)
    if isinstance(content, list) and content:
        return rows(file, content)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return coco(file, content) if "annotations" in content else karpathy(file, content["images"])
    if isinstance(content, dict) and content and not {"images", "annotations"} & set(content):
        return by_name(file, content)
    raise DataError(f"{printable(file)} has no list `images`, as Karpathy's dataset_*.json and COCO's captions_*.json "
                    "have, nor is it a list of rows with `image` and `caption`. Give another file.")


def read_json(file):
    try:
        return json.loads(read_text(file), object_pairs_hook=pairs_once)
    except (ValueError, RecursionError) as error:
        several = str(error).startswith("Extra data")
        advice = "If it is one JSON object a line, name it .jsonl" if several else "Download it again"
        raise DataError(f"{printable(file)} is not JSON: {printable(error)}. {advice}.") from error


def karpathy(file, images):
    """Entries of [{"filename", "sentences": [{"raw"}], and perhaps "split" and "filepath"}]"""
    for i, image in enumerate(images):
        place = f"{printable(file)}: images[{i}]"
        try:
            name = "/".join(filter(None, (image.get("filepath"), image["filename"])))
            split = stated_split(image)
            captions = [clean(sentence["raw"]) for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{place} cannot be used ({type(error).__name__}: {printable(error)}). It needs "
                            "`filename`, `sentences` with `raw`, and perhaps `split`.") from error
        for caption in captions or [""]:
            yield Entry(place, name, caption, split)


def coco(file, content):
    """Entries of {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}"""
    shown, images = printable(file), {}
    place = f"{shown}: images"
    try:
        for i, image in enumerate(content["images"]):
            row = image["file_name"].strip(), stated_split(image)
            if images.setdefault(image["id"], row) != row:
                raise DataError(f"{place}[{i}] has the id {printable(image['id'])} of another image. "
                                "Give it an id of its own.")
        for i, annotation in enumerate(content["annotations"]):
            place = f"{shown}: annotations[{i}]"
            name, split = images[annotation["image_id"]]
            yield Entry(place, name, clean(annotation["caption"]), split)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{place} cannot be used ({type(error).__name__}: {printable(error)}). An image needs an `id` "
                        "of its own and `file_name`, and an annotation `caption` and the `image_id` of an image."
                        ) from error


def rows(file, content):
    """Entries of [{"image", "caption"}], as those of JSON lines; a row that is no such object has a fault."""
    for i, row in enumerate(content):
        yield from row_of(row, f"{printable(file)}: [{i}]", NO_ROW, json.dumps(row)[:80])


def by_name(file, content):
    """Entries of {name: caption, or list of captions, or {"captions": ...}}, or of {split: such a dict, or rows}"""
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
