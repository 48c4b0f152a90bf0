"""Pretrained weights and word vectors: safe readers of their files, and frozen image encoders."""


def __getattr__(name):
    """Import load_encoder on first use: it needs Pillow; the readers need only NumPy."""
    if name != "load_encoder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .encoders import load_encoder
    return load_encoder
