"""npcaption: an image-captioning transformer whose every gradient is written by hand.

    import npcaption
    captioner = npcaption.load()                             # the model that ships, or load("runs/flickr8k/best.npz")
    captioner.caption("dog.jpg")
"""
from .captioning.captioner import Captioner
from .captioning.captioner import load_captioner as load
from .errors import CheckpointError, ConfigError, DataError, NpcaptionError

__all__ = ["Captioner", "load", "NpcaptionError", "DataError", "ConfigError", "CheckpointError"]
