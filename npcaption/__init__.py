"""npcaption: an image-captioning transformer whose every gradient is written by hand.

    import npcaption
    captioner = npcaption.load()                             # the model that ships, or load("runs/flickr8k/best.npz")
    captioner.caption("dog.jpg")
"""
from importlib import import_module
from operator import attrgetter

from .errors import CheckpointError, ConfigError, DataError, NpcaptionError

__version__ = "0.1.0"

__all__ = ["Captioner", "load", "decoding", "NpcaptionError", "DataError", "ConfigError", "CheckpointError"]

LAZY = {"Captioner": ("captioner", "Captioner"), "load": ("captioner", "Captioner.load"),
        "decoding": ("decoding", None)}


def __getattr__(name):
    """Lazy import of names that need Pillow: npcaption.layers needs only NumPy."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = LAZY[name]
    found = import_module(f".captioning.{module}", __name__)
    return attrgetter(attribute)(found) if attribute else found
