"""Images that the model was trained on, among those that it is scored on."""
import numpy as np

from ..errors import DataError


def on_training_images(seen, trained_on, options):
    """Warning that the model was trained on some of the scored images; "" if on none.

    seen: the checkpoint's; trained_on (N,) bool, the images of the split that are among them.
    """
    count, number = int(trained_on.sum()), len(trained_on)
    if seen is None and options.unseen:
        raise DataError("The checkpoint does not say which images it was trained on. Evaluate it without --unseen.")
    if seen is None:
        return ("The checkpoint does not say which images it was trained on, so whether some are among these was not checked."
                if options.data else "")
    if not count:
        return ""
    if options.unseen:
        return f"Skipped {count:,} of {number:,} {options.split} images, which the model was trained on."
    return (f"WARNING: the model was trained on {count:,} of these {number:,} {options.split} images, so the scores say how "
            f"well it remembers, not how well it captions new images. --unseen skips them.")


def unseen(split, trained_on):
    """The images of a split that the model was not trained on.  DataError if there are none."""
    keep = np.flatnonzero(~trained_on)
    if not len(keep):
        raise DataError(f"The model was trained on all {len(trained_on):,} images. Evaluate it on others, or without --unseen.")
    return split.only(keep)
