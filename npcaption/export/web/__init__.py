"""The page: a model, an engine in JavaScript and the way back from a word to the pixels, in one HTML file."""
from pathlib import Path

from ...model import checkpoint as checkpoints
from ...support.files import check_writable, write_whole
from .build import page


def web(checkpoint=None, out="caption.html"):
    """Write the page of a model into a file -> its size in bytes

    checkpoint: a path, or a Checkpoint; without one, the model that ships. ConfigError for a model on frozen features.
    """
    name = "a model"
    if checkpoint is None or not isinstance(checkpoint, checkpoints.Checkpoint):
        path = checkpoints.SHIPPED if checkpoint is None else checkpoint
        check_writable(out, [path])
        checkpoint, name = checkpoints.load(path), Path(path).name
    content = page(checkpoint, name).encode()
    write_whole(out, content)
    return len(content)
