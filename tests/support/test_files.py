"""Atomic file writes and the checks of output paths."""
import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from npcaption.errors import DataError
from npcaption.support import files
from npcaption.support.files import check_writable, clear_unfinished, write_whole

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def earlier(tmp_path):
    """An existing file, alone in its folder."""
    path = tmp_path / "page.html"
    path.write_bytes(b"earlier")
    return path


def assert_untouched(path):
    assert path.read_bytes() == b"earlier" and os.listdir(path.parent) == [path.name]


def test_a_file_is_replaced_and_nothing_is_left_beside_it(earlier):
    write_whole(earlier, b"new")
    assert earlier.read_bytes() == b"new" and os.listdir(earlier.parent) == [earlier.name]


def test_other_files_in_the_folder_are_untouched_whatever_their_names(earlier):
    others = [earlier.with_name(name) for name in ("page.html.part", "page.html~", "page.html.tmp", ".page.html.swp")]
    for other in others:
        other.write_bytes(b"a file of the user's")
    write_whole(earlier, b"new")
    assert earlier.read_bytes() == b"new" and all(other.read_bytes() == b"a file of the user's" for other in others)
    assert len(os.listdir(earlier.parent)) == 5


@pytest.mark.parametrize("name", ["x" * 250, "\N{SNOWMAN}" * 83], ids=["ASCII", "of three bytes each"])
def test_a_name_as_long_as_the_system_allows_is_written(earlier, name):
    write_whole(earlier.with_name(name), b"new")
    assert earlier.with_name(name).read_bytes() == b"new" and len(os.listdir(earlier.parent)) == 2


def test_unfinished_files_of_killed_writes_are_removed_and_nothing_else(earlier):
    for name in ("page.html", "x" * 250):
        path = earlier.with_name(name)
        half = earlier.with_name(f"{name[:128]}.0123abcd.part")
        others = [earlier.with_name(name[:128] + end) for end in (
            ".part", ".0123abcd.part.txt", ".0123ABCD.part", ".notes.part", ".0123abcde.part", ".0123abc.part")]
        folder = earlier.with_name(f"{name[:128]}.76543210.part")
        folder.mkdir()
        for file in (half, *others):
            file.write_bytes(b"")
        clear_unfinished(path)
        assert not half.exists() and folder.is_dir() and all(other.exists() for other in others)


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
def test_an_interruption_is_raised_and_leaves_the_earlier_file_and_nothing_beside_it(earlier, monkeypatch, step):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(earlier, b"new")
    assert_untouched(earlier)


def test_an_interruption_just_after_the_rename_is_raised_and_leaves_the_new_file(earlier, monkeypatch):
    def interrupt(*names, replace=os.replace):
        replace(*names)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(earlier, b"new")
    assert earlier.read_bytes() == b"new" and os.listdir(earlier.parent) == [earlier.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_reported(earlier):
    link = earlier.with_name("link")
    link.symlink_to("/dev/full")                             # a device is written to, not replaced
    with pytest.raises(DataError, match="link could not be written .No space left on device"):
        write_whole(link, b"new")
    link.unlink()
    assert_untouched(earlier)


LIMITED = """
import resource, sys
from npcaption.errors import DataError
from npcaption.support.files import write_whole
for limit in (0, 1, 4096, 99_999):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_whole(sys.argv[1], bytes(100_000))
    except DataError as error:
        print(error)
"""


def test_a_disk_that_fills_up_in_the_middle_of_the_file_leaves_the_earlier_one(earlier):
    pytest.importorskip("resource", reason="needs a system that can limit the size of files")
    done = subprocess.run([sys.executable, "-c", LIMITED, earlier], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert done.stdout.count("could not be written (File too large)") == 4
    assert_untouched(earlier)


@pytest.mark.parametrize("refusals, written", [(0, True), (2, True), (3, False)])
def test_on_windows_a_file_that_another_program_has_open_is_replaced_once_it_is_closed(earlier, monkeypatch,
                                                                                           refusals, written):
    waited, left = [], [PermissionError(errno.EACCES, "Access is denied")] * refusals

    def replace(*names, replace=os.replace):
        if left:
            raise left.pop()
        replace(*names)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files, "WAITS", (0.1, 0.2))
    monkeypatch.setattr(files, "time", SimpleNamespace(sleep=waited.append))
    if written:
        write_whole(earlier, b"new")
        assert earlier.read_bytes() == b"new" and os.listdir(earlier.parent) == [earlier.name]
    else:
        with pytest.raises(DataError, match="could not be written .Access is denied"):
            write_whole(earlier, b"new")
        assert_untouched(earlier)
    assert waited == [0.1, 0.2][:refusals]


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
def test_a_path_that_cannot_be_a_file_is_refused_and_nothing_is_left(earlier, monkeypatch, name, said):
    monkeypatch.chdir(earlier.parent)
    with pytest.raises(DataError, match=said):
        write_whole(name, b"new")
    assert_untouched(earlier)


def test_an_output_that_is_an_input_under_another_name_is_refused(earlier):
    other, link, hard = (earlier.with_name(name) for name in ("other.html", "link.html", "hard.html"))
    link.symlink_to(earlier.name)
    hard.hardlink_to(earlier)
    for name in (earlier, link, hard, earlier.parent / "." / ".." / earlier.parent.name / earlier.name):
        with pytest.raises(DataError, match="would be overwritten"):
            check_writable(name, [other, earlier])
    with pytest.raises(DataError, match="would be overwritten"):  # two outputs with one name, neither written yet
        check_writable(other, [earlier.parent / "." / "other.html"])
    check_writable(other, [earlier])
    check_writable(os.devnull, [os.devnull])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can try what others may not do")
def test_a_read_only_file_or_folder_is_refused_before_the_work():
    folder = Path(tempfile.mkdtemp())
    file = folder / "scores.json"
    file.write_bytes(b"earlier")
    file.chmod(0o444)
    try:
        folder.chmod(0o777)
        os.setegid(65534), os.seteuid(65534)
        with pytest.raises(DataError, match="scores.json cannot be written: no permission"):
            check_writable(file)
        with pytest.raises(DataError, match="scores.json could not be written .it is read-only"):
            write_whole(file, b"new")
        check_writable(folder / "new.json")
        os.seteuid(0)
        folder.chmod(0o555)
        os.seteuid(65534)
        with pytest.raises(DataError, match="new.json cannot be written: no permission"):
            check_writable(folder / "new.json")
    finally:
        os.seteuid(0), os.setegid(0)
        assert file.read_bytes() == b"earlier"
        shutil.rmtree(folder)
