"""The image store, and the progress that building it shows."""
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import npcaption.progress
from npcaption.data import store as store_module
from npcaption.data.images import load_image
from npcaption.data.store import open_store
from npcaption.errors import DataError


@pytest.fixture
def paths(tmp_path):
    """Twelve photographs of several sizes: more than two threads have in hand at once."""
    paths = [tmp_path / "photographs" / f"{i}.jpg" for i in range(12)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        Image.effect_noise((20 + i, 30), 90).convert("RGB").save(path)
    return paths


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def test_the_store_holds_what_load_image_returns_in_the_order_of_the_paths(paths, folder):
    store = open_store(paths, 16, folder, workers=2)
    assert isinstance(store, np.memmap) and store.shape == (12, 16, 16, 3) and store.dtype == np.uint8
    for image, path in zip(store, paths):
        assert np.array_equal(image, load_image(path, 16))


def test_captioning_sees_the_image_that_training_saw(paths, folder):
    trained_on = open_store(paths, 16, folder)[3]
    for source in paths[3], Image.open(paths[3]), np.asarray(Image.open(paths[3])), trained_on:
        assert np.array_equal(load_image(source, 16), trained_on)


def test_the_store_is_read_only(paths, folder):
    with pytest.raises(ValueError, match="read-only"):
        open_store(paths, 8, folder)[0] = 0


def test_the_store_is_built_once(paths, folder, monkeypatch):
    open_store(paths, 8, folder)
    built = next(folder.iterdir()).stat().st_mtime_ns
    monkeypatch.setattr(store_module, "decode", None)                    # would fail if it were called
    assert open_store(paths, 8, folder).shape == (12, 8, 8, 3)
    assert [file.stat().st_mtime_ns for file in folder.iterdir()] == [built]


def test_another_size_is_another_store(paths, folder):
    open_store(paths, 8, folder)
    assert open_store(paths, 16, folder).shape == (12, 16, 16, 3)
    assert len(os.listdir(folder)) == 2


def test_a_photograph_that_changes_makes_a_new_store(paths, folder):
    open_store(paths, 8, folder)
    Image.new("RGB", (9, 9), "blue").save(paths[0])
    assert np.array_equal(open_store(paths, 8, folder)[0], load_image(paths[0], 8))
    os.utime(paths[0], ns=(0, 0))                     # the same length, another time
    open_store(paths, 8, folder)
    assert len(os.listdir(folder)) == 3


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: whole + b"x", lambda whole: b"",
                                    lambda whole: whole.replace(b"(12, 8, 8, 3)", b"(8, 12, 8, 3)")],
                         ids=["truncated", "longer", "empty", "another shape"])
def test_a_damaged_store_is_built_again(paths, folder, damage):
    open_store(paths, 8, folder)
    file = next(folder.iterdir())
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    open_store(paths, 8, folder)
    assert file.read_bytes() == whole


def test_an_unreadable_image_is_named_and_nothing_is_left_behind(paths, folder):
    paths[5].write_text("no image")
    with pytest.raises(DataError, match="5.jpg cannot be read as an image"):
        open_store(paths, 8, folder)
    assert not os.listdir(folder)


def test_a_missing_image_is_named(paths, folder):
    with pytest.raises(DataError, match="gone.jpg cannot be read: No such file"):
        open_store([*paths, "gone.jpg"], 8, folder)


def test_an_interrupt_leaves_nothing_behind(paths, folder, monkeypatch):
    def interrupted(images, *_):
        yield next(images)
        raise KeyboardInterrupt
    monkeypatch.setattr(store_module, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_store(paths, 8, folder)
    assert not os.listdir(folder)


def test_a_disk_without_room_is_told_beforehand(paths, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=f"needs 2,304 bytes in {folder}, where 1,000 are free. "):
        open_store(paths, 8, folder)


def test_a_write_that_fails_is_told_and_nothing_is_left_behind(paths, folder):
    resource = pytest.importorskip("resource")                           # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DataError, match=f"2,304 bytes, cannot be written in {folder}: File too large"):
            open_store(paths, 8, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not os.listdir(folder)


def test_a_folder_that_cannot_be_made_is_told(paths, tmp_path):
    with pytest.raises(DataError, match="cannot be written in .*0.jpg"):
        open_store(paths, 8, paths[0])


def test_the_environment_names_the_folder(paths, folder, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(folder))
    open_store(paths, 8)
    assert len(os.listdir(folder)) == 1


def lines_of_a_job(monkeypatch, capsys, total, seconds_each):
    clock = iter(np.arange(total + 1) * seconds_each)
    monkeypatch.setattr(npcaption.progress.time, "perf_counter", lambda: next(clock))
    items = npcaption.progress.progress(range(total), total, "image store", "images")
    assert list(items) == list(range(total))
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_a_line_every_five_seconds_and_one_at_the_end(monkeypatch, capsys):
    assert lines_of_a_job(monkeypatch, capsys, total=110, seconds_each=0.1) == [
        "image store: 50/110 images, 10 images/s, 0:06 left",
        "image store: 100/110 images, 10 images/s, 0:01 left",
        "image store: 110/110 images, 10 images/s, 0:00 left"]


def test_a_short_job_says_nothing(monkeypatch, capsys):
    assert lines_of_a_job(monkeypatch, capsys, total=10, seconds_each=0.1) == []
