"""The memory that this process and its children may still use."""
import math
from pathlib import Path

from .cores import _from_root, _lines


def usable_memory(proc=Path("/proc"), cgroups=Path("/sys/fs/cgroup")):
    """Bytes that the system has available, or fewer where a container is limited to less.  -> number, inf if unknown

    Of a control group, version 1 or 2, the limit counts, as what it holds already may be files' pages that it can give up.
    """
    available = [1024 * int(line.split()[1]) for line in _lines(proc / "meminfo") if line.startswith("MemAvailable:")]
    return min([*available, *_limits(proc, cgroups)], default=math.inf)


def _limits(proc, cgroups):
    for line in _lines(proc / "self" / "cgroup"):            # "0::/user.slice" or "4:memory:/docker/ab12"
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        for group in _from_root(path):
            for limit in _lines(cgroups / group / "memory.max") + _lines(cgroups / "memory" / group / "memory.limit_in_bytes"):
                if limit.isdigit():                          # not "max"
                    yield int(limit)
