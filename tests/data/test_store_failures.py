"""Failures of the image store: unreadable images, damaged files, unusable folders."""
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from npcaption.data import image_store
from npcaption.data import store as store_module
from npcaption.data.image_store import open_images
from npcaption.data.images import load_image
from npcaption.errors import DataError
from tests.helpers.refusals import refused


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make files of other users")
def test_a_store_writable_for_another_user_is_not_read(paths, folder):
    right = open_images(paths, 8, folder).rows.copy()
    file = next(folder.iterdir())
    for forge in lambda: os.chown(file, 65534, 65534), lambda: file.chmod(0o664), lambda: file.chmod(0o646):
        file.write_bytes(file.read_bytes().replace(right[0].tobytes(), bytes(192)))
        forge()
        assert np.array_equal(open_images(paths, 8, folder).rows, right)
    names = {path.name for path in folder.iterdir()}
    assert names == {file.name, f"{file.stem}-0.npy"}        # the other user's file stays


def test_a_store_is_never_written_through_a_link(paths, folder, tmp_path):
    folder.mkdir()
    target = tmp_path / "target"
    target.write_text("not for pixels")
    part = f"images-8-{store_module.fingerprint(paths, image_store.contents(8, 1).key)}.npy.00000000.part"
    (folder / part).symlink_to(target)
    open_images(paths, 8, folder)
    assert target.read_text() == "not for pixels"


@pytest.mark.parametrize("damage", [
    lambda whole: whole[:-1], lambda whole: whole[:1000], lambda whole: whole + b"x", lambda whole: b"",
    lambda whole: whole.replace(b"(12, 8, 8, 3)", b"(8, 12, 8, 3)"), lambda whole: whole.replace(b"|u1", b"|i1"),
    lambda whole: whole.replace(b"False", b"True "), lambda whole: whole[:20] + b"(((((((" + whole[27:],
    lambda whole: whole[:-2], lambda whole: whole[:-2] + bytes(2),
    lambda whole: whole[:-2] + b'[[0, "no image", true]]'],
    ids=["truncated", "half", "longer", "empty", "another shape", "another type", "another order", "no header",
         "no end", "zeros at the end", "another number of images"])
def test_a_damaged_store_is_built_again(paths, folder, damage):
    open_images(paths, 8, folder)
    file = next(folder.iterdir())
    whole = file.read_bytes()
    assert damage(whole) != whole
    file.write_bytes(damage(whole))
    open_images(paths, 8, folder)
    assert file.read_bytes() == whole


def test_unreadable_images_are_skipped_and_remembered(paths, folder, monkeypatch):
    paths[5].write_text("no image")
    paths[7].write_bytes(paths[7].read_bytes()[:700])
    for _ in range(2):
        store = open_images(paths, 8, folder)
        assert list(store.unreadable) == [5, 7]
        assert "it is text" in store.unreadable[5] and "truncated" in store.unreadable[7]
        readable = [path for number, path in enumerate(paths) if number not in (5, 7)]
        assert np.array_equal(store.rows, [load_image(path, 8) for path in readable])
        monkeypatch.setattr(image_store, "decode", None)                # a call would fail


def test_a_fixed_image_is_read(paths, folder):
    paths[5].write_text("no image")
    assert open_images(paths, 8, folder).unreadable
    Image.new("RGB", (9, 9), "blue").save(paths[5])
    assert not open_images(paths, 8, folder).unreadable


@pytest.mark.parametrize("error", [
    PermissionError(13, "Permission denied"), OSError(5, "Input/output error"), MemoryError()])
def test_a_temporary_error_skips_an_image_only_once(paths, folder, monkeypatch, error):
    def failing_decode(path, size):
        if path == paths[5]:
            raise DataError() from error
        return decode(path, size)

    decode = image_store.decode
    monkeypatch.setattr(image_store, "decode", failing_decode)
    assert list(open_images(paths, 8, folder).unreadable) == [5]
    monkeypatch.setattr(image_store, "decode", decode)
    assert not open_images(paths, 8, folder).unreadable


def test_a_missing_image_is_skipped(paths, folder):
    unreadable = open_images([*paths, "gone.jpg", "a\0.jpg"], 8, folder).unreadable
    assert list(unreadable) == [12, 13] and unreadable[12] == "No such file or directory"
    assert "embedded null" in unreadable[13]


def test_only_unreadable_images_are_refused_and_no_file_is_left(paths, folder):
    for path in paths:
        path.write_text("no image")
    with refused(DataError, "All 12 images are unreadable", "/0.jpg: it is text", "Use JPEGs, PNGs"):
        open_images(paths, 8, folder)
    assert not os.listdir(folder)


def test_a_full_disk_is_refused_before_the_work(paths, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with refused(DataError, "2,304 bytes", str(folder), "1,000", "NPCAPTION_CACHE"):
        open_images(paths, 8, folder)


def test_a_failed_write_is_refused_and_leaves_no_file(paths, folder):
    resource = pytest.importorskip("resource")                           # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with refused(DataError, f"image store {folder}/", "2,304 bytes", "File too large", "NPCAPTION_CACHE"):
            open_images(paths, 8, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not os.listdir(folder)


def test_a_file_in_the_place_of_the_folder_is_refused(paths, tmp_path):
    with refused(DataError, "0.jpg/", "cannot be written", "NPCAPTION_CACHE"):
        open_images(paths, 8, paths[0])


def test_a_folder_in_the_place_of_the_store_is_refused(paths, folder):
    open_images(paths, 8, folder)
    file = next(folder.iterdir())
    file.unlink()
    (file / "something").mkdir(parents=True)
    with refused(DataError, str(file), "cannot be written", "Is a directory"):
        open_images(paths, 8, folder)
    assert os.listdir(folder) == [file.name]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs a system with users")
def test_a_store_in_a_read_only_folder_is_used_and_a_new_one_refused(paths, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)                                     # its parents can be closed to other users
    paths, inside = [path.relative_to(folder.parent) for path in paths], folder.relative_to(folder.parent)
    open_images(paths, 8, inside)
    folder.parent.chmod(0o755)
    folder.chmod(0o555)
    user = os.geteuid()
    os.seteuid(user or 65534)                                            # root can always write
    try:
        assert len(open_images(paths, 8, inside).rows) == 12
        with refused(DataError, "cannot be written", "Permission denied", "NPCAPTION_CACHE"):
            open_images(paths, 16, inside)
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_a_folder_without_memory_mapping_is_refused(paths, folder, monkeypatch):
    monkeypatch.setattr(np, "memmap", lambda *_, **__: int("no such device"))
    with refused(DataError, str(folder), "cannot be mapped", "NPCAPTION_CACHE"):
        open_images(paths, 8, folder)
