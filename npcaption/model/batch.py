"""The mini-batch: images, captions and targets of one training step."""
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..tokenizers import PADDING


class Batch(NamedTuple):
    """B images with K captions each. The part of one image is a Batch too, its arrays without the first axis."""
    inputs: np.ndarray          # (B, A, A, 3) images, 0 to 255
    ids: np.ndarray             # (B, K, L) integers, with start and end; a caption of padding alone has no effect
    weights: np.ndarray | None  # (B, K), each caption's weight in the likelihood, of either sign; None: all 1
    targets: dict               # {objective's name: (B, ...)}, for objectives with targets besides captions
    keys: np.ndarray | None     # (B,) uint32, for dropout; None: no dropout
    tokens: int                 # target tokens of the whole step, at least 1; equal in every part, so losses add up
    image_count: int            # images of the whole step; equal in every part

    def of(self, i):
        """The part of image i."""
        def part(array):
            return None if array is None else array[i]
        targets = {name: target[i] for name, target in self.targets.items()}
        return self._replace(inputs=self.inputs[i], ids=self.ids[i], weights=part(self.weights), targets=targets,
                             keys=part(self.keys))

    def read(self, k):
        """The decoder's input ids for caption k -> (..., T), T >= 1; one of several captions is trimmed

        A single caption keeps the batch's length, because the order of the kernels' sums, and so the last bits of
        training, depend on it.
        """
        ids = self.ids[..., k, :]
        return (ids if self.ids.shape[-2] == 1 else trim(ids))[..., :-1]


def whole(inputs, ids, weights=None, targets=None, keys=None):
    """The Batch of a whole step, with its tokens and images counted.  Arguments: the fields of Batch"""
    return Batch(inputs, ids, weights, targets or {}, keys, max(1, target_tokens(ids)), len(inputs))


def target_tokens(ids):
    """Number of target tokens of captions: all but the first of each, without padding.  ids (..., L)"""
    return int((ids[..., 1:] != PADDING).sum())


def trim(ids):
    """Drop the columns of padding alone, but keep at least two columns.  ids (..., L) -> (..., T) int64"""
    return ids[..., :max(2, int((ids != PADDING).sum(-1).max()))].astype(np.int64)


def check_batch(config, ids, images=None):
    """DataError for wrong shapes or ids: kernels, unlike NumPy, check no index."""
    shape = config.input_shape
    if images is not None and images.shape[-len(shape):] != shape:
        raise DataError(f"The images have shape {images.shape}; the model needs "
                        f"(B, {', '.join(map(str, shape))}). Pass arrays of that shape.")
    if ids.shape[-1] > config.max_length or ids.size and not 0 <= ids.min() <= ids.max() < config.vocabulary:
        raise DataError(f"The ids have shape {ids.shape} and values from {ids.min()} to {ids.max()}. Pass at most "
                        f"{config.max_length} ids a caption, each from 0 to {config.vocabulary - 1}.")
