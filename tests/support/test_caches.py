"""Cache folders on machines of every kind, and the ownership check."""
import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from npcaption.support import caches

ROOT = Path(__file__).resolve().parents[2]
STRANGER = 65534                                             # "nobody" on nearly every Linux
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def machine(monkeypatch):
    """A folder that every user can reach, with a temporary folder in it, and without NPCAPTION_CACHE set"""
    folder = Path(tempfile.mkdtemp())
    (folder / "tmp").mkdir()
    folder.chmod(0o755)
    (folder / "tmp").chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    for name in ("NPCAPTION_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def somebody_else(user=STRANGER):
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def temporary(machine, user=None):
    return machine / "tmp" / f"npcaption-{os.geteuid() if user is None else user}"


# ------------------------------------------------------------------------------------------------------------ folders

def test_caches_go_to_the_users_cache_folder_silently(machine, capsys):
    (machine / "home").mkdir()
    assert caches.folders() == [machine / "home/.cache/npcaption", temporary(machine)]
    assert caches.folder_to_write() == machine / "home/.cache/npcaption"
    assert stat.S_IMODE((machine / "home/.cache/npcaption").stat().st_mode) == 0o700
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("variable, value, expected", [
    ("NPCAPTION_CACHE", "{machine}/here/it is", "{machine}/here/it is"),
    ("NPCAPTION_CACHE", "~/mine", "{machine}/home/mine"),
    ("NPCAPTION_CACHE", "mine/../yours", "{machine}/yours"),
    ("NPCAPTION_CACHE", "", "{machine}/home/.cache/npcaption"),
    ("XDG_CACHE_HOME", "{machine}/xdg", "{machine}/xdg/npcaption"),
    ("XDG_CACHE_HOME", "relative", "{machine}/home/.cache/npcaption")])
def test_variables_name_the_folder(machine, monkeypatch, variable, value, expected):
    (machine / "home").mkdir()
    monkeypatch.chdir(machine)
    monkeypatch.setenv(variable, value.format(machine=machine))
    expected = Path(expected.format(machine=machine))
    assert caches.folders()[0] == caches.folder_to_write() == expected and expected.is_dir()


def test_the_variable_is_read_at_every_call(machine, monkeypatch):
    for name in ("one", "two"):
        monkeypatch.setenv("NPCAPTION_CACHE", str(machine / name))
        assert caches.folder_to_write() == machine / name


@pytest.mark.parametrize("home", [None, "/nonexistent"])
def test_without_a_home_caches_go_to_the_temporary_folder(machine, monkeypatch, home):
    def unknown():
        raise RuntimeError("Could not determine home directory.")  # an unknown user
    monkeypatch.delenv("HOME")
    if home:
        monkeypatch.setenv("HOME", home)
    else:
        monkeypatch.setattr(Path, "home", unknown)
    assert caches.folder_to_write() == temporary(machine)
    assert stat.S_IMODE(temporary(machine).stat().st_mode) == 0o700
    assert not os.path.exists("/nonexistent")


@as_root
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_with_a_read_only_home_they_go_to_the_temporary_folder_with_one_note(machine, capsys, mode):
    (machine / "home").mkdir(mode=mode)
    with somebody_else():
        assert caches.folder_to_write() == caches.folder_to_write() == temporary(machine, STRANGER)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"{machine}/home/.cache/npcaption cannot hold caches (Permission denied)")
    assert "NPCAPTION_CACHE" in said


@pytest.mark.parametrize("blocked", ["home/.cache/npcaption", "home/.cache", "named"])
def test_a_file_in_the_place_of_the_folder_is_noted(machine, monkeypatch, capsys, blocked):
    (machine / blocked).parent.mkdir(parents=True, exist_ok=True)
    (machine / blocked).write_text("")
    if blocked == "named":
        monkeypatch.setenv("NPCAPTION_CACHE", str(machine / blocked))
    assert caches.folder_to_write() == temporary(machine)
    assert "cannot hold caches (" in capsys.readouterr().err


