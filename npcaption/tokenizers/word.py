"""A token is a word, by one of two rules of what a word is; and text as people write it, from words."""
import re
from collections import Counter

from ..errors import CheckpointError
from .ids import SPECIAL, of_text, writable
from .words import RULE, canonical, checked_rule, pattern

TOKENS = {1: lambda text: re.compile(r"\w+|[.,!?;']"),       # of npcaption.words' rules
          2: pattern(r"\w[LETTER]*|[.,!?;']")}
UNKNOWN = SPECIAL
ENDING = "(?:s|t|m|d|re|ve|ll|clock)"                        # what English has behind an apostrophe
NOT_WRITTEN = pattern(rf" (?=(?:[.,!?;']+|n't|'{ENDING})(?!\S))|(?<=[LETTER] ') (?={ENDING}(?!\S))")  # spaces


def cut(text, kind, rule=RULE):
    """The words of a text, in lower case.  rule: of npcaption.words

    kind "word" is the post's, which drops hyphens and other punctuation than . , ! ? ; ' but makes tokens of these.
    "space" is the post's beside GloVe vectors.
    """
    text = text.lower() if rule == 1 else canonical(text.lower())
    return text.split() if kind == "space" else TOKENS[rule](text).findall(text)


class WordTokenizer:
    """A token is a word of the lower-cased text: id 3 is every unknown word, 4, 5, ... are the known in sorted order.

        >>> tokenizer = WordTokenizer.build("word", ["A dog's ball.", "a dog's tail"])
        >>> tokenizer.words
        ["'", 'a', 'dog', 's']
        >>> tokenizer.decode(tokenizer.encode("a dog's nose"))
        "a dog's UNK"
    """

    def __init__(self, kind, words, rule=RULE):
        """kind "word" or "space" and rule say how text is cut into words."""
        self.kind, self.words, self.rule = kind, words, rule
        self.size, self.unknown = UNKNOWN + 1 + len(words), UNKNOWN
        self._ids = {word: UNKNOWN + 1 + i for i, word in enumerate(words)}

    @staticmethod
    def build(kind, captions, min_count=2):
        """Known are the words that occur at least min_count times in the captions."""
        counts = Counter(word for caption in captions for word in cut(caption, kind))
        return WordTokenizer(kind, sorted(word for word, n in counts.items() if n >= min_count and writable(word)))

    def encode(self, text):
        """Ids without start and end."""
        return [self._ids.get(word, UNKNOWN) for word in cut(text, self.kind, self.rule)]

    def decode(self, ids):
        """Text up to the first end, written naturally, with UNK for an unknown word, as neuraltalk2 has it.

        A person sees that it is no word, as words are lower case, and a metric counts it as one wrong word: left out, it
        would flatter the model, and "<unk>" would be three tokens of npcaption.metrics.
        """
        return natural([self.words[i - UNKNOWN - 1] if i > UNKNOWN else "UNK" for i in of_text(ids)])

    def to_json(self):
        return {"kind": self.kind, "words": self.words} | ({} if self.rule == 1 else {"rule": self.rule})

    @staticmethod
    def from_json(values):
        words = values.get("words")
        if (not isinstance(words, list)
                or not all(isinstance(word, str) and word.split() == [word] and writable(word) for word in words)
                or len(set(words)) < len(words)):
            raise CheckpointError("The tokenizer's `words` are not a list of distinct words, each without white space.")
        return WordTokenizer(values["kind"], words, checked_rule(values))


def natural(words):
    """Words and marks as people write them: no space before . , ! ? ; and an apostrophe within its word.

    Examples: a dog ' s ball , red . -> a dog's ball, red.        the boys ' dog is n't wet ! -> the boys' dog isn't wet!

    An apostrophe joins the word before it; the word behind it only if it is an ending such as s or t. Whether an
    apostrophe opens a quotation cannot be known from what was written so far: says ' stop ' -> says' stop'
    """
    text = " ".join(words)
    return NOT_WRITTEN(text).sub("", text)
