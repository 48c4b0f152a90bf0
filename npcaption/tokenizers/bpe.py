"""Byte-pair encoding: a frequent word is one token, a rare one several, and any text comes back exactly.

Sennrich et al. 2016 (arXiv:1508.07909), on bytes as in GPT-2: at first the tokens are the 256 bytes of UTF-8; then the
two that stand side by side most often are merged into a new token, again and again. The list of merges is all that is
learnt, and text is encoded by making the same merges in the same order.

Merges stay within a *piece*: a word with its apostrophes, or a run of punctuation, each with one space before it, or
white space. So " dog" is the same token all through a caption, no token belongs to two words, and there is little to
count: Flickr8k's 30,000 training captions have 8,000 distinct pieces, of at most 17 characters. A longer word than 64
characters is several pieces, so that time is proportional to the text.
"""
import heapq
import math
import re
from collections import Counter, defaultdict
from itertools import pairwise

from ..errors import CheckpointError, ConfigError
from ..support.progress import progress
from .ids import SPECIAL, of_text
from .words import RULE, checked_rule, pattern

PIECES = {1: lambda text: re.compile(r" ?[\w']{1,64}| ?[^\w\s']{1,64}|\s{1,64}"),  # of npcaption.words' rules
          2: pattern(r" ?[\w'][LETTER']{0,63}| ?[^\w\s']{1,64}|\s{1,64}")}  # together the pieces are the whole text
BYTES = [bytes([i]) for i in range(256)]


class BytePairTokenizer:
    """A token is a few bytes: ids 3 to 258 are single bytes, 259, 260, ... the merged ones in the order of the merges.

    Upper and lower case are different; white space is text like any other. Half a surrogate pair, which UTF-8 cannot
    write, is read as "?"; bytes that are no UTF-8, which a model may put together, are written as U+FFFD.

        >>> tokenizer = BytePairTokenizer.build(["a dog", "the dog"], vocabulary=262)
        >>> tokenizer.merges
        [(b' ', b'd'), (b' d', b'o'), (b' do', b'g')]
        >>> tokenizer.encode("a dog"), tokenizer.decode([100, 261])
        ([100, 261], 'a dog')
    """

    kind = "bpe"
    unknown = 0                                              # no id: see ModelConfig

    def __init__(self, merges, rule=RULE):
        """merges: pairs of tokens, (bytes, bytes), each a single byte or merged before; rule: of npcaption.words"""
        self.tokens, self.rule = BYTES + [a + b for a, b in merges], rule
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
        return [i for piece in pieces_of(text, self.rule) for i in self._encode_piece(piece)]

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
        return {"kind": self.kind, "merges": [[readable(a), readable(b)] for a, b in self.merges]} | (
            {} if self.rule == 1 else {"rule": self.rule})

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
        return BytePairTokenizer(merges, checked_rule(values))


def pieces_of(text, rule=RULE):
    """The pieces of a text, within which tokens are merged.  "A dog's ball" -> A, " dog's", " ball" """
    return PIECES[rule](text).findall(text)


def learn(captions, count):
    """The first `count` merges, each of the pair that is the most frequent by then -> list of (bytes, bytes)

    Of equally frequent pairs it is the first in the order of their bytes; pairs that occur only once are left alone.
    Example: ["low lower lowest"] -> [(b"l", b"o"), (b"lo", b"w"), (b" ", b"low"), (b" low", b"e")]; the third occurs twice
    as (b"low", b"e") does, and a space comes before l.

    Two merges never make the same token: how a stretch of bytes is merged does not depend on what is around it, unless
    that takes a part of it. A merge costs what it changes: the places of its pair, and the pairs beside these.
    """
    pieces = Counter(piece for caption in captions for piece in pieces_of(caption))
    tokens, times = [None], [0]                              # of all pieces, None between two; how often each occurs
    for piece, number in pieces.items():
        tokens += [*single(piece), None]
        times += [number] * (len(tokens) - len(times))
    before, after = list(range(-1, len(tokens) - 1)), list(range(1, len(tokens) + 1))  # links over what is merged away
    counts, places, merges = Counter(), defaultdict(list), []  # of each pair: how often it occurs, and where it may

    def count_pair(i, sign):
        pair = tokens[i], tokens[after[i]]
        if None not in pair:
            counts[pair] += sign * times[i]
            changed.add(pair)
            if sign > 0:
                places[pair].append(i)

    changed = set()
    for i in range(len(tokens) - 1):
        count_pair(i, 1)
    heap = [(-n, pair) for pair, n in counts.items()]        # each pair with its count, and earlier ones
    heapq.heapify(heap)
    for _ in progress(range(count), count, "byte pairs", "merges"):
        while heap and -heap[0][0] != counts[heap[0][1]]:
            heapq.heappop(heap)
        if not heap or heap[0][0] > -2:
            break
        a, b = heapq.heappop(heap)[1]
        merges.append((a, b))
        changed.clear()
        for i in sorted(places.pop((a, b))):
            j = after[i]
            if (tokens[i], tokens[j]) != (a, b):
                continue                                     # one of them has been merged since
            around = before[i], i, j
            for place in around:
                count_pair(place, -1)
            tokens[i], tokens[j], after[i] = a + b, None, after[j]
            before[after[j]] = i
            for place in around[:2]:
                count_pair(place, 1)
        for pair in changed:
            heapq.heappush(heap, (-counts[pair], pair))
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
