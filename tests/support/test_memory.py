"""The memory that a process may use, by the system and by control groups."""
import math

import pytest

from npcaption.support.memory import usable_memory


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("groups, files, found", [
    ("0::/\n", {}, 8192 * 1024),
    ("0::/a/b\n", {"a__memory.max": "4096\n", "a__b__memory.max": "max\n"}, 4096),
    ("0::/a/b\n", {"a__b__memory.max": "99999999999\n"}, 8192 * 1024),
    ("7:cpu:/x\n4:memory:/docker/ab\n", {"memory__docker__ab__memory.limit_in_bytes": "5000\n"}, 5000),
    ("4:memory:/docker/ab\n", {"memory__memory.limit_in_bytes": "6000\n"}, 6000),
    ("7:cpu:/x\n", {"memory__x__memory.limit_in_bytes": "5000\n"}, 8192 * 1024)])
def test_the_least_of_what_is_available_and_of_all_limits_counts(tmp_path, groups, files, found):
    write(tmp_path / "proc", meminfo="MemTotal: 9999 kB\nMemAvailable:    8192 kB\n", self__cgroup=groups)
    write(tmp_path / "groups", **files)
    assert usable_memory(tmp_path / "proc", tmp_path / "groups") == found


def test_where_nothing_is_known_there_is_no_limit(tmp_path):
    assert usable_memory(tmp_path, tmp_path) == math.inf


def test_of_this_machine_it_is_a_number_of_bytes():
    assert usable_memory() > 2 ** 20
