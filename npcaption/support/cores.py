"""The number of cores that this process may use.

In a container with two cores on a machine with 64, os.cpu_count() is 64; that many threads would only wait for each
other.
"""
import math
import os
from pathlib import Path


def usable_cores(proc=Path("/proc/self"), cgroups=Path("/sys/fs/cgroup")):
    """The cores in this process's affinity, or fewer if its container limits CPU time.  -> int >= 1

    The limits are those of Linux control groups, version 1 and 2, including parent groups; 2.5 cores count as 3.
    """
    return max(1, min([len(affinity()), *map(math.ceil, _limits(proc, cgroups))]))


def affinity():
    """The cores that this process may run on -> set of numbers"""
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):                        # macOS and Windows; a sandbox that forbids the call
        return set(range(os.cpu_count() or 1))


def fair_share(affinities, number, proc=Path("/proc/self"), cgroups=Path("/sys/fs/cgroup")):
    """The cores for one of several processes of this machine, so that no core has two.  affinities: of each -> int >= 1

    Processes that a launcher has bound to cores of their own keep them; others divide what they have in common.
    """
    cores = sum(1 / sum(core in others for others in affinities) for core in affinities[number])
    return max(1, int(min([cores + 1e-6, *(limit / len(affinities) for limit in _limits(proc, cgroups))])))


def _limits(proc, cgroups):
    """The cores allowed by each control group of this process that has a limit -> floats"""
    for line in _lines(proc / "cgroup"):                     # "0::/user.slice" or "4:cpu,cpuacct:/docker/ab12"
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for folder in ([cgroups] if not controllers else [cgroups / controllers, cgroups / "cpu"]):
            for group in _from_root(path):
                yield from _limit(folder / group)


def _from_root(path):
    """ "/a/b" -> "", "a", "a/b": the limits of parent groups hold for a group, too."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]  # ".." if the group is outside our view
    return ["/".join(parts[:i]) for i in range(len(parts) + 1)]


def _limit(group):
    """The cores allowed by one control group -> [float], or [] without a limit"""
    one_file = _lines(group / "cpu.max")                     # version 2: "200000 100000", or "max 100000"
    quota = one_file[0].split() if one_file else [line for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                                                  for line in _lines(group / name)]
    try:
        time, period = map(int, quota)
        return [time / period] if time > 0 and period > 0 else []
    except (ValueError, OverflowError):                      # "max", or no such files
        return []


def _lines(file):
    """The lines of a file, or [] if it cannot be read."""
    try:
        return file.read_text().splitlines()
    except (OSError, ValueError):
        return []
