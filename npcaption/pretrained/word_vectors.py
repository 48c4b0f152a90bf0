"""Reader of word vectors as text, such as GloVe's: a word and its numbers a line, plain, gzipped or alone in a ZIP."""
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
LONGEST_LINE = MEGABYTE                     # bytes; 300 numbers take some 3,000
FIX = "Correct or delete that line."
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DIGITS = b"0123456789.+-eE "                # all that a vector is written with
UTF8_MARK = b"\xef\xbb\xbf"


class WordVectors(NamedTuple):
    """The vectors of the wanted words that a file has: len(vectors) of `wanted` are covered."""
    vectors: dict               # {word: (D,) float32, read-only}
    dimension: int              # D
    wanted: int                 # distinct words that were asked for
    lines: int                  # words of the file
    duplicates: int             # lines that repeat a wanted word; the first counted


def read_vectors(path, words):
    """The vectors of `words`, an iterable of str, in a file -> WordVectors

    The file is GloVe's text, D numbers behind each word, D by the first line; or word2vec's, whose first line is the
    number of words and D. Words may contain spaces and must be in UTF-8. Case is not changed: GloVe 6B's is lower.
    Memory: in proportion to the wanted words found. PretrainedError, with the line's number, for a line that is not one
    word and D finite numbers.
    """
    with opened(path, EXPECTED) as file, unpacked(file) as (text, size):
        return collect(lines_of(text, size), {word.encode("utf-8", "surrogatepass"): word for word in words})


@contextmanager
def unpacked(file):
    """An open file -> the text in it, open for reading bytes, and its size in bytes"""
    head = file.read(HEAD)
    size = file.seek(0, 2)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        file.seek(-4, 2)
        size = max(size, int.from_bytes(file.read(4), "little"))  # what gzip notes of the text's size
        file.seek(0)
        with gzip.open(file) as text:
            yield text, size
    elif head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(file) as archive:
            found = [info for info in archive.infolist() if info.filename.endswith(".txt")]
            if len(found) != 1 or found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Unreadable(f"it is a ZIP archive with {len(found)} text files", "Unpack it, and name one.")
            with archive.open(found[0]) as text:
                yield text, found[0].file_size
    else:
        if other := foreign(head):
            raise other
        yield file, size


def lines_of(text, size):
    """(number from 1, line without its end) of a text, with progress in megabytes"""
    number, rest = 0, b""
    blocks = iter(lambda: text.read(MEGABYTE), b"")
    for block in progress(blocks, -(-size // MEGABYTE), "Reading word vectors", "MB"):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            number += 1
            yield number, line.rstrip(b" \r")
        if len(rest) > LONGEST_LINE:
            raise Unreadable(f"line {number + 1:,} is longer than {LONGEST_LINE:,} bytes", "Name a text file.")
    if rest:
        yield number + 1, rest.rstrip(b" \r")


def collect(lines, wanted):
    """The vectors of wanted words in (number, line) pairs -> WordVectors.  wanted: {word in UTF-8: word}"""
    vectors, dimension, promised, found, duplicates = {}, 0, None, 0, 0
    for number, line in lines:
        if number == 1:
            line = line.removeprefix(UTF8_MARK)
            promised, dimension = first_line(line)
            if promised is not None:
                continue
        if not line:
            continue
        encoded, numbers = parted(line, dimension, number, wanted)
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
    if promised not in (None, found):
        raise Unreadable(f"its first line promises {promised:,} words, and it has {found:,}")
    return WordVectors(vectors, dimension, len(wanted), found, duplicates)


def first_line(line):
    """-> the number of words that word2vec's first line promises, or None where it is a word's, and D"""
    fields = line.split(b" ")
    if len(fields) == 2 and all(field.isdigit() and len(field) < 10 for field in fields):
        promised, dimension = map(int, fields)
    else:
        promised, dimension = None, 0
        while dimension < len(fields) - 1 and NUMBER.fullmatch(fields[-1 - dimension]):
            dimension += 1
    if not 2 <= dimension <= LONGEST_LINE:
        raise Unreadable("line 1 is not a word and its numbers, apart by single spaces", "Name a file such as GloVe's.")
    return promised, dimension


def parted(line, dimension, number, wanted):
    """A line -> its word, and the text of its numbers.  Unreadable if it is no word and D fields made of digits

    A word with spaces looks like a word with too many numbers; if the part before them is a wanted word, it is that.
    """
    spaces = line.count(b" ")
    if spaces == dimension:
        word, numbers = line.split(b" ", 1)
    elif spaces > dimension:
        fields = line.rsplit(b" ", dimension)
        word, numbers = fields[0], b" ".join(fields[1:])
        parts = word.split(b" ")
        if parts[0] in wanted and all(map(NUMBER.fullmatch, parts[1:])):
            raise Unreadable(f"line {number:,} has {spaces} numbers, and line 1 says {dimension}", FIX)
    else:
        raise Unreadable(f"line {number:,} has {spaces} numbers, and line 1 says {dimension}", FIX)
    if not word or numbers.translate(None, DIGITS) or b"  " in numbers:
        raise Unreadable(f"line {number:,} is not a word and {dimension} finite numbers, apart by single spaces", FIX)
    try:
        word.decode()
    except UnicodeDecodeError:
        raise Unreadable(f"the word of line {number:,} is not in UTF-8", FIX) from None
    return word, numbers


def vector(numbers, line):
    """The text of numbers -> (D,) float32, read-only"""
    fields = numbers.split(b" ")
    if not all(map(NUMBER.fullmatch, fields)):
        raise Unreadable(f"line {line:,} has something that is not a number", FIX)
    with np.errstate(over="ignore"):
        found = np.array(list(map(float, fields)), np.float32)
    if not np.isfinite(found).all():
        raise Unreadable(f"line {line:,} has a number that float32 cannot hold", FIX)
    found.flags.writeable = False
    return found
