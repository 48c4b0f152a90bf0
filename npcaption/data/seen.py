"""The images that a model was trained on: enough of each to notice when the model is scored on it.

Of each image three hashes are kept: of its name, of its pixels, and its *look*, 64 bits that say where its brightness grows
from left to right. The look of a photograph hardly changes with its compression or size; that of another photograph differs
in half of the bits.
"""
import hashlib
import unicodedata

import numpy as np

from ..model.checkpoint import Seen
from ..support.progress import progress
from .store import release

ROWS, COLUMNS = 8, 9        # cells of an image; 8 x 8 pairs of neighbours are compared
NEAR = 12                   # bits in which the looks of one photograph may differ. Of 6,000 pairs of Flickr8k's, 0 did by chance
CLOSE = 2                   # the same under another name: 90 to 98 % of 300 recompressed copies differ in no more,
                            # and of 6,000,000 pairs of other photographs none in fewer than 5
FEW = 3                     # images that may look so alike; if more do, as X-rays may, their looks tell nothing


def seen_images(split, label="fingerprints of the training images"):
    """Fingerprints of a split's image files; None for generated images."""
    if split.files is None:
        return None
    looks, pixels = np.zeros((2, len(split.names)), np.uint64)
    for i, image in enumerate(progress(split.images, len(looks), label, "images")):
        looks[i], pixels[i] = look(image), hash64(image.tobytes())
        if i % 1000 == 0:
            release(split.images)
    return Seen(np.array(list(map(name_hash, split.names)), np.uint64), looks, pixels)


def seen_in(seen, split):
    """Mask of the images of a split that are among the seen ones -> (M,) bool

    They have the same pixels; or the same name and look; or under another name a look that is equal to very few bits.
    """
    if seen is None or split.files is None:
        return np.zeros(len(split.names), bool)
    mine = seen_images(split, "fingerprints")
    found = np.isin(mine.pixels, seen.pixels, kind="sort")  # the other kind overflows in NumPy 2.0
    for i in np.flatnonzero(~found):
        alike = seen.pixels[same_look(mine.looks[i], seen.looks, CLOSE)]
        found[i] = (same_look(mine.looks[i], seen.looks[seen.names == mine.names[i]]).any()
                    or 0 < len(np.unique(alike)) <= FEW)
    return found


def exchanged(before, now):
    """Images that were exchanged under the same name: the numbers of `now`'s, where the names are `before`'s."""
    return np.flatnonzero((before.pixels != now.pixels) & ~same_look(before.looks, now.looks))


def same_look(a, b, most=NEAR):
    """Whether looks are those of one photograph, as they differ in at most so many bits.

    Of an even image, which has no bright and dark sides, that cannot be said.
    """
    bits = np.bitwise_count(a)
    return (np.bitwise_count(a ^ b) <= most) & (bits >= 8) & (bits <= 56)


def look(image):
    """A bit for each two neighbouring cells of a row: is the right one the brighter?  (A, A, 3) uint8 -> int"""
    grey, size = image.sum(-1, dtype=np.int64), len(image)   # (A, A)
    rows, columns = (np.arange(n) * size // n for n in (ROWS, COLUMNS))  # where cells begin; some are alike if S < n
    cells = np.add.reduceat(np.add.reduceat(grey, rows, 0), columns, 1)  # (ROWS, COLUMNS)
    brightness = cells / np.diff(columns, append=size).clip(1)
    return int.from_bytes(np.packbits(brightness[:, 1:] > brightness[:, :-1]).tobytes(), "big")


def name_hash(name):
    return hash64(unicodedata.normalize("NFC", name).encode(errors="surrogatepass"))


def hash64(content):
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
