"""Gradient checks: every hand-written gradient, and anybody's pair, against a numerical one."""

__all__ = ["check"]


def __getattr__(name):
    """`check` is imported when it is asked for, so that the command's harness is there before NumPy is imported."""
    if name != "check":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .numeric import check
    return check
