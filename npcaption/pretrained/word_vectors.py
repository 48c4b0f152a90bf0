"""Reader of word vectors as text, such as GloVe's: one word and its numbers per line; plain, gzip or ZIP."""
import gzip
import re
import zipfile
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..support.progress import progress
from .opening import HEAD, Unreadable, foreign, opened

EXPECTED = "a text file of word vectors"
MEGABYTE = 2 ** 20
MAX_LINE = MEGABYTE                         # bytes; 300 numbers take some 3,000
FIX = "Fix or delete that line."
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DIGITS = b"0123456789.+-eE "                # all characters of a vector
UTF8_MARK = b"\xef\xbb\xbf"


class WordVectors(NamedTuple):
    """Vectors of the requested words; len(vectors) of `wanted` are covered."""
    vectors: dict               # {word: (D,) float32, read-only}
    dimension: int              # D
    wanted: int                 # number of distinct requested words
    lines: int                  # number of words in the file
    duplicates: int             # number of repeated lines of requested words; the first counts


def read_vectors(path, words):
    """Read the vectors of `words`, an iterable of str -> WordVectors

    Formats: GloVe's text, with D numbers after each word and D given by the first line; or word2vec's, with the number
    of words and D on the first line. Words must be UTF-8 and may contain spaces. Case is kept: GloVe 6B's is lower.
    Memory: proportional to the requested words found. PretrainedError, with the line number, for a line other than one
    word and D finite numbers.
    """
    with opened(path, EXPECTED) as file, unpacked(file) as (text, size):
        return collect(lines_of(text, size), {word.encode("utf-8", "surrogatepass"): word for word in words})


@contextmanager
def unpacked(file):
    """Unpack an open file -> its text, open for reading bytes, and its size in bytes"""
    head = file.read(HEAD)
    size = file.seek(0, 2)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        file.seek(-4, 2)
        size = max(size, int.from_bytes(file.read(4), "little"))  # gzip's size of the text, modulo 2^32
        file.seek(0)
        with gzip.open(file) as text:
            yield text, size
    elif head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(file) as archive:
            found = [info for info in archive.infolist() if info.filename.endswith(".txt")]
            if len(found) != 1 or found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Unreadable(f"it is a ZIP archive with {len(found)} text files", "Unpack it, and pass one.")
            with archive.open(found[0]) as text:
                yield text, found[0].file_size
    else:
        if other := foreign(head):
            raise other
        yield file, size


def lines_of(text, size):
    """Yield (line number from 1, line without its end), with progress in megabytes."""
    number, rest = 0, b""
    blocks = iter(lambda: text.read(MEGABYTE), b"")
    for block in progress(blocks, -(-size // MEGABYTE), "Reading word vectors", "MB"):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            number += 1
            yield number, line.rstrip(b" \r")
        if len(rest) > MAX_LINE:
            raise Unreadable(f"line {number + 1:,} is longer than {MAX_LINE:,} bytes", "Pass a text file.")
    if rest:
        yield number + 1, rest.rstrip(b" \r")


def collect(lines, wanted):
    """Collect requested words' vectors from (number, line) pairs -> WordVectors.  wanted: {word in UTF-8: word}"""
    vectors, dimension, stated, found, duplicates = {}, 0, None, 0, 0
    for number, line in lines:
        if number == 1:
            line = line.removeprefix(UTF8_MARK)
            stated, dimension = first_line(line)
            if stated is not None:
                continue
        if not line:
            continue
        encoded, numbers = split_line(line, dimension, number, wanted)
        found += 1
        word = wanted.get(encoded)
        if word is None:
            continue
        if word in vectors:
            duplicates += 1
        else:
            vectors[word] = vector(numbers, number)
    if not dimension:
        raise Unreadable("it is empty")
    if stated not in (None, found):
        raise Unreadable(f"its first line states {stated:,} words, but it has {found:,}")
    return WordVectors(vectors, dimension, len(wanted), found, duplicates)


def first_line(line):
    """Number of words (word2vec's first line) or None (GloVe's), and D"""
    fields = line.split(b" ")
    if len(fields) == 2 and all(field.isdigit() and len(field) < 10 for field in fields):
        stated, dimension = map(int, fields)
    else:
        stated, dimension = None, 0
        while dimension < len(fields) - 1 and NUMBER.fullmatch(fields[-1 - dimension]):
            dimension += 1
    if not 2 <= dimension <= MAX_LINE:
        raise Unreadable("line 1 is not a word and its numbers, separated by single spaces",
                         "Pass a file such as GloVe's.")
    return stated, dimension


def split_line(line, dimension, number, wanted):
    """Split a line -> its word, and the text of its numbers.  Unreadable unless it is a word and D fields of digits

    A word with spaces looks like a word with too many numbers; the line is an error only if the part before them is a
    requested word.
    """
    spaces = line.count(b" ")
    if spaces == dimension:
        word, numbers = line.split(b" ", 1)
    elif spaces > dimension:
        fields = line.rsplit(b" ", dimension)
        word, numbers = fields[0], b" ".join(fields[1:])
        parts = word.split(b" ")
        if parts[0] in wanted and all(map(NUMBER.fullmatch, parts[1:])):
            raise Unreadable(f"line {number:,} has {spaces} numbers, but line 1 has {dimension}", FIX)
    else:
        raise Unreadable(f"line {number:,} has {spaces} numbers, but line 1 has {dimension}", FIX)
    if not word or numbers.translate(None, DIGITS) or b"  " in numbers:
        raise Unreadable(f"line {number:,} is not a word and {dimension} finite numbers, separated by single spaces",
                         FIX)
    try:
        word.decode()
    except UnicodeDecodeError:
        raise Unreadable(f"the word of line {number:,} is not UTF-8", FIX) from None
    return word, numbers


def vector(numbers, line):
    """Text of numbers -> (D,) float32, read-only"""
    fields = numbers.split(b" ")
    if not all(map(NUMBER.fullmatch, fields)):
        raise Unreadable(f"line {line:,} has a field other than a number", FIX)
    with np.errstate(over="ignore"):
        found = np.array(list(map(float, fields)), np.float32)
    if not np.isfinite(found).all():
        raise Unreadable(f"line {line:,} has a number too large for float32", FIX)
    found.flags.writeable = False
    return found
