"""Captions to token ids and back.  A tokenizer has `kind size encode decode to_json`; `from_json` makes it again."""
import numpy as np

from .errors import CheckpointError

PADDING, START, END = 0, 1, 2
SPECIAL = 3  # ids before the first of the vocabulary's own


class CharTokenizer:
    """A token is a character of the lower-cased text: ids 3, 4, ... are the known characters in sorted order."""

    kind = "char"

    def __init__(self, characters):
        self.characters = characters
        self.size = SPECIAL + len(characters)
        self._ids = {character: SPECIAL + i for i, character in enumerate(characters)}

    @staticmethod
    def build(captions):
        return CharTokenizer("".join(sorted(set().union(*(caption.lower() for caption in captions)))))

    def encode(self, text):
        """Ids without start and end; a character never seen in training has no id and is left out."""
        return [self._ids[character] for character in text.lower() if character in self._ids]

    def decode(self, ids):
        """Text up to the first end; start and padding say nothing."""
        text = []
        for i in ids:
            if i == END:
                break
            if i >= SPECIAL:
                text.append(self.characters[i - SPECIAL])
        return "".join(text)

    def to_json(self):
        return {"kind": self.kind, "characters": self.characters}


KINDS = {"char": CharTokenizer}


def from_json(values):
    """The tokenizer that to_json described."""
    if not isinstance(values, dict) or values.get("kind") not in KINDS or not isinstance(values.get("characters"), str):
        raise CheckpointError(f"The tokenizer of the checkpoint is not one of this version's ({', '.join(KINDS)}).")
    return KINDS[values["kind"]](values["characters"])


def sequence(ids, max_length):
    """start + ids + end, cut to max_length with its last id replaced by end, padded with 0.  -> (max_length,) int64

    Example: ids=[7, 8], max_length=6 -> [1, 7, 8, 2, 0, 0];  ids=[7, 8, 9, 7, 8], max_length=4 -> [1, 7, 8, 2]
    """
    full = [START, *ids[:max_length - 2], END]
    return np.array(full + [PADDING] * (max_length - len(full)), np.int64)
