"""Pretrained weights and word vectors that others made: safe readers of their files, and frozen image encoders."""


def __getattr__(name):
    """load_encoder, imported when it is asked for: it needs Pillow, and the readers need NumPy alone."""
    if name != "load_encoder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .encoders import load_encoder
    return load_encoder
