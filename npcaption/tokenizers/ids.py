"""Special ids, shared by all tokenizers."""
from itertools import takewhile

import numpy as np

PADDING, START, END = 0, 1, 2
SPECIAL = 3  # number of special ids; the vocabulary's first id


def of_text(ids):
    """Text ids: up to the first end, without start and padding.  [1, 7, 8, 2, 0, 7] -> [7, 8]"""
    return [i for i in takewhile(lambda i: i != END, ids) if i >= SPECIAL]


def sequence(ids, max_length):
    """start + ids + end, truncated to max_length with end as the last id, padded with 0.  -> (max_length,) int64

    Example: ids=[7, 8], max_length=6 -> [1, 7, 8, 2, 0, 0];  ids=[7, 8, 9, 7, 8], max_length=4 -> [1, 7, 8, 2]

        >>> sequence([7, 8], 6), sequence([7, 8, 9, 7, 8], 4)
        (array([1, 7, 8, 2, 0, 0]), array([1, 7, 8, 2]))
    """
    full = [START, *ids[:max_length - 2], END]
    return np.array(full + [PADDING] * (max_length - len(full)), np.int64)


def writable(text):
    """Whether UTF-8 can encode a text: it cannot encode half a surrogate pair, so no vocabulary has one."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
