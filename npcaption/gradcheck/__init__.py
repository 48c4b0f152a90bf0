"""Gradient checks: compare a hand-written gradient, ours or yours, with a numerical one."""

__all__ = ["check"]


def __getattr__(name):
    """Lazy import of `check`: the command's harness must be in place before NumPy is imported."""
    if name != "check":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .numeric import check
    return check
