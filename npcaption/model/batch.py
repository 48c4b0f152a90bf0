"""The batch: images, captions and targets of one training step, from the data through trainer and engine to the wiring."""
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..tokenizers import PADDING


class Batch(NamedTuple):
    """B images with K captions each. One image's part is a Batch too, its arrays without their first axis."""
    inputs: np.ndarray          # (B, A, A, 3) images, 0 to 255
    ids: np.ndarray             # (B, K, L) integers, with start and end; a caption of padding alone counts for nothing
    weights: np.ndarray | None  # (B, K), each caption's weight in the likelihood, of either sign; None: all 1
    targets: dict               # {objective's name: (B, ...)}, for the objectives that need more than captions
    keys: np.ndarray | None     # (B,) uint32, for dropout; None: no dropout
    tokens: int                 # target tokens of the whole step, at least 1: a part keeps it, so that losses add up
    image_count: int            # images of the whole step: a part keeps it

    def of(self, i):
        """The part of image i."""
        def part(array):
            return None if array is None else array[i]
        targets = {name: target[i] for name, target in self.targets.items()}
        return self._replace(inputs=self.inputs[i], ids=self.ids[i], weights=part(self.weights), targets=targets,
                             keys=part(self.keys))

    def read(self, k):
        """The decoder's input ids for caption k -> (..., T), T >= 1: one of several is cut to the tokens that it needs

        A single caption keeps the batch's length: the order of the kernels' sums depends on it, and so do the last bits of
        a training.
        """
        ids = self.ids[..., k, :]
        return (ids if self.ids.shape[-2] == 1 else trim(ids))[..., :-1]


def whole(inputs, ids, weights=None, targets=None, keys=None):
    """The Batch of a whole step: tokens and images are counted here.  Arguments as the fields of Batch"""
    return Batch(inputs, ids, weights, targets or {}, keys, max(1, target_tokens(ids)), len(inputs))


def target_tokens(ids):
    """The number of tokens that captions ids (..., L) ask to predict: all but each one's first, without padding"""
    return int((ids[..., 1:] != PADDING).sum())


def trim(ids):
    """ids without the columns that hold only padding, two at least.  (..., L) -> (..., T) int64"""
    return ids[..., :max(2, int((ids != PADDING).sum(-1).max()))].astype(np.int64)


def check_batch(config, ids, images=None):
    """Refuse what would reach beyond a table: kernels, unlike NumPy, do not look."""
    shape = config.input_shape
    if images is not None and images.shape[-len(shape):] != shape:
        raise DataError(f"The images have shape {images.shape}; this model takes (B, {', '.join(map(str, shape))}).")
    if ids.shape[-1] > config.max_length or ids.size and not 0 <= ids.min() <= ids.max() < config.vocabulary:
        raise DataError(f"The ids, shape {ids.shape}, go from {ids.min()} to {ids.max()}; this model takes at most "
                        f"{config.max_length} of 0 to {config.vocabulary - 1}.")
