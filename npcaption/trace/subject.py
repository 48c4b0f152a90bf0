"""The subject of a trace, checked: an image, its caption and the objectives; and the number to follow."""
import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from ..captioning.captioner import Captioner
from ..config import SHAPES
from ..data.dataset import load_dataset
from ..data.images import load_image
from ..data.records import load_all_records, paths_of
from ..errors import ConfigError, DataError, NpcaptionError, printable
from ..model.batch import Batch, whole
from ..model.checkpoint import Checkpoint
from ..model.objectives import BAG_OF_WORDS, chosen
from ..model.objectives.bag_of_words import bags_of_words
from ..support.settings import suggestion
from ..tokenizers import sequence
from ..tokenizers.ids import writable
from ..tokenizers.word import cut
from ..tokenizers.words import canonical
from .paths import Entry

ENTRY = re.compile(r"\s*([\w.]+)\s*\[([^\[\]]*)\]\s*")


class Subject(NamedTuple):
    path: object                # the image's file
    image: np.ndarray           # (S, S, 3) uint8, the model's input
    caption: str                # text after tokenizing
    own: bool                   # whether the model wrote it
    batch: Batch                # one image with one caption
    objectives: tuple
    notes: list                 # sentences on unknown words and an omitted objective


def subject_of(checkpoint, path, text=None):
    """The Subject of an image and a caption, by default the model's greedy one.  checkpoint Checkpoint

    DataError if the image cannot be read, or the tokenizer cannot encode the caption.
    """
    config, tokenizer = checkpoint.config.model, checkpoint.tokenizer
    image = load_image(path, config.image_size)
    notes = []
    if text is None:
        [[sentence]] = Captioner(config, tokenizer, checkpoint.parameters).sentences([image])
        ids = sentence.hypothesis.ids
    else:
        ids = ids_of(tokenizer, text, config.max_length)
        notes += unknown_words(tokenizer, text)
    objectives, targets, more = objectives_of(checkpoint, tokenizer.decode(ids))
    batch = whole(image[None], np.asarray(ids)[None, None], targets=targets)
    return Subject(path, image, tokenizer.decode(ids), text is None, batch, objectives, notes + more)


def ids_of(tokenizer, text, max_length):
    """The ids of a caption, with start and end -> (T,).  DataError if they would lose a part of it."""
    if not text.strip():
        raise DataError("--caption is empty. Pass a caption, or drop --caption for the model's own.")
    lost = lacking(tokenizer, text)
    if lost:
        named = ", ".join(printable(repr(letter)) for letter in lost[:5])
        raise DataError(f"--caption contains {named}, unknown to this model's tokenizer ({tokenizer.kind}). "
                        f"Remove it from the caption.")
    ids = tokenizer.encode(text.lower())
    if not ids:
        raise DataError("--caption contains no token of this model. Pass words.")
    if len(ids) > max_length - 2:
        raise DataError(f"--caption has {len(ids)} tokens; this model takes {max_length - 2}. Pass a shorter one.")
    return sequence(ids, len(ids) + 2)


def lacking(tokenizer, text):
    """The characters of a text that its ids do not encode, in their order; unknown words count as encoded, by UNK."""
    if not writable(text):
        return [letter for letter in text if not writable(letter)]
    if tokenizer.kind == "char":
        return [letter for letter in dict.fromkeys(text.lower()) if not tokenizer.encode(letter)]
    if tokenizer.kind == "bpe":                              # bytes encode any text
        return []
    encoded = Counter("".join(cut(text, tokenizer.kind, tokenizer.rule)))
    lower = text.lower() if tokenizer.rule == 1 else canonical(text.lower())
    return [letter for letter in dict.fromkeys(lower)
            if not letter.isspace() and Counter(lower)[letter] > encoded[letter]]


def unknown_words(tokenizer, text):
    """A sentence on the words that are read as UNK, in a list; [] without such words."""
    if tokenizer.kind not in ("word", "space"):
        return []
    words = dict.fromkeys(cut(text, tokenizer.kind, tokenizer.rule))
    unknown = [word for word in words if tokenizer.encode(word) == [tokenizer.unknown]]
    return [f"Unknown to the tokenizer, and read as UNK: {', '.join(unknown)}."] if unknown else []


def objectives_of(checkpoint, text):
    """-> the objectives of this model's training, their targets for one image with this caption, and notes"""
    of_training = chosen(checkpoint.config)
    objectives = tuple(o for o in of_training if o.example is None or o.name == BAG_OF_WORDS.name)
    notes = ["Skipped the teacher's losses, which need the teacher."] * (len(objectives) < len(of_training))
    if BAG_OF_WORDS.name not in [objective.name for objective in objectives]:
        return objectives, {}, notes
    try:
        return objectives, {BAG_OF_WORDS.name: bag_of(checkpoint, text)}, notes
    except NpcaptionError as error:                          # the data are missing, or unreadable here
        others = tuple(objective for objective in objectives if objective.name != BAG_OF_WORDS.name)
        return others, {}, [*notes, f"Skipped the bag of words, which needs the training captions. {error}"]


def bag_of(checkpoint: Checkpoint, text):
    """The bag of words of one caption -> (1, W) uint8.  DataError if the training captions are missing or have changed.

    A checkpoint stores the size of its bag, but not the words: they are counted again.
    """
    training, size = checkpoint.config.training, checkpoint.config.model.bag
    if paths_of(training.data) == SHAPES:
        captions = load_dataset(training.data, checkpoint.config.model.image_size, training.seed, training.scenes,
                                training.limit).train.captions
    else:
        records = load_all_records(paths_of(training.data)).train[:training.limit or None]
        captions = [record.captions for record in records]
    found = bags_of_words([*captions, [text]], training.bag_least, checkpoint.state.get("words", 1))
    known = found[:-1].sum(0) >= training.bag_least          # without the counts of this caption
    if known.sum() != size:
        raise DataError(f"{', '.join(training.data)} now gives {known.sum()} words; the model has {size}.")
    return found[-1:, known]


def entry_of(text, parameters):
    """The value of --number -> Entry.  ConfigError if the model has no such number.  parameters Parameters"""
    size = parameters.config.image_size
    shapes = {"image": (size, size, 3)} | {name: view.shape for name, view in parameters.named.items()}
    match = ENTRY.fullmatch(text)
    name = match[1] if match else text.partition("[")[0].strip()
    if name not in shapes:
        tied = parameters.config.tied and name == "output.linear.weight"
        near = "; it is token_embed.weight transposed. Pass that." if tied else suggestion(name, shapes)
        heads = ", ".join(["image", *parameters.sublayer]) if near == "." else ""
        raise ConfigError(f"--number: this model has no parameter {printable(repr(name))}{near}"
                          + (f" Names begin with {heads}." if heads else ""))
    shape = shapes[name]
    form = f"{name}[{','.join('0' * len(shape))}]"
    words = [word.strip() for word in match[2].split(",")] if match else []
    if not words or not all(re.fullmatch("[0-9]{1,18}", word) for word in words):
        raise ConfigError(f"--number is {printable(repr(text))}; it must name one entry, such as {form}.")
    index = tuple(map(int, words))
    if len(index) != len(shape):
        raise ConfigError(f"--number has {len(index)} indices; {name} has shape {shape}. Pass an entry such as {form}.")
    if any(i >= length for i, length in zip(index, shape)):
        raise ConfigError(f"--number: {Entry(name, index)} is outside; {name} has shape {shape}. Indices start at 0.")
    return Entry(name, index)
