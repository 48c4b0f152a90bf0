"""Files are replaced whole or not at all."""
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from npcaption.errors import DataError
from npcaption.files import write_whole

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def earlier(tmp_path):
    """A file written before, alone in its folder."""
    path = tmp_path / "page.html"
    path.write_bytes(b"earlier")
    return path


def assert_untouched(path):
    assert path.read_bytes() == b"earlier" and os.listdir(path.parent) == [path.name]


def test_a_file_is_replaced_and_nothing_is_left_beside_it(earlier):
    write_whole(earlier, b"new")
    assert earlier.read_bytes() == b"new" and os.listdir(earlier.parent) == [earlier.name]


def test_what_a_killed_write_left_is_written_over(earlier):
    earlier.with_name("page.html.part").write_bytes(b"the beginning of something longer")
    write_whole(earlier, b"new")
    assert earlier.read_bytes() == b"new" and os.listdir(earlier.parent) == [earlier.name]


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_it_returns(earlier, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def record_fsync(handle):
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes")
        fsync(handle)

    def record_replace(*names):
        calls.append("rename")
        replace(*names)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    write_whole(earlier, b"new")
    assert calls == ["3 bytes", "rename", "folder"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_after_writing_leaves_the_earlier_file_and_nothing_beside_it(earlier, monkeypatch, step):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(DataError, match=r"page.html could not be written \(No space left on device\)"):
        write_whole(earlier, b"new")
    assert_untouched(earlier)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interruption_stays_one_and_leaves_the_earlier_file_and_nothing_beside_it(earlier, monkeypatch, step):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(earlier, b"new")
    assert_untouched(earlier)


def test_an_interruption_just_after_the_rename_stays_one_and_leaves_the_new_file(earlier, monkeypatch):
    def interrupt(*names, replace=os.replace):
        replace(*names)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(earlier, b"new")
    assert earlier.read_bytes() == b"new" and os.listdir(earlier.parent) == [earlier.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_told(earlier):
    earlier.with_name("page.html.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left on device"):
        write_whole(earlier, b"new")
    assert_untouched(earlier)


LIMITED = """
import resource, sys
from npcaption.errors import DataError
from npcaption.files import write_whole
for limit in (0, 1, 4096, 99_999):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_whole(sys.argv[1], bytes(100_000))
    except DataError as error:
        print(error)
"""


def test_a_disk_that_fills_up_in_the_middle_of_the_file_leaves_the_earlier_one(earlier):
    pytest.importorskip("resource", reason="needs a system that can limit the size of files")
    done = subprocess.run([sys.executable, "-c", LIMITED, earlier], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("could not be written (File too large)") == 4
    assert_untouched(earlier)


def test_a_folder_that_cannot_be_synced_is_no_failure(earlier, monkeypatch):
    def files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", files_only)
    write_whole(earlier, b"new")
    assert earlier.read_bytes() == b"new"


@pytest.mark.parametrize("name, said", [
    ("page.html/in it.html", "Not a directory"), ("nowhere/page.html", "No such file or directory"),
    ("x" * 300, "File name too long"), (".", "could not be written"), ("", "could not be written")])
def test_a_path_that_cannot_be_a_file_is_told_and_nothing_is_left(earlier, monkeypatch, name, said):
    monkeypatch.chdir(earlier.parent)
    with pytest.raises(DataError, match=said):
        write_whole(name, b"new")
    assert_untouched(earlier)
