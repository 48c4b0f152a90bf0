"""Byte-pair encoding: one token for a frequent word, several for a rare one; any text is restored exactly.

Sennrich et al. 2016 (arXiv:1508.07909), on bytes as in GPT-2. The first tokens are the 256 byte values; then the most
frequent adjacent pair is merged into a new token, repeatedly. The list of merges is all that is learnt; encoding
applies the same merges in the same order.

Merges stay within a *piece*: a word with its apostrophes or a run of punctuation, each with one space before it, or
white space. So " dog" is the same token anywhere in a caption, no token spans two words, and counting is cheap:
Flickr8k's 30,000 training captions have 8,000 distinct pieces of at most 17 characters. A word of more than 64
characters is several pieces, so time is proportional to the text.
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

# {rule, see words.RULE: function: text -> expression of its pieces}; the pieces together are the whole text
PIECES = {1: lambda text: re.compile(r" ?[\w']{1,64}| ?[^\w\s']{1,64}|\s{1,64}"),
          2: pattern(r" ?[\w'][LETTER']{0,63}| ?[^\w\s']{1,64}|\s{1,64}")}
BYTES = [bytes([i]) for i in range(256)]


class BytePairTokenizer:
    """Byte-pair tokenizer: ids 3 to 258 are single bytes, 259, 260, ... the merged tokens in the order of the merges.

    Upper and lower case are distinct; white space is ordinary text. UTF-8 cannot encode half a surrogate pair: it
    becomes "?". A model can produce invalid UTF-8: it decodes to U+FFFD.

        >>> tokenizer = BytePairTokenizer.build(["a dog", "the dog"], vocabulary=262)
        >>> tokenizer.merges
        [(b' ', b'd'), (b' d', b'o'), (b' do', b'g')]
        >>> tokenizer.encode("a dog"), tokenizer.decode([100, 261])
        ([100, 261], 'a dog')
    """

    kind = "bpe"
    unknown = 0                                              # no unknown-word token: see ModelConfig

    def __init__(self, merges, rule=RULE):
        """merges: pairs of tokens, (bytes, bytes), each a single byte or an earlier merge; rule: see words.RULE"""
        self.tokens, self.rule = BYTES + [a + b for a, b in merges], rule
        self.merges, self.size = merges, SPECIAL + len(self.tokens)
        self._ids = {token: SPECIAL + i for i, token in enumerate(self.tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._pieces = {}                                    # {piece: its ids}: most pieces recur

    @staticmethod
    def build(captions, vocabulary=1024):
        """vocabulary: number of ids, fewer if the captions run out of pairs.  ConfigError below 259"""
        if vocabulary < SPECIAL + len(BYTES):
            raise ConfigError(f"vocabulary_size is {vocabulary}; it must be at least {SPECIAL + len(BYTES)}, for the "
                              "special ids and single bytes. Pass a larger --vocabulary-size, such as 1024.")
        return BytePairTokenizer(learn(captions, vocabulary - SPECIAL - len(BYTES)))

    def encode(self, text):
        """Ids without start and end."""
        return [i for piece in pieces_of(text, self.rule) for i in self._encode_piece(piece)]

    def _encode_piece(self, piece):
        """Apply the merges in the order of learning."""
        if piece not in self._pieces:
            tokens, rank = single(piece), lambda pair: self._ranks.get(pair, math.inf)
            while (pair := min(pairwise(tokens), key=rank, default=None)) in self._ranks:
                tokens = join(tokens, *pair)
            self._pieces[piece] = [self._ids[token] for token in tokens]
        return self._pieces[piece]

    def decode(self, ids):
        """Text up to the first end, without start and padding."""
        return b"".join(self.tokens[i - SPECIAL] for i in of_text(ids)).decode(errors="replace")

    def to_json(self):
        """Merges as text, such as [" d", "og"], in the order of learning."""
        return {"kind": self.kind, "merges": [[readable(a), readable(b)] for a, b in self.merges]} | (
            {} if self.rule == 1 else {"rule": self.rule})

    @staticmethod
    def from_json(values):
        """Restore a tokenizer. Each merge spells out both of its tokens, so no token is longer than the JSON."""
        if not isinstance(values.get("merges"), list):
            raise CheckpointError("The tokenizer of the checkpoint has no list of `merges`. Use another checkpoint.")
        merges, known = [], {readable(token): token for token in BYTES}
        for number, pair in enumerate(values["merges"]):
            match pair:
                case [str(a), str(b)] if {a, b} <= known.keys() and readable(known[a] + known[b]) not in known:
                    merges.append((known[a], known[b]))
                    known[readable(known[a] + known[b])] = known[a] + known[b]
                case _:
                    raise CheckpointError(f"The tokenizer's merges[{number}] does not join two earlier tokens into a "
                                          "new one. Use another checkpoint.")
        return BytePairTokenizer(merges, checked_rule(values))


def pieces_of(text, rule=RULE):
    """Pieces of a text, the bounds of merging.  "A dog's ball" -> A, " dog's", " ball" """
    return PIECES[rule](text).findall(text)


def learn(captions, count):
    """The first `count` merges, each of the most frequent pair at that point -> list of (bytes, bytes)

    Ties go to the first pair in byte order; pairs that occur only once are not merged.
    Example: ["low lower lowest"] -> [(b"l", b"o"), (b"lo", b"w"), (b" ", b"low"), (b" low", b"e")]. The third occurs
    twice, as does (b"low", b"e"), and a space sorts before l.

    Two merges never make the same token: the merging of a stretch of bytes depends on its neighbours only if they take
    a part of it. A merge costs time in proportion to its own places and the pairs beside them.
    """
    pieces = Counter(piece for caption in captions for piece in pieces_of(caption))
    tokens, times = [None], [0]                              # tokens of all pieces, None between two; count of each
    for piece, number in pieces.items():
        tokens += [*single(piece), None]
        times += [number] * (len(tokens) - len(times))
    before, after = list(range(-1, len(tokens) - 1)), list(range(1, len(tokens) + 1))  # links that skip merged tokens
    counts, places, merges = Counter(), defaultdict(list), []  # count and possible places of each pair

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
    heap = [(-n, pair) for pair, n in counts.items()]        # each pair with its count; outdated counts stay in it
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
                continue                                     # an earlier merge took one of them
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
    """Single bytes of a text.  "dog" -> [b"d", b"o", b"g"]"""
    return [BYTES[byte] for byte in text.encode(errors="replace")]


def readable(token):
    r"""A token as text; a byte of an incomplete character becomes "\udc80" to "\udcff" (PEP 383)."""
    return token.decode(errors="surrogateescape")


def join(tokens, a, b):
    """Merge each a followed by b, from left to right.  [l, o, l, o, l], l, o -> [lo, lo, l]"""
    joined, i = [], 0
    while i < len(tokens):
        if tokens[i] == a and tokens[i + 1:i + 2] == [b]:
            joined.append(a + b)
            i += 2
        else:
            joined.append(tokens[i])
            i += 1
    return joined
