"""The number of usable cores, in simulated containers."""
import os

import pytest

from npcaption.support.cores import usable_cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """usable_cores on a machine with 64 cores, in a container with these control groups (files by their path)"""
    def usable(own, files, affinity=64):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(affinity)), raising=False)
        files = {f"cgroups/{name}": content for name, content in files.items()}
        for name, content in {"proc/cgroup": own, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content.encode("latin-1"))
        return usable_cores(tmp_path / "proc", tmp_path / "cgroups")
    return usable


VERSION_1 = "12:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n"


@pytest.mark.parametrize("own, files, expected", [
    ("0::/", {"cpu.max": "200000 100000\n"}, 2),
    ("0::/", {"cpu.max": "250000 100000\n"}, 3),
    ("0::/", {"cpu.max": "1000 100000\n"}, 1),
    ("0::/", {"cpu.max": "9900000 100000\n"}, 64),
    ("0::/a/b", {"cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "800000 100000"}, 3),
    ("0::/a/b", {"a/cpu.max": "max 100000", "a/b/cpu.max": "500000 100000"}, 5),
    ("0::/a:b", {"a:b/cpu.max": "400000 100000"}, 4),
    ("0::/../..", {"cpu.max": "200000 100000"}, 2),
    ("0::/../other", {"cpu.max": "200000 100000"}, 2),
    ("0:://a", {"cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2),
    (VERSION_1, {"cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "400000",
                 "cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000"}, 4),
    (VERSION_1, {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
    (VERSION_1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
    (VERSION_1, {"memory/cpu.cfs_quota_us": "100000", "memory/cpu.cfs_period_us": "100000"}, 64),
    (VERSION_1 + "0::/", {"cpu.max": "700000 100000", "cpu/docker/cpu.cfs_quota_us": "600000",
                          "cpu/docker/cpu.cfs_period_us": "100000"}, 6)])
def test_a_container_has_the_cores_of_its_narrowest_limit(machine, own, files, expected):
    assert machine(own, files) == expected


@pytest.mark.parametrize("limit", ["max 100000", "", "\n", "max", "a b", "nan nan", "-5 100000", "200000 0", "1 2 3",
                                   "\xff\xfe", "9" * 400 + " 1", "9" * 5000 + " 1"])
def test_an_invalid_limit_limits_nothing(machine, limit):
    assert machine("0::/", {"cpu.max": limit}) == 64


@pytest.mark.parametrize("own", ["", "\n", "garbage", "::", "\xff\xfe", "a:b", "4:cpu:/docker\n\n"])
def test_unreadable_control_groups_limit_nothing(machine, own):
    assert machine(own, {}) == 64


def test_an_affinity_below_the_limit_counts(machine):
    assert machine("0::/", {"cpu.max": "800000 100000"}, affinity=3) == 3


def test_without_control_groups_or_affinity_the_cores_are_the_machines(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for count, expected in [(12, 12), (None, 1)]:
        monkeypatch.setattr(os, "cpu_count", lambda: count)
        assert usable_cores(tmp_path, tmp_path) == expected


def test_where_a_sandbox_forbids_the_affinity_call_the_cores_are_the_machines(tmp_path, monkeypatch):
    def forbidden(process):
        raise PermissionError(1, "Operation not permitted")
    monkeypatch.setattr(os, "sched_getaffinity", forbidden, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert usable_cores(tmp_path, tmp_path) == 12


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_this_process_may_use_the_cores_of_its_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= usable_cores() <= len(before)
