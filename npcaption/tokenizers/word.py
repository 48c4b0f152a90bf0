"""Word tokenizers, and natural spacing of decoded words."""
import re
from collections import Counter

from ..errors import CheckpointError
from .ids import SPECIAL, of_text, writable
from .words import RULE, canonical, checked_rule, pattern

# {rule, see words.RULE: function: text -> expression of its tokens}
TOKENS = {1: lambda text: re.compile(r"\w+|[.,!?;']"), 2: pattern(r"\w[LETTER]*|[.,!?;']")}
UNKNOWN = SPECIAL
ENDING = "(?:s|t|m|d|re|ve|ll|clock)"                        # English endings after an apostrophe
NOT_WRITTEN = pattern(rf" (?=(?:[.,!?;']+|n't|'{ENDING})(?!\S))|(?<=[LETTER] ') (?={ENDING}(?!\S))")  # spaces


def cut(text, kind, rule=RULE):
    """Lower-case words of a text.  rule: see words.RULE

    kind "word" is the post's: . , ! ? ; ' are tokens, hyphens and other punctuation are dropped. "space" is the post's
    with GloVe vectors.
    """
    text = text.lower() if rule == 1 else canonical(text.lower())
    return text.split() if kind == "space" else TOKENS[rule](text).findall(text)


class WordTokenizer:
    """Tokenizer of lower-cased words: id 3 is the unknown word, ids 4, 5, ... are the vocabulary, sorted.

        >>> tokenizer = WordTokenizer.build("word", ["A dog's ball.", "a dog's tail"])
        >>> tokenizer.words
        ["'", 'a', 'dog', 's']
        >>> tokenizer.decode(tokenizer.encode("a dog's nose"))
        "a dog's UNK"
    """

    def __init__(self, kind, words, rule=RULE):
        """kind: "word" or "space"; rule: see words.RULE"""
        self.kind, self.words, self.rule = kind, words, rule
        self.size, self.unknown = UNKNOWN + 1 + len(words), UNKNOWN
        self._ids = {word: UNKNOWN + 1 + i for i, word in enumerate(words)}

    @staticmethod
    def build(kind, captions, min_count=2):
        """Vocabulary: the words that occur at least min_count times in the captions."""
        counts = Counter(word for caption in captions for word in cut(caption, kind))
        return WordTokenizer(kind, sorted(word for word, n in counts.items() if n >= min_count and writable(word)))

    def encode(self, text):
        """Ids without start and end."""
        return [self._ids.get(word, UNKNOWN) for word in cut(text, self.kind, self.rule)]

    def decode(self, ids):
        """Text up to the first end, naturally spaced, with UNK for the unknown word, as in neuraltalk2.

        Words are lower case, so a reader recognises UNK, and metrics count it as one wrong word. Dropping it would
        flatter the model; "<unk>" would be three tokens of npcaption.evaluate.metrics.
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
            raise CheckpointError("The tokenizer's `words` are not a list of distinct words without white space. Use "
                                  "another checkpoint.")
        return WordTokenizer(values["kind"], words, checked_rule(values))


def natural(words):
    """Natural spacing of words and marks: no space before . , ! ? ; and apostrophes within their words.

    Examples: a dog ' s ball , red . -> a dog's ball, red.      the boys ' dog is n't wet ! -> the boys' dog isn't wet!

    An apostrophe joins the word before it, and the word after it only if that is an ending such as s or t. The text so
    far cannot tell an opening quotation mark from an apostrophe: says ' stop ' -> says' stop'
    """
    text = " ".join(words)
    return NOT_WRITTEN(text).sub("", text)
