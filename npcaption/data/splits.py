"""Splits: words that state a split, and hash-based drawing of splits that are not stated."""
import hashlib
import re
import unicodedata
from bisect import bisect_left

SPLITS = ("train", "val", "test")
WORDS = {word: split for split, words in {
    "train": "train training trn restval", "val": "val valid validate validation dev devel development",
    "test": "test testing tst eval evaluation"}.items() for word in words.split()}
WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")            # captions_val2017, dev-00000-of-00001, FlickrTrain, TEST


def split_named(name):
    """Split stated by the name of a file or folder; None if none or several"""
    found = {WORDS[word.lower()] for word in WORD.findall(name) if word.lower() in WORDS}
    return found.pop() if len(found) == 1 else None


def fraction(name, purpose=""):
    """Hash of a name in [0, 1), independent of Unicode composition.  purpose: makes independent hashes"""
    text = purpose + unicodedata.normalize("NFC", name)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2 ** 64


def divide(names, bounds, purpose=""):
    """Divide names by bounds of their hashes -> one list per bound and one of the rest; whether any was filled

    An otherwise empty list gets the name of the next hash. names: at least as many as lists.
    """
    order = sorted((fraction(name, purpose), name) for name in set(names))
    lists, start, filled = [], 0, False
    for left, bound in zip(range(len(bounds), 0, -1), bounds):
        right = bisect_left(order, (bound,))
        stop = min(max(right, start + 1), len(order) - left)
        filled |= stop != right
        lists.append([name for _, name in order[start:stop]])
        start = stop
    return [*lists, [name for _, name in order[start:]]], filled


def completed(split, names):
    """Draw missing splits from the stated ones -> {image: split}, a sentence or ""

    Only train: an eighth each to val and test. Train without val: an eighth to val. Val without test: half to test.
    names: {image: name}. The split of an image depends only on its name.
    """
    stated = set(split.values())
    if stated == {"train"}:
        givers, takers, bounds, share = "train", ("val", "test"), (1 / 8, 2 / 8), "Val and test, an eighth each,"
    elif stated == {"train", "test"}:
        givers, takers, bounds, share = "train", ("val",), (1 / 8,), "Val, an eighth of the training images,"
    elif "val" in stated and "test" not in stated:
        givers, takers, bounds, share = "val", ("test",), (1 / 2,), "Test, half of the validation images,"
    else:
        return split, ""
    giving = {names[image] for image, part in split.items() if part == givers}
    if len(giving) <= len(takers):
        return split, ""
    lists, filled = divide(giving, bounds, "half " * (givers == "val"))
    drawn = {name: taker for taker, part in zip(takers, lists) for name in part}
    return ({image: drawn.get(names[image], part) if part == givers else part for image, part in split.items()},
            f"{share} {'is' if len(takers) == 1 else 'are'} drawn by a hash of each image's name." + filled * (
                " Empty splits get the images with the smallest hashes."))
