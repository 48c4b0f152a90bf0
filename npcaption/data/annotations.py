"""Caption files of one JSON object -> entries, one for each caption, in the order of the file."""
import json

from ..errors import DataError
from .entries import Entry
from .text import clean, read_text

KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}


def read_json(file):
    """A dict with a list `images`. DataError if the file holds anything else."""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}. Download it again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{file} has no list `images`, as Karpathy's dataset_*.json and COCO's captions_*.json have. "
                        "Give another file.")
    return content


def read_annotations(file):
    """Entries of Karpathy's JSON, or of COCO's, which keeps the captions apart from the images."""
    content = read_json(file)
    return coco(file, content) if "annotations" in content else karpathy(file, content["images"])


def karpathy(file, images):
    """Entries of [{"filename", "split", "sentences": [{"raw"}], and perhaps "filepath"}]"""
    for i, image in enumerate(images):
        place = f"{file}: images[{i}]"
        try:
            name = "/".join(filter(None, (image.get("filepath"), image["filename"])))
            split = KARPATHY_SPLITS[image["split"]]
            captions = [clean(sentence["raw"]) for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{place} cannot be used ({type(error).__name__}: {error}). It needs `filename`, "
                            f"`split` ({', '.join(KARPATHY_SPLITS)}) and `sentences` with `raw`.") from error
        for caption in captions or [""]:
            yield Entry(place, name, caption, split)


def coco(file, content):
    """Entries of {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}

    The images of captions_train2017.json are in the folder train2017.
    """
    below = file.stem.removeprefix("captions_") + "/" if file.stem.startswith("captions_") else ""
    place = f"{file}: images"
    try:
        names = {image["id"]: below + image["file_name"] for image in content["images"]}
        for i, annotation in enumerate(content["annotations"]):
            place = f"{file}: annotations[{i}]"
            yield Entry(place, names[annotation["image_id"]], clean(annotation["caption"]), None)
    except (KeyError, TypeError) as error:
        raise DataError(f"{place} cannot be used ({type(error).__name__}: {error}). An image needs `id` and "
                        "`file_name`, and an annotation `caption` and the `image_id` of an image.") from error
