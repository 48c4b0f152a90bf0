"""Tokenizers: captions to token ids and back, of four kinds.

    char     one character a token                                           d o g ' s
    word     words and punctuation marks of a minimum count                  dog ' s
    space    words between white space, of a minimum count                   dog's
    bpe      byte pairs: frequent words whole, rare words in pieces          dog 's

The first three kinds lower-case the text. "char" drops unknown characters; "word" and "space" encode unknown words as
one id and decode with natural spacing; "bpe" restores any text exactly. npcaption.tokenizers.words defines a word; a
saved tokenizer keeps the version of that definition, its `rule`.

Every tokenizer has `kind`, `size` (number of ids), `unknown` (id of the unknown-word token, or 0), `encode` (text to
ids without start and end), `decode` (ids to text up to the first end) and `to_json`; `from_json` restores it. Decoding
only appends: a token never changes the text of the tokens before it.
"""
from ..errors import CheckpointError
from .bpe import BytePairTokenizer
from .char import CharTokenizer
from .ids import END, PADDING, SPECIAL, START, sequence
from .word import WordTokenizer

__all__ = ["KINDS", "build", "caption_ids", "from_json", "sequence", "PADDING", "START", "END", "SPECIAL",
           "CharTokenizer", "WordTokenizer", "BytePairTokenizer"]

KINDS = {"char": CharTokenizer, "word": WordTokenizer, "space": WordTokenizer, "bpe": BytePairTokenizer}


def build(kind, captions, min_count=2, vocabulary=1024):
    """Build a tokenizer of a kind from the training captions.

    min_count: minimum count of a word ("word" and "space"); vocabulary: number of ids, special ones included ("bpe").

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
    """A caption as the model reads it: lower case, start and end added, truncated or padded.  -> (max_length,) int64

        >>> caption_ids(tokenizer, "A dog", 6)
        array([1, 4, 5, 2, 0, 0])
    """
    return sequence(tokenizer.encode(text.lower()), max_length)


def from_json(values):
    """Restore a tokenizer from to_json's values.  CheckpointError if they are not a tokenizer's.

        >>> from_json(tokenizer.to_json()).words
        ['a', 'dog']
    """
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"The tokenizer of the checkpoint is not one of this version's ({', '.join(KINDS)}). "
                              "Update npcaption.")
    return KINDS[kind].from_json(values)
