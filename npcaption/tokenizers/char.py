"""Character tokenizer."""
from ..errors import CheckpointError
from .ids import SPECIAL, of_text, writable


class CharTokenizer:
    """Tokenizer of lower-cased characters: ids 3, 4, ... are the training captions' characters, sorted.

        >>> tokenizer = CharTokenizer.build(["a dog"])
        >>> tokenizer.encode("a god"), tokenizer.decode([4, 3, 6, 7, 5])
        ([4, 3, 6, 7, 5], 'a god')
    """

    kind = "char"
    unknown = 0                                              # no unknown-word token: see ModelConfig

    def __init__(self, characters):
        self.characters = characters
        self.size = SPECIAL + len(characters)
        self._ids = {character: SPECIAL + i for i, character in enumerate(characters)}

    @staticmethod
    def build(captions):
        return CharTokenizer("".join(sorted(filter(writable, set().union(*(caption.lower() for caption in captions))))))

    def encode(self, text):
        """Ids without start and end; characters absent from training are dropped."""
        return [self._ids[character] for character in text.lower() if character in self._ids]

    def decode(self, ids):
        """Text up to the first end, without start and padding."""
        return "".join(self.characters[i - SPECIAL] for i in of_text(ids))

    def to_json(self):
        return {"kind": self.kind, "characters": self.characters}

    @staticmethod
    def from_json(values):
        characters = values.get("characters")
        if not isinstance(characters, str) or len(set(characters)) < len(characters) or not writable(characters):
            raise CheckpointError("The tokenizer's `characters` are not a text of distinct characters. Use another "
                                  "checkpoint.")
        return CharTokenizer(characters)
