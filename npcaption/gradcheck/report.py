"""The report of a gradient check and its table."""
from typing import NamedTuple


class Finding(NamedTuple):
    """The gradient of one argument at its worst entry: by backward (written) and numerically."""
    shape: tuple[int, ...]
    error: float                # the largest difference, relative to the largest gradient
    worst: tuple[int, ...]      # index of that difference
    written: float
    numerical: float


class Report(NamedTuple):
    """The findings of a check, by argument. True if every error is below the tolerance."""
    findings: dict[str, Finding]
    tolerance: float

    def __bool__(self):
        return all(finding.error < self.tolerance for finding in self.findings.values())

    def __str__(self):
        rows = [("argument", "shape", f"{'error':>9}")]
        rows += [(name, str(found.shape), outcome(found, self.tolerance)) for name, found in self.findings.items()]
        wide = [max(len(row[column]) for row in rows) + 2 for column in range(2)]
        return "\n".join(f"{name:<{wide[0]}}{shape:<{wide[1]}}{rest}" for name, shape, rest in rows)

    __repr__ = __str__


def outcome(finding, tolerance):
    """The end of a row: the error, then ok or the wrong entry."""
    if finding.error < tolerance:
        return f"{finding.error:>9.1e}  ok"
    return (f"{finding.error:>9.1e}  WRONG at {finding.worst}: backward gives {finding.written:.6g}, "
            f"numerically it is {finding.numerical:.6g}")
