"""The batch: what one training step is about, from the data through trainer and engine to the wiring."""
from typing import NamedTuple

import numpy as np

from ..tokenizers import PADDING


class Batch(NamedTuple):
    """B images with K captions each, or the part of one image: then every array is without its first axis."""
    inputs: np.ndarray          # (B, S, S, 3) images, 0 to 255
    ids: np.ndarray             # (B, K, L) integers, with start and end; a caption of nothing but padding counts for nothing
    weights: np.ndarray | None  # (B, K), what each caption counts in the likelihood, negative ones too; None: 1 each
    targets: dict               # {objective's name: (B, ...)}, of the objectives that need more than captions
    keys: np.ndarray | None     # (B,) uint32, for dropout; None: nothing is dropped
    tokens: int                 # target tokens of the whole step, at least 1; a part has the whole's, so that losses add up
    image_count: int            # images of the whole step; the same holds

    def of(self, i):
        """The part of image i, which counts as it did in the whole."""
        def part(array):
            return None if array is None else array[i]
        return Batch(self.inputs[i], self.ids[i], part(self.weights),
                     {name: target[i] for name, target in self.targets.items()}, part(self.keys), self.tokens, self.image_count)

    def read(self, k):
        """What the decoder reads of caption k -> (..., T), T >= 1: of several captions no more padding than need be

        A caption that is alone keeps the length of the batch, on which the order of the kernels' sums depends, and so the
        last bits of all trainings before there were several.
        """
        ids = self.ids[..., k, :]
        return (ids if self.ids.shape[-2] == 1 else trim(ids))[..., :-1]


def whole(inputs, ids, weights=None, targets=None, keys=None):
    """The Batch of a whole step: its tokens and images are counted here.  Arguments as a Batch's fields"""
    return Batch(inputs, ids, weights, targets or {}, keys, max(1, target_tokens(ids)), len(inputs))


def target_tokens(ids):
    """The number of tokens that captions ids (..., L) are to predict: all but the first of each, and padding"""
    return int((ids[..., 1:] != PADDING).sum())


def trim(ids):
    """Without the columns of nothing but padding, which would cost time and change nothing.  (..., L) -> (..., T), T >= 2"""
    return ids[..., :max(2, int((ids != PADDING).sum(-1).max()))].astype(np.int64)
