"""Gradient checks: every hand-written gradient, and anybody's pair, against a numerical one."""
from .numeric import check

__all__ = ["check"]
