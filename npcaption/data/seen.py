"""Fingerprints of the training images, to detect them in data that a model is scored on.

Each image has three hashes: name hash, pixel hash, and perceptual hash (difference hash: 64 bits, set where brightness
increases from left to right). Compression and resizing hardly change the perceptual hash; two different photographs
differ in half of the bits.
"""
import hashlib
import unicodedata

import numpy as np

from ..model.checkpoint import Seen
from ..support.progress import progress
from .store import release

ROWS, COLUMNS = 8, 9        # grid of mean brightnesses; 8 x 8 pairs of neighbours are compared
MAX_BITS = 12               # maximum differing bits under equal names; 0 of 6,000 pairs of Flickr8k match by chance
MAX_BITS_RENAMED = 2        # the same under another name: 90 to 98 % of 300 recompressed copies differ in no more;
                            # the minimum of 6,000,000 pairs of different photographs is 5
MAX_SIMILAR = 3             # more similar images, such as X-rays, make the perceptual hash meaningless


def seen_images(split, label="fingerprints of the training images"):
    """Fingerprints of a split's image files; None for generated images."""
    if split.files is None:
        return None
    looks, pixels = np.zeros((2, len(split.names)), np.uint64)  # perceptual hashes, pixel hashes
    for i, image in enumerate(progress(split.images, len(looks), label, "images")):
        looks[i], pixels[i] = perceptual_hash(image), hash64(image.tobytes())
        if i % 1000 == 0:
            release(split.images)
    return Seen(np.array(list(map(name_hash, split.names)), np.uint64), looks, pixels)


def seen_in(seen, split):
    """Mask of a split's images that match fingerprints -> (M,) bool

    A match has equal pixels; or an equal name and a similar perceptual hash; or, renamed, a nearly equal one.
    """
    if seen is None or split.files is None:
        return np.zeros(len(split.names), bool)
    mine = seen_images(split, "fingerprints")
    found = np.isin(mine.pixels, seen.pixels, kind="sort")  # kind="table" overflows in NumPy 2.0
    for i in np.flatnonzero(~found):
        alike = seen.pixels[similar(mine.looks[i], seen.looks, MAX_BITS_RENAMED)]
        found[i] = (similar(mine.looks[i], seen.looks[seen.names == mine.names[i]]).any()
                    or 0 < len(np.unique(alike)) <= MAX_SIMILAR)
    return found


def exchanged(before, now):
    """Indices of images replaced by others of the same name.  before, now: Seen with equal names"""
    return np.flatnonzero((before.pixels != now.pixels) & ~similar(before.looks, now.looks))


def similar(a, b, max_bits=MAX_BITS):
    """Whether perceptual hashes differ in at most max_bits; False for images of even brightness."""
    bits = np.bitwise_count(a)
    return (np.bitwise_count(a ^ b) <= max_bits) & (bits >= 8) & (bits <= 56)


def perceptual_hash(image):
    """Difference hash: a bit per pair of neighbours in a row, set if the right is brighter.  (A, A, 3) uint8 -> int"""
    grey, size = image.sum(-1, dtype=np.int64), len(image)   # (A, A)
    rows, columns = (np.arange(n) * size // n for n in (ROWS, COLUMNS))  # first pixels of blocks; not distinct if A < n
    sums = np.add.reduceat(np.add.reduceat(grey, rows, 0), columns, 1)  # (ROWS, COLUMNS)
    brightness = sums / np.diff(columns, append=size).clip(1)
    return int.from_bytes(np.packbits(brightness[:, 1:] > brightness[:, :-1]).tobytes(), "big")


def name_hash(name):
    return hash64(unicodedata.normalize("NFC", name).encode(errors="surrogatepass"))


def hash64(content):
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
