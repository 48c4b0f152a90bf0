"""A token is a word, by one of two rules of what a word is; and text as people write it, from words."""
import re
from collections import Counter

from ..errors import CheckpointError
from .ids import SPECIAL, of_text

RULES = {"word": re.compile(r"\w+|[.,!?;']").findall,        # the post's: other marks, and hyphens, are left out
         "space": str.split}                                 # the post's beside GloVe vectors
UNKNOWN = SPECIAL
ENDING = "(?:s|t|m|d|re|ve|ll|clock)"                        # what English has behind an apostrophe
NOT_WRITTEN = re.compile(rf" (?=(?:[.,!?;']+|n't|'{ENDING})(?!\S))|(?<=\w ') (?={ENDING}(?!\S))")  # spaces


class WordTokenizer:
    """A token is a word of the lower-cased text: id 3 is every unknown word, 4, 5, ... are the known in sorted order."""

    def __init__(self, kind, words):
        """kind "word" or "space", the rule by which text is cut into words."""
        self.kind, self.words = kind, words
        self.size, self.unknown = UNKNOWN + 1 + len(words), UNKNOWN
        self._ids = {word: UNKNOWN + 1 + i for i, word in enumerate(words)}

    @staticmethod
    def build(kind, captions, min_count=2):
        """Known are the words that occur at least min_count times in the captions."""
        counts = Counter(word for caption in captions for word in RULES[kind](caption.lower()))
        return WordTokenizer(kind, sorted(word for word, count in counts.items() if count >= min_count))

    def encode(self, text):
        """Ids without start and end."""
        return [self._ids.get(word, UNKNOWN) for word in RULES[self.kind](text.lower())]

    def decode(self, ids):
        """Text up to the first end, written naturally, with UNK for an unknown word, as neuraltalk2 has it.

        A person sees that it is no word, as words are lower case, and a metric counts it as one wrong word: left out, it
        would flatter the model, and "<unk>" would be three tokens of npcaption.metrics.
        """
        return natural([self.words[i - UNKNOWN - 1] if i > UNKNOWN else "UNK" for i in of_text(ids)])

    def to_json(self):
        return {"kind": self.kind, "words": self.words}

    @staticmethod
    def from_json(values):
        words = values.get("words")
        if (not isinstance(words, list) or not all(isinstance(word, str) and word.split() == [word] for word in words)
                or len(set(words)) < len(words)):
            raise CheckpointError("The tokenizer's `words` are not a list of distinct words, each without white space.")
        return WordTokenizer(values["kind"], words)


def natural(words):
    """Words and marks as people write them: no space before . , ! ? ; and an apostrophe within its word.

    Examples: a dog ' s ball , red . -> a dog's ball, red.        the boys ' dog is n't wet ! -> the boys' dog isn't wet!

    An apostrophe joins the word before it; the word behind it only if it is an ending such as s or t. Whether an
    apostrophe opens a quotation cannot be known from what was written so far: says ' stop ' -> says' stop'
    """
    return NOT_WRITTEN.sub("", " ".join(words))
