"""Interrupted and concurrent builds of the image store."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from npcaption.data import store as store_module
from npcaption.data import store_parts
from npcaption.data.image_store import open_images
from npcaption.data.images import load_image
from tests.helpers.messages import assert_says

ROOT = Path(__file__).parents[2]


def test_two_processes_can_build_the_same_store(paths, folder, monkeypatch):
    def another_builds_it_too(images, *_):
        yield next(images)
        monkeypatch.setattr(store_module, "progress", progress)
        stores.append(open_images(paths, 8, folder))
        yield from images

    progress, stores = store_module.progress, []
    monkeypatch.setattr(store_module, "progress", another_builds_it_too)
    stores.append(open_images(paths, 8, folder))
    assert np.array_equal(stores[0].rows, stores[1].rows) and len(stores[0].rows) == 12
    assert len(os.listdir(folder)) == 1


def test_a_killed_process_s_part_is_removed_after_a_week(paths, folder):
    folder.mkdir()
    week = 7 * 24 * 3600
    store, others = f"images-8-{20 * '0'}.npy", ["kernels.part", "images-2019.part", "images-8-x.npy.00000000.part"]
    old, new = f"{store}.0000abcd.part", f"{store}.1111abcd.part"
    for name, age in [(old, week + 60), (new, 60), *((other, week + 60) for other in others)]:
        (folder / name).touch()
        os.utime(folder / name, times=(time.time() - age,) * 2)
    open_images(paths, 8, folder)
    left = {path.name for path in folder.iterdir() if path.suffix == ".part"}
    assert left == {new, *others}                            # other programs' files stay, however old


@pytest.mark.skipif(not store_parts.fcntl, reason="there are no locks")
def test_a_part_in_use_stays_under_any_clock(folder):
    folder.mkdir()
    with store_parts.claim(folder / f"images-8-{20 * '0'}.npy") as part:
        os.utime(part, times=(0, 0))                         # made before the clock was set
        store_parts.remove_abandoned(folder)
        assert part.exists()
    store_parts.remove_abandoned(folder)
    assert not part.exists()


def interrupt(monkeypatch, after):
    """Interrupt the next build of a store after that many images."""
    def interrupted(images, *_):
        monkeypatch.setattr(store_module, "progress", progress)
        yield from (next(images) for _ in range(after))
        raise KeyboardInterrupt
    progress = store_module.progress
    monkeypatch.setattr(store_module, "progress", interrupted)


@pytest.mark.parametrize("after", range(13))
def test_an_interrupted_store_is_resumed_with_the_same_result(paths, folder, monkeypatch, decoded, after, capsys):
    for i in 0, 3, 11:
        paths[i].write_text("no image")
    whole = open_images(paths, 8, folder.parent / "another")
    interrupt(monkeypatch, after)
    with pytest.raises(KeyboardInterrupt):
        open_images(paths, 8, folder, workers=1)
    decoded.clear()
    found = open_images(paths, 8, folder)
    assert sorted(decoded) == sorted(paths[after:]) and len(os.listdir(folder)) == 1
    assert found.unreadable == whole.unreadable and np.array_equal(found.rows, whole.rows)
    assert next(folder.iterdir()).read_bytes() == next((folder.parent / "another").iterdir()).read_bytes()
    assert ("Resuming" in (printed := capsys.readouterr().err)) == bool(after)
    if after:
        assert_says(printed, "image store", f"{after} of 12 images")


BUILD = """
import sys
from npcaption.data import store
from npcaption.data.image_store import open_images
def dies(images, *_):
    for number, image in enumerate(images):
        if number == 9:
            os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "dies" else print("halfway", flush=True) or input()
        yield image
import os, signal
from pathlib import Path
store.progress, store.SAVE_EVERY = dies, -1
open_images(sorted(Path(sys.argv[1]).glob("images/*")), 8, sys.argv[1] + "/store", workers=1)
"""


@pytest.mark.skipif(store_parts.fcntl is None, reason="needs a system with locks that end with their process")
def test_a_killed_process_s_store_is_resumed(paths, folder, decoded):
    paths.sort()
    assert subprocess.run([sys.executable, "-c", BUILD, folder.parent, "dies"], cwd=ROOT).returncode == -signal.SIGKILL
    store = open_images(paths, 8, folder)
    assert sorted(decoded) == sorted(paths[9:]) and len(os.listdir(folder)) == 1
    assert np.array_equal(store.rows, [load_image(path, 8) for path in paths])


@pytest.mark.skipif(store_parts.fcntl is None, reason="needs a system with locks that end with their process")
def test_a_running_process_s_part_is_not_touched(paths, folder, decoded):
    paths.sort()
    with subprocess.Popen([sys.executable, "-c", BUILD, folder.parent, "waits"], cwd=ROOT, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "halfway\n"
        store = open_images(paths, 8, folder)
        assert sorted(decoded) == sorted(paths)
        other.communicate("\n")
        assert other.returncode == 0 and len(os.listdir(folder)) == 1
    assert np.array_equal(open_images(paths, 8, folder).rows, store.rows)


@pytest.mark.parametrize("damage", [lambda part: part[:-1], lambda part: part[:300], lambda part: b"",
                                    lambda part: part[:-len("[9, []]")] + b"[99, []]"])
def test_a_part_with_a_damaged_state_is_built_from_the_start(paths, folder, monkeypatch, decoded, damage):
    interrupt(monkeypatch, after=9)
    with pytest.raises(KeyboardInterrupt):
        open_images(paths, 8, folder)
    part = next(folder.iterdir())
    part.write_bytes(damage(part.read_bytes()))
    decoded.clear()
    assert np.array_equal(open_images(paths, 8, folder).rows, [load_image(path, 8) for path in paths])
    assert sorted(decoded[:12]) == sorted(paths)


@pytest.mark.parametrize("change", [lambda paths: paths[0].write_bytes(b"other"), lambda paths: paths.pop()])
def test_other_images_do_not_resume_a_part(paths, folder, monkeypatch, decoded, change):
    interrupt(monkeypatch, after=9)
    with pytest.raises(KeyboardInterrupt):
        open_images(paths, 8, folder)
    change(paths)
    decoded.clear()
    open_images(paths, 8, folder)
    assert sorted(decoded) == sorted(paths)


def test_without_locks_a_store_is_built_but_no_part_resumed(paths, folder, monkeypatch, decoded):
    for locks in None, SimpleNamespace(flock=lambda *_: os.stat("/dev/null/x"), LOCK_EX=2, LOCK_NB=4):
        monkeypatch.setattr(store_parts, "fcntl", locks)
        interrupt(monkeypatch, after=9)
        with pytest.raises(KeyboardInterrupt):
            open_images(paths, 8, folder)
        decoded.clear()
        assert np.array_equal(open_images(paths, 8, folder).rows, [load_image(path, 8) for path in paths])
        assert sorted(decoded[:12]) == sorted(paths)
        shutil.rmtree(folder)
