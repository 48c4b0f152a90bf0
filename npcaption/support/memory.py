"""Usable memory: the bytes still available to this process and its children."""
import math
from pathlib import Path

from .cores import _from_root, _lines


def usable_memory(proc=Path("/proc"), cgroups=Path("/sys/fs/cgroup")):
    """Bytes available on the system, or a container's limit if that is lower -> number, inf if unknown

    For a control group (version 1 or 2) only the limit counts, not its current use: that may be reclaimable file pages.
    """
    available = [1024 * int(line.split()[1]) for line in _lines(proc / "meminfo") if line.startswith("MemAvailable:")]
    return min([*available, *_limits(proc, cgroups)], default=math.inf)


def _limits(proc, cgroups):
    for line in _lines(proc / "self" / "cgroup"):            # "0::/user.slice" or "4:memory:/docker/ab12"
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        for group in _from_root(path):
            files = cgroups / group / "memory.max", cgroups / "memory" / group / "memory.limit_in_bytes"
            for limit in _lines(files[0]) + _lines(files[1]):
                if limit.isdigit():                          # not "max"
                    yield int(limit)