def test_a_full_folder_is_skipped(machine, monkeypatch, capsys):
    made = tempfile.TemporaryFile

    def full(dir):
        if dir.name == "full":
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return made(dir=dir)
    monkeypatch.setenv("NPCAPTION_CACHE", str(machine / "full"))
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert caches.folder_to_write() == temporary(machine)
    assert os.strerror(errno.EDQUOT) in capsys.readouterr().err


def test_without_a_temporary_folder_the_others_are_used(machine, monkeypatch):
    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")
    monkeypatch.setattr(tempfile, "gettempdir", none)
    (machine / "home").mkdir()
    assert caches.folder_to_write() == machine / "home/.cache/npcaption"
    monkeypatch.setenv("HOME", "/nonexistent")
    assert caches.folders() == [] and caches.folder_to_write() is None


def test_a_relative_name_is_skipped_if_the_current_folder_is_gone(machine):
    code = ("import os\nfrom npcaption.support import caches\n"
            "os.makedirs('gone'); os.chdir('gone'); os.rmdir('../gone'); print(caches.folder_to_write())")
    environment = os.environ | {"NPCAPTION_CACHE": "here", "TMPDIR": str(machine / "tmp"), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=machine, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, str(temporary(machine))), ran.stderr


@as_root
def test_a_user_without_a_name_and_a_home_has_a_folder_too(machine):
    code = "import os, pwd\nfrom npcaption.support import caches\nos.setuid(54321); print(caches.folder_to_write())"
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(machine / "tmp"), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, str(temporary(machine, 54321)), "")


# ---------------------------------------------------------------------------------------------------------- ownership

@as_root
@pytest.mark.parametrize("trap", ["a folder of somebody else's", "a link to my own folder",
                                  "a folder that others can write to", "a dangling link", "a file"])
def test_a_temporary_folder_that_somebody_else_prepared_is_neither_read_nor_written(machine, monkeypatch, capsys, trap):
    monkeypatch.setenv("HOME", "/nonexistent")
    mine, folder = machine / "downloads", temporary(machine)
    mine.mkdir()
    if trap == "a folder of somebody else's":
        folder.mkdir()
        os.chown(folder, STRANGER, STRANGER)
    elif "link" in trap:
        folder.symlink_to(machine / "nothing" if "dangling" in trap else mine)
    elif trap == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    assert caches.folders() == [] and caches.folder_to_write() is None
    assert not (machine / "nothing").exists() and not any(mine.iterdir())


@as_root
def test_only_files_writable_by_this_user_or_root_alone_are_opened(machine):
    def opened(mode, owner, by):
        file = machine / "file"
        file.write_bytes(b"content")
        os.chown(file, owner, owner)
        file.chmod(mode)
        with somebody_else(by):
            found = caches.open_own(file)
            if found:
                with found:
                    assert found.read() == b"content"
            return found is not None
    for owner, by in [(0, 0), (STRANGER, STRANGER), (0, STRANGER)]:
        modes = 0o600, 0o644, 0o444, 0o755, 0o664, 0o646, 0o666, 0o777
        assert [mode for mode in modes if opened(mode, owner, by)] == (
            [0o644, 0o444, 0o755] if owner != by else [0o600, 0o644, 0o444, 0o755]), (owner, by)
    for owner, by in [(STRANGER, 0), (STRANGER - 1, STRANGER)]:
        assert not any(opened(mode, owner, by) for mode in (0o600, 0o644, 0o444))


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a pipe", "a broken link", "a name that cannot be"])
def test_only_regular_files_are_opened_and_nothing_blocks(tmp_path, kind):
    path = tmp_path / "it"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path, 0o600)
    elif kind == "a broken link":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "a name that cannot be":
        path = tmp_path / "a\0b"
    assert caches.open_own(path) is None


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_with_any_umask_only_this_user_can_write_the_folder(machine, mask):
    with umask(mask):
        folder = caches.folder_to_write()
    assert caches.is_own(folder.stat())
