"""Word vectors: requested words only, with the file's dimension; an invalid line is named by its number."""
import gzip
import tracemalloc
import zipfile

import numpy as np
import pytest

from npcaption.errors import PretrainedError
from npcaption.pretrained.word_vectors import read_vectors
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

GLOVE = "the 0.5 -1.25 3e-2\ndog 1 2 3\nat the dog 0.1 .2 0.3\nnaïve +4 5. 6\n7 8 9 10\n"
WORDS = ["the", "dog", "cat", "naïve", "at the dog", "7", "dog"]


def write(folder, text, name="glove.txt"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder, text, words=("the",)):
    with pytest.raises(PretrainedError) as caught:
        read_vectors(write(folder, text), words)
    return str(caught.value)


def as_lists(found):
    return {word: vector.tolist() for word, vector in found.vectors.items()}


def test_requested_words_get_their_numbers(tmp_path):
    found = read_vectors(write(tmp_path, GLOVE), WORDS)
    assert as_lists(found) == {"the": [0.5, -1.25, np.float32(0.03)], "dog": [1, 2, 3], "naïve": [4, 5, 6],
                               "7": [8, 9, 10], "at the dog": [np.float32(x) for x in (0.1, 0.2, 0.3)]}
    assert found[1:] == (3, 6, 5, 0)                         # dimension, wanted, lines, duplicates
    assert all(v.dtype == np.float32 and v.shape == (3,) and not v.flags.writeable for v in found.vectors.values())


CHANGES = {
    "Windows": lambda text: text.replace("\n", "\r\n"), "spaces behind": lambda text: text.replace("\n", " \n"),
    "byte order mark": lambda text: "\ufeff" + text, "no last line end": lambda text: text.rstrip("\n"),
    "empty lines": lambda text: text + "\n\n", "word2vec": lambda text: "5 3\n" + text,
    "fastText": lambda text: "5 3\r\n" + text.replace("\n", " \r\n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_spellings_of_the_same_file_are_read_alike(tmp_path, change):
    plain, other = (read_vectors(write(tmp_path, text), WORDS) for text in (GLOVE, change(GLOVE)))
    assert as_lists(plain) == as_lists(other) and plain[1:] == other[1:]


def test_compressed_files_are_read(tmp_path):
    plain = read_vectors(write(tmp_path, GLOVE), WORDS)
    gzipped = read_vectors(write(tmp_path, gzip.compress(GLOVE.encode()), "glove.txt.gz"), WORDS)
    with zipfile.ZipFile(tmp_path / "glove.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "-")
        archive.writestr("glove.txt", GLOVE)
    assert as_lists(plain) == as_lists(gzipped) == as_lists(read_vectors(tmp_path / "glove.zip", WORDS))
    with zipfile.ZipFile(tmp_path / "glove.zip", "a") as archive:
        archive.writestr("glove.100d.txt", GLOVE)
    with refused(PretrainedError, "glove.zip", "ZIP archive with 2 text files", "Unpack it"):
        read_vectors(tmp_path / "glove.zip", WORDS)


def test_the_first_of_two_vectors_counts(tmp_path):
    more = "dog 4 5 6\ndog 7 8 9\ncat 1 1 1\ncats 1 1 1\ncats 1 1 1\n"
    found = read_vectors(write(tmp_path, GLOVE + more), ["dog", "cat"])
    assert as_lists(found) == {"dog": [1, 2, 3], "cat": [1, 1, 1]} and found.duplicates == 2 and found.lines == 10


def test_case_is_kept(tmp_path):
    assert read_vectors(write(tmp_path, GLOVE), ["The", "DOG"]).vectors == {}


BROKEN = {
    "too few numbers": (b"dog 1 2", "line 2 has 2 numbers"),
    "too many numbers": (b"the 1 2 3 4", "line 2 has 4 numbers"),
    "truncated in the word": (b"do", "line 2 has 0 numbers"),
    "not a number": (b"dog 1 two 3", "line 2 is not a word and 3 finite numbers"),
    "not a number, of a requested word": (b"the 1 2-2 3", "line 2 has"),
    "nan": (b"dog 1 nan 3", "line 2 is not"), "inf": (b"dog 1 -inf 3", "line 2 is not"),
    "too large": (b"the 1 2 1e39", "line 2 has a number too large for float32"),
    "Python's underscores": (b"the 1 1_0 3", "line 2 is not"), "other digits": ("the 1 ١ 3".encode(), "line 2 is not"),
    "two spaces": (b"the 1  2", "line 2 is not"), "tabs": (b"the\t1\t2\t3", "line 2 has 0 numbers"),
    "no word": (b" 1 2 3", "line 2 is not a word"), "a zero byte": (b"the 1 2\0 3", "line 2 is not"),
    "not UTF-8": (b"caf\xe9 1 2 3", "line 2 is not UTF-8"),
}


@pytest.mark.parametrize("line, reason", BROKEN.values(), ids=BROKEN)
def test_an_invalid_line_is_named_by_its_number(tmp_path, line, reason):
    assert_says(refusal(tmp_path, b"a 1 2 3\n" + line + b"\n" + GLOVE.encode()), reason, "Fix or delete that line")


@pytest.mark.parametrize("text, reason", [
    ("", "empty"), ("\n\n", "line 1 is not a word and its numbers"), ("the\ndog\n", "line 1 is not"),
    ("the 22038615\ndog 1\n", "line 1 is not"), ("6 3\n" + GLOVE, "states 6 words, but it has 5"),
    ("5 4\n" + GLOVE, "line 2 has 3"),
    (GLOVE.encode("utf-16"), "line 1 is not"), (gzip.compress(GLOVE.encode())[:-9], "damaged or truncated"),
    (gzip.compress(b""), "empty"), (b"\x89PNG\r\n\x1a\n", "image"),
    (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    (b"<!DOCTYPE html>", "web page"), (b"a 1 2\n" + b"x" * 2 ** 21, "line 2 is longer than 1,048,576 bytes")])
def test_other_files_are_refused(tmp_path, text, reason):
    assert reason in refusal(tmp_path, text)


def test_a_line_after_the_first_megabyte_has_its_number(tmp_path):
    assert "line 200,001 has 1 numbers" in refusal(tmp_path, "abc 1 2\n" * 200_000 + "dog 1\n")


def test_memory_is_proportional_to_the_requested_words(tmp_path):
    path = write(tmp_path, "".join(f"word{i} " + " ".join(["0.12345"] * 200) + "\n" for i in range(10_000)))
    assert path.stat().st_size > 16_000_000
    tracemalloc.start()
    read_vectors(path, ["word5"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_the_coverage_of_flickr8ks_training_captions_by_glove_50d(flickr8k):
    """White-space words in lower case that occur twice; GloVe's 100 and 300 dimensions have the same words."""
    from npcaption.data.records import load_records
    from npcaption.tokenizers import build
    path = flickr8k.parent / "glove" / "glove.6B.50d.txt"
    if not path.is_file():
        pytest.skip(f"needs GloVe 6B 50d in {path}")
    captions = [caption for record in load_records(flickr8k)[0] if record.split == "train"
                for caption in record.captions]
    found = read_vectors(path, build("space", captions, min_count=2).words)
    assert (len(found.vectors), found.wanted, found.dimension, found.duplicates) == (4_441, 4_517, 50, 0)
