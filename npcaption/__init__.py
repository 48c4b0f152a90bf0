"""npcaption: an image-captioning transformer whose every gradient is written by hand.

    import npcaption
    captioner = npcaption.load()                             # the model that ships, or load("runs/flickr8k/best.npz")
    captioner.caption("dog.jpg")
"""
import sys

try:
    from .captioner import Captioner
    from .checkpoint import load_captioner as load
    from .errors import CheckpointError, ConfigError, DataError, NpcaptionError
except KeyboardInterrupt:
    if sys.argv[:1] == ["-m"]:                               # python -m npcaption.evaluate, stopped: see train.py
        raise SystemExit(130) from None
    raise

__all__ = ["Captioner", "load", "NpcaptionError", "DataError", "ConfigError", "CheckpointError"]
