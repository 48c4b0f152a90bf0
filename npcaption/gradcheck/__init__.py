"""Every hand-written gradient against a numerical one."""
