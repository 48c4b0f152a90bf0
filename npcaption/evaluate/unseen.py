"""Overlap of the scored images with the model's training images."""
import numpy as np

from ..errors import DataError


def on_training_images(seen, trained_on, options):
    """Warning that the model was trained on some of the scored images, or "".

    seen: the checkpoint's training images; trained_on (N,) bool: images of the split that are among them.
    """
    count, number = int(trained_on.sum()), len(trained_on)
    if seen is None and options.unseen:
        raise DataError("The checkpoint does not record the images it was trained on. Evaluate it without --unseen.")
    if seen is None:
        return ("The checkpoint does not record the images it was trained on: overlap with these images is unknown."
                if options.data else "")
    if not count:
        return ""
    if options.unseen:
        return f"Skipped {count:,} of {number:,} {options.split} images: the model was trained on them."
    return (f"WARNING: the model was trained on {count:,} of these {number:,} {options.split} images, so the scores "
            f"partly measure memory. Pass --unseen to skip these images.")


def unseen(split, trained_on):
    """The split without the model's training images.  DataError if no image is left."""
    keep = np.flatnonzero(~trained_on)
    if not len(keep):
        raise DataError(f"The model was trained on all {len(trained_on):,} images. Evaluate it on other images, or "
                        f"without --unseen.")
    return split.only(keep)
