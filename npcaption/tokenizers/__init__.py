"""Captions to token ids and back, in four ways:

    char     a token is a character                                         d o g ' s
    word     a word or a mark, if seen often enough                         dog ' s
    space    what stands between white space, if seen often enough          dog's
    bpe      byte pairs: frequent words whole, rare ones in pieces          dog 's

The first three lower the case, leave out the characters or call unknown the words that training did not show, and write
naturally what was spaced apart; byte pairs bring back any text as it was. What a word is, npcaption.words says; a saved
tokenizer keeps the `rule` that it was made by.

All have `kind`, `size` (how many ids), `unknown` (the id of what is not known, or 0), `encode` (text to ids without start
and end), `decode` (ids to the text up to the first end) and `to_json`; `from_json` makes the same tokenizer again. To
decode is to append: a token never changes the text of those before it, so what the decoded text grows by is its own.
"""
from ..errors import CheckpointError
from .bpe import BytePairTokenizer
from .char import CharTokenizer
from .ids import END, PADDING, SPECIAL, START, sequence
from .word import WordTokenizer

__all__ = ["KINDS", "build", "caption_ids", "from_json", "sequence", "PADDING", "START", "END", "SPECIAL", "CharTokenizer",
           "WordTokenizer", "BytePairTokenizer"]

KINDS = {"char": CharTokenizer, "word": WordTokenizer, "space": WordTokenizer, "bpe": BytePairTokenizer}


def build(kind, captions, min_count=2, vocabulary=1024):
    """The tokenizer of a kind for the training captions.

    min_count: how often a word must be seen, for "word" and "space"; vocabulary: how many ids "bpe" has, all counted.

        >>> tokenizer = build("word", ["a dog runs", "a dog swims"])
        >>> tokenizer.encode("a dog flies"), tokenizer.decode([4, 5, 3])
        ([4, 5, 3], 'a dog UNK')
    """
    if kind == "char":
        return CharTokenizer.build(captions)
    if kind == "bpe":
        return BytePairTokenizer.build(captions, vocabulary)
    return WordTokenizer.build(kind, captions, min_count)


def caption_ids(tokenizer, text, max_length):
    """A caption as the model has it: lower case, start and end, cut or padded.  -> (max_length,) int64

        >>> caption_ids(tokenizer, "A dog", 6)
        array([1, 4, 5, 2, 0, 0])
    """
    return sequence(tokenizer.encode(text.lower()), max_length)


def from_json(values):
    """The tokenizer that to_json described.  CheckpointError if it described none.

        >>> from_json(tokenizer.to_json()).words
        ['a', 'dog']
    """
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"The tokenizer of the checkpoint is not one of this version's ({', '.join(KINDS)}).")
    return KINDS[kind].from_json(values)
