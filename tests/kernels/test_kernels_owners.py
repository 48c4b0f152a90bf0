"""Compiled kernels of other users: never run, shared from root, kept apart in a shared folder."""
import os
import stat

import pytest

from npcaption.kernels import compilation
from npcaption.support import caches
from tests.helpers.kernel_cache import adds, packed
from tests.helpers.kernel_checks import compiled  # noqa: F401 (a fixture)
from tests.support.test_caches import STRANGER, as_root, somebody_else

pytestmark = pytest.mark.slow


class Trap:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.makedirs, (str(self.folder),)


def set_trap(file, sprung, owner=0, mode=0o644):
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(packed(Trap(sprung)))
    os.chown(file, owner, owner)
    file.chmod(mode)


@as_root
@pytest.mark.parametrize("owner, mode", [(STRANGER, 0o644), (STRANGER, 0o600), (0, 0o664), (0, 0o646), (0, 0o666)])
@pytest.mark.parametrize("number", [0, 1])
def test_code_that_another_user_could_have_written_is_never_run(cache, start, tmp_path, owner, mode, number):
    sprung = tmp_path / "sprung"
    folder = caches.folders()[number]
    folder.mkdir(mode=0o700, exist_ok=True)
    set_trap(folder / compilation.file_names()[0], sprung, owner, mode)
    cold, kernel = start()
    assert cold and adds(kernel) and not sprung.exists()
    assert not start()[0]                                    # the trap is replaced, or is never come to


@as_root
def test_a_temporary_folder_that_another_user_prepared_is_not_looked_into(cache, start, tmp_path, monkeypatch):
    sprung, folder, downloads = tmp_path / "sprung", caches.folders()[1], cache.parent / "downloads"
    set_trap(downloads / compilation.file_names()[0], sprung)  # a file of this user's, but what is in it is not
    folder.symlink_to(downloads)
    assert adds(start()[1]) and not sprung.exists()
    folder.unlink()
    downloads.rename(folder)
    os.chown(folder, STRANGER, STRANGER)
    monkeypatch.setenv("NPCAPTION_CACHE", str(cache.parent / "other"))
    assert adds(start()[1]) and not sprung.exists()
    os.chown(folder, 0, 0)
    monkeypatch.setenv("NPCAPTION_CACHE", str(cache.parent / "third"))
    assert adds(start()[1]) and sprung.exists(), "the trap works where the file is this user's own"


@as_root
def test_what_root_compiled_serves_every_user_where_nothing_can_be_written(cache, start, capsys):
    start()
    with somebody_else():
        cold, kernel = start()
    assert not cold and adds(kernel) and capsys.readouterr().err == ""


@as_root
def test_users_who_share_a_folder_each_keep_their_own_and_read_no_other(cache, start, capsys):
    cache.chmod(0o1777)
    for user in (STRANGER, STRANGER - 1):
        with somebody_else(user):
            assert start()[0]
    for user in (STRANGER, STRANGER - 1):
        with somebody_else(user):
            assert not start()[0]
    assert len(list(cache.iterdir())) == 2 and capsys.readouterr().err == ""


@as_root
def test_where_only_another_user_can_write_kernels_go_to_the_temporary_folder_and_are_found_there(cache, start, capsys):
    os.chown(cache, STRANGER - 1, STRANGER - 1)
    with somebody_else():
        assert start()[0] and "cannot hold caches (Permission denied)" in capsys.readouterr().err
        assert not start()[0] and capsys.readouterr().err == ""


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_with_any_umask_nobody_else_can_write_the_file(cache, start, mask):
    before = os.umask(mask)
    try:
        assert start()[0] and not start()[0]
    finally:
        os.umask(before)
    assert stat.S_IMODE(next(cache.iterdir()).stat().st_mode) == 0o644 & ~mask
