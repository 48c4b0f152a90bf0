"""The image store: contents, identity, place, and progress of the build."""
import os
import sys

import numpy as np
import pytest
from PIL import Image

import npcaption.support.progress
from npcaption.data import image_store
from npcaption.data import store as store_module
from npcaption.data.image_store import open_images
from npcaption.data.images import load_image
from npcaption.data.store import release


def test_the_store_holds_load_images_pixels_in_the_order_of_the_paths(paths, folder):
    store = open_images(paths, 16, folder, workers=2).rows
    assert isinstance(store, np.memmap) and store.shape == (12, 16, 16, 3) and store.dtype == np.uint8
    for image, path in zip(store, paths):
        assert np.array_equal(image, load_image(path, 16))


def test_captioning_and_training_load_the_same_pixels(paths, folder):
    trained_on = open_images(paths, 16, folder).rows[3]
    for source in paths[3], Image.open(paths[3]), np.asarray(Image.open(paths[3])), trained_on:
        assert np.array_equal(load_image(source, 16), trained_on)


def test_the_store_is_read_only(paths, folder):
    with pytest.raises(ValueError, match="read-only"):
        open_images(paths, 8, folder).rows[0] = 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's count of resident pages")
def test_released_pages_leave_the_process_and_can_be_read_again(tmp_path, folder):
    def mapped():
        return int(next(line for line in open("/proc/self/status") if line.startswith("RssFile")).split()[1])   # KiB
    Image.effect_noise((500, 500), 90).convert("RGB").save(tmp_path / "a.png")
    store = open_images([tmp_path / "a.png"] * 16, 512, folder).rows[2:]            # 11 MiB
    before = store.copy()
    held = mapped()
    release(store)
    assert held - mapped() > 8000
    assert np.array_equal(store, before)
    release(before)                                                      # an array in memory: no effect


def test_the_store_is_built_once(paths, folder, monkeypatch):
    open_images(paths, 8, folder)
    built = next(folder.iterdir()).stat().st_mtime_ns
    monkeypatch.setattr(image_store, "decode", None)                    # a call would fail
    assert open_images(paths, 8, folder).rows.shape == (12, 8, 8, 3)
    assert [file.stat().st_mtime_ns for file in folder.iterdir()] == [built]


def test_another_size_has_another_store(paths, folder):
    open_images(paths, 8, folder)
    assert open_images(paths, 16, folder).rows.shape == (12, 16, 16, 3)
    assert len(os.listdir(folder)) == 2


def test_a_changed_image_makes_a_new_store(paths, folder):
    open_images(paths, 8, folder)
    Image.new("RGB", (9, 9), "blue").save(paths[0])
    assert np.array_equal(open_images(paths, 8, folder).rows[0], load_image(paths[0], 8))
    os.utime(paths[0], ns=(0, 0))                     # the same length, another time
    open_images(paths, 8, folder)
    assert len(os.listdir(folder)) == 3


def twins(tmp_path):
    """Two folders of images with equal names, lengths and times, but other pixels"""
    found, names = [], ("a.bmp", "b.bmp")
    for folder, colour in ("one", "blue"), ("two", "red"):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("RGB", (9, 9), colour).save(tmp_path / folder / name)
            os.utime(tmp_path / folder / name, ns=(1, 1))
        found.append([tmp_path / folder / name for name in names])
    return found


def test_images_in_another_folder_with_equal_names_lengths_and_times_have_another_store(tmp_path, folder):
    for paths in twins(tmp_path):
        assert np.array_equal(open_images(paths, 8, folder).rows[0], load_image(paths[0], 8))
    assert len(os.listdir(folder)) == 2


def test_replaced_images_with_equal_names_lengths_and_times_have_another_store(tmp_path, folder, monkeypatch):
    one, two = twins(tmp_path)
    before = open_images(one, 8, folder).rows[0].copy()
    os.rename(tmp_path / "one", tmp_path / "old")            # like another data set mounted in the same place
    os.rename(tmp_path / "two", tmp_path / "one")
    assert not np.array_equal(open_images(one, 8, folder).rows[0], before)
    for path in one:                                         # like an archive unpacked over it
        Image.new("RGB", (9, 9), "green").save(path)
        os.utime(path, ns=(1, 1))
    assert np.array_equal(open_images(one, 8, folder).rows[0], load_image(one[0], 8))
    times = os.stat(one[0])
    stat, key = os.stat, image_store.contents(8, 1).key
    monkeypatch.setattr(os, "stat", lambda path, *_, **__: times if str(path).endswith(".bmp") else stat(path))
    found = store_module.fingerprint(one, key)
    Image.new("RGB", (9, 9), "white").save(one[1])           # equal times: the sampled content differs
    assert store_module.fingerprint(one, key) != found


def test_another_version_builds_another_store(paths, folder, monkeypatch):
    for module, name in (image_store, "VERSION"), (image_store.PIL, "__version__"):
        open_images(paths, 8, folder)
        before = len(os.listdir(folder))
        monkeypatch.setattr(module, name, "another")
        open_images(paths, 8, folder)
        assert len(os.listdir(folder)) == before + 1


def test_the_environment_sets_the_folder(paths, folder, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(folder))
    open_images(paths, 8)
    assert len(os.listdir(folder)) == 1


def progress_lines(monkeypatch, capsys, total, seconds_each):
    clock = iter(np.arange(total + 1) * seconds_each)
    monkeypatch.setattr(npcaption.support.progress.time, "perf_counter", lambda: next(clock))
    items = npcaption.support.progress.progress(range(total), total, "image store", "images")
    assert list(items) == list(range(total))
    return capsys.readouterr().err.splitlines()


def test_progress_in_a_log_has_a_line_every_five_seconds_and_one_at_the_end(monkeypatch, capsys):
    assert progress_lines(monkeypatch, capsys, total=110, seconds_each=0.1) == [
        "image store: 50/110 images, 10 images/s, 0:06 left",
        "image store: 100/110 images, 10 images/s, 0:01 left",
        "image store: 110/110 images, 10 images/s, 0:00 left"]


def test_a_short_job_prints_no_progress(monkeypatch, capsys):
    assert progress_lines(monkeypatch, capsys, total=10, seconds_each=0.1) == []
