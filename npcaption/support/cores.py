"""The number of cores that this process may use.

A container of two cores on a machine of sixty-four has 64 by os.cpu_count(), and as many threads would only wait for one
another.
"""
import math
import os
from pathlib import Path


def usable_cores(proc=Path("/proc/self"), cgroups=Path("/sys/fs/cgroup")):
    """The cores of this process's affinity, or fewer where its container is limited to less of their time.  -> int >= 1

    The limits are Linux's control groups, version 1 and 2, of the group itself and of those above it; 2.5 cores are 3.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):                        # macOS and Windows; a sandbox that forbids the question
        cores = os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _limits(proc, cgroups))]))


def _limits(proc, cgroups):
    """The cores that each control group of this process allows, where it has a limit -> floats"""
    for line in _lines(proc / "cgroup"):                     # "0::/user.slice" or "4:cpu,cpuacct:/docker/ab12"
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for folder in ([cgroups] if not controllers else [cgroups / controllers, cgroups / "cpu"]):
            for group in _from_root(path):
                yield from _limit(folder / group)


def _from_root(path):
    """ "/a/b" -> "", "a", "a/b": a group is held by the limits of those above it, too."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]  # ".." where it is outside of what we see
    return ["/".join(parts[:i]) for i in range(len(parts) + 1)]


def _limit(group):
    """The cores that one control group allows -> [float], or [] where it has no limit"""
    one_file = _lines(group / "cpu.max")                     # version 2: "200000 100000", or "max 100000"
    quota = one_file[0].split() if one_file else [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]
    try:
        time, period = map(int, quota)
        return [time / period] if time > 0 and period > 0 else []
    except (ValueError, OverflowError):                      # "max", or no such files
        return []


def _lines(file):
    """A file's lines, none if it cannot be read."""
    try:
        return file.read_text().splitlines()
    except (OSError, ValueError):
        return []
