"""Byte-pair encoding: a frequent word is one token, a rare one several, and any text comes back exactly.

Sennrich et al. 2016 (arXiv:1508.07909), on bytes as in GPT-2: at first the tokens are the 256 bytes of UTF-8; then the
two that stand side by side most often are merged into a new token, again and again. The list of merges is all that is
learnt, and text is encoded by making the same merges in the same order.

Merges stay within a *piece*: a word with its apostrophes, or a run of other marks, each with one space before it, or
white space. So " dog" is the same token all through a caption, no token belongs to two words, and there is little to
count: Flickr8k's 30,000 training captions have 8,000 distinct pieces.
"""
import math
import re
from collections import Counter, defaultdict
from itertools import pairwise

from ..errors import CheckpointError, ConfigError
from .ids import SPECIAL, of_text

PIECE = re.compile(r" ?[\w']+| ?[^\w\s']+|\s+")              # together they are the whole text
BYTES = [bytes([i]) for i in range(256)]


class BytePairTokenizer:
    """A token is a few bytes: ids 3 to 258 are single bytes, 259, 260, ... the merged ones in the order of the merges.

    Upper and lower case are different; white space is text like any other. Half a surrogate pair, which UTF-8 cannot
    write, is read as "?"; bytes that are no UTF-8, which a model may put together, are written as U+FFFD.
    """

    kind = "bpe"
    unknown = 0                                              # no id: see ModelConfig

    def __init__(self, merges):
        """merges: pairs of tokens, (bytes, bytes), each a single byte or merged before."""
        self.tokens = BYTES + [a + b for a, b in merges]
        self.merges, self.size = merges, SPECIAL + len(self.tokens)
        self._ids = {token: SPECIAL + i for i, token in enumerate(self.tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._pieces = {}                                    # the ids of each piece met so far: most are met again

    @staticmethod
    def build(captions, vocabulary=1024):
        """vocabulary: how many ids; there are fewer if the captions run out of pairs.  ConfigError below 259"""
        if vocabulary < SPECIAL + len(BYTES):
            raise ConfigError(f"A vocabulary of {vocabulary} has no room for the {SPECIAL + len(BYTES)} ids with which "
                              f"byte pairs begin; choose at least {SPECIAL + len(BYTES)}, better 1024.")
        return BytePairTokenizer(learn(captions, vocabulary - SPECIAL - len(BYTES)))

    def encode(self, text):
        """Ids without start and end."""
        return [i for piece in PIECE.findall(text) for i in self._encode_piece(piece)]

    def _encode_piece(self, piece):
        """The merges, in the order in which they were learnt."""
        if piece not in self._pieces:
            tokens, rank = single(piece), lambda pair: self._ranks.get(pair, math.inf)
            while (pair := min(pairwise(tokens), key=rank, default=None)) in self._ranks:
                tokens = join(tokens, *pair)
            self._pieces[piece] = [self._ids[token] for token in tokens]
        return self._pieces[piece]

    def decode(self, ids):
        """Text up to the first end; start and padding say nothing."""
        return b"".join(self.tokens[i - SPECIAL] for i in of_text(ids)).decode(errors="replace")

    def to_json(self):
        """Merges as text, such as [" d", "og"], in the order in which they were learnt."""
        return {"kind": self.kind, "merges": [[readable(a), readable(b)] for a, b in self.merges]}

    @staticmethod
    def from_json(values):
        """As a merge spells out both of its tokens, no token is longer than the JSON."""
        if not isinstance(values.get("merges"), list):
            raise CheckpointError("The tokenizer has no list of `merges`.")
        merges, known = [], {readable(token): token for token in BYTES}
        for number, pair in enumerate(values["merges"]):
            match pair:
                case [str(a), str(b)] if {a, b} <= known.keys() and readable(known[a] + known[b]) not in known:
                    merges.append((known[a], known[b]))
                    known[readable(known[a] + known[b])] = known[a] + known[b]
                case _:
                    raise CheckpointError(f"The tokenizer's merges[{number}] does not make a new token of two before it.")
        return BytePairTokenizer(merges)


def learn(captions, count):
    """The first `count` merges, each of the pair that is the most frequent by then -> list of (bytes, bytes)

    Of equally frequent pairs it is the first in the order of their bytes; pairs that occur only once are left alone.
    Example: ["low lower lowest"] -> [(b"l", b"o"), (b"lo", b"w"), (b" ", b"low"), (b" low", b"e")]; the third occurs twice
    as (b"low", b"e") does, and a space comes before l.

    A merge changes only the pieces that hold its pair, so only these are counted anew. Two merges never make the same
    token: how a stretch of bytes is merged does not depend on what is around it, unless that takes a part of it.
    """
    pieces = Counter(piece for caption in captions for piece in PIECE.findall(caption))
    rows = [(single(piece), times) for piece, times in pieces.items()]
    counts, places, merges = Counter(), defaultdict(set), []  # of each pair: how often it occurs, and in which rows

    def tally(row, sign):
        tokens, times = rows[row]
        for pair in pairwise(tokens):
            counts[pair] += sign * times
            places[pair].add(row)

    for row in range(len(rows)):
        tally(row, 1)
    while len(merges) < count and (most := max(counts.values(), default=0)) > 1:
        merges.append(min(pair for pair, n in counts.items() if n == most))
        for row in places.pop(merges[-1]):
            tokens, times = rows[row]
            tally(row, -1)
            rows[row] = join(tokens, *merges[-1]), times
            tally(row, 1)
    return merges


def single(text):
    """The bytes of a text, each by itself.  "dog" -> [b"d", b"o", b"g"]"""
    return [BYTES[byte] for byte in text.encode(errors="replace")]


def readable(token):
    r"""A token as text; a byte of it that is only part of a character is "\udc80" to "\udcff" (PEP 383)."""
    return token.decode(errors="surrogateescape")


def join(tokens, a, b):
    """Each a with a b behind it becomes one token, from left to right.  [l, o, l, o, l], l, o -> [lo, lo, l]"""
    joined, i = [], 0
    while i < len(tokens):
        if tokens[i] == a and tokens[i + 1:i + 2] == [b]:
            joined.append(a + b)
            i += 2
        else:
            joined.append(tokens[i])
            i += 1
    return joined
