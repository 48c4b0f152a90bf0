"""The image store, and the progress that building it shows."""
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
from PIL import Image

import npcaption.support.progress
from npcaption.data import image_store, store_parts
from npcaption.data import store as store_module
from npcaption.data.image_store import open_images
from npcaption.data.images import load_image
from npcaption.data.store import release
from npcaption.errors import DataError

ROOT = Path(__file__).parents[2]


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
    store = open_images(paths, 16, folder, workers=2).rows
    assert isinstance(store, np.memmap) and store.shape == (12, 16, 16, 3) and store.dtype == np.uint8
    for image, path in zip(store, paths):
        assert np.array_equal(image, load_image(path, 16))


def test_captioning_sees_the_image_that_training_saw(paths, folder):
    trained_on = open_images(paths, 16, folder).rows[3]
    for source in paths[3], Image.open(paths[3]), np.asarray(Image.open(paths[3])), trained_on:
        assert np.array_equal(load_image(source, 16), trained_on)


def test_the_store_is_read_only(paths, folder):
    with pytest.raises(ValueError, match="read-only"):
        open_images(paths, 8, folder).rows[0] = 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's count of resident pages")
def test_released_pages_no_longer_count_as_the_process_s_and_can_be_read_again(tmp_path, folder):
    def mapped():
        return int(next(line for line in open("/proc/self/status") if line.startswith("RssFile")).split()[1])   # KiB
    Image.effect_noise((500, 500), 90).convert("RGB").save(tmp_path / "a.png")
    store = open_images([tmp_path / "a.png"] * 16, 512, folder).rows[2:]            # 11 MiB
    before = store.copy()
    held = mapped()
    release(store)
    assert held - mapped() > 8000
    assert np.array_equal(store, before)
    release(before)                                                      # an array in memory: nothing happens


def test_the_store_is_built_once(paths, folder, monkeypatch):
    open_images(paths, 8, folder)
    built = next(folder.iterdir()).stat().st_mtime_ns
    monkeypatch.setattr(image_store, "decode", None)                    # would fail if it were called
    assert open_images(paths, 8, folder).rows.shape == (12, 8, 8, 3)
    assert [file.stat().st_mtime_ns for file in folder.iterdir()] == [built]


def test_another_size_is_another_store(paths, folder):
    open_images(paths, 8, folder)
    assert open_images(paths, 16, folder).rows.shape == (12, 16, 16, 3)
    assert len(os.listdir(folder)) == 2


def test_a_photograph_that_changes_makes_a_new_store(paths, folder):
    open_images(paths, 8, folder)
    Image.new("RGB", (9, 9), "blue").save(paths[0])
    assert np.array_equal(open_images(paths, 8, folder).rows[0], load_image(paths[0], 8))
    os.utime(paths[0], ns=(0, 0))                     # the same length, another time
    open_images(paths, 8, folder)
    assert len(os.listdir(folder)) == 3


def twins(tmp_path):
    """Two folders of images of the same names, lengths and times, and other pixels."""
    found, names = [], ("a.bmp", "b.bmp")
    for folder, colour in ("one", "blue"), ("two", "red"):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("RGB", (9, 9), colour).save(tmp_path / folder / name)
            os.utime(tmp_path / folder / name, ns=(1, 1))
        found.append([tmp_path / folder / name for name in names])
    return found


def test_images_of_the_same_names_lengths_and_times_in_another_folder_are_other_images(tmp_path, folder):
    for paths in twins(tmp_path):
        assert np.array_equal(open_images(paths, 8, folder).rows[0], load_image(paths[0], 8))
    assert len(os.listdir(folder)) == 2


def test_images_of_the_same_names_lengths_and_times_in_the_same_folder_are_other_images(tmp_path, folder, monkeypatch):
    one, two = twins(tmp_path)
    before = open_images(one, 8, folder).rows[0].copy()
    os.rename(tmp_path / "one", tmp_path / "old")            # as another data set mounted in the place of the first
    os.rename(tmp_path / "two", tmp_path / "one")
    assert not np.array_equal(open_images(one, 8, folder).rows[0], before)
    for path in one:                                         # as an archive unpacked over it
        Image.new("RGB", (9, 9), "green").save(path)
        os.utime(path, ns=(1, 1))
    assert np.array_equal(open_images(one, 8, folder).rows[0], load_image(one[0], 8))
    times = os.stat(one[0])
    monkeypatch.setattr(os, "stat", lambda path, *_, stat=os.stat, **__: times if str(path).endswith(".bmp") else stat(path))
    known = store_module.fingerprint(one, image_store.contents(8, 1).key)                    # even where no time tells, the content of some does
    Image.new("RGB", (9, 9), "white").save(one[1])
    assert store_module.fingerprint(one, image_store.contents(8, 1).key) != known


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make files of other users")
def test_a_store_that_another_user_could_have_written_is_not_read(paths, folder):
    right = open_images(paths, 8, folder).rows.copy()
    file = next(folder.iterdir())
    for forge in lambda: os.chown(file, 65534, 65534), lambda: file.chmod(0o664), lambda: file.chmod(0o646):
        file.write_bytes(file.read_bytes().replace(right[0].tobytes(), bytes(192)))
        forge()
        assert np.array_equal(open_images(paths, 8, folder).rows, right)
    names = {path.name for path in folder.iterdir()}
    assert names == {file.name, f"{file.stem}-0.npy"}        # theirs stays where it is


def test_a_store_is_never_written_through_a_link_that_somebody_laid(paths, folder, tmp_path):
    folder.mkdir()
    mine = tmp_path / "mine"
    mine.write_text("not for pixels")
    part = f"images-8-{store_module.fingerprint(paths, image_store.contents(8, 1).key)}.npy.00000000.part"
    (folder / part).symlink_to(mine)
    open_images(paths, 8, folder)
    assert mine.read_text() == "not for pixels"


@pytest.mark.parametrize("damage", [
    lambda whole: whole[:-1], lambda whole: whole[:1000], lambda whole: whole + b"x", lambda whole: b"",
    lambda whole: whole.replace(b"(12, 8, 8, 3)", b"(8, 12, 8, 3)"), lambda whole: whole.replace(b"|u1", b"|i1"),
    lambda whole: whole.replace(b"False", b"True "), lambda whole: whole[:20] + b"(((((((" + whole[27:],
    lambda whole: whole[:-2], lambda whole: whole[:-2] + bytes(2), lambda whole: whole[:-2] + b'[[0, "no image", true]]'],
    ids=["truncated", "half", "longer", "empty", "another shape", "another type", "another order", "no header", "no end",
         "zeros at the end", "another number of images"])
def test_a_damaged_store_is_built_again(paths, folder, damage):
    open_images(paths, 8, folder)
    file = next(folder.iterdir())
    whole = file.read_bytes()
    assert damage(whole) != whole
    file.write_bytes(damage(whole))
    open_images(paths, 8, folder)
    assert file.read_bytes() == whole


def test_a_store_of_another_version_is_built_again(paths, folder, monkeypatch):
    for module, name in (image_store, "VERSION"), (image_store.PIL, "__version__"):
        open_images(paths, 8, folder)
        before = len(os.listdir(folder))
        monkeypatch.setattr(module, name, "another")
        open_images(paths, 8, folder)
        assert len(os.listdir(folder)) == before + 1


def test_an_unreadable_image_is_left_out_and_named_without_decoding_again(paths, folder, monkeypatch):
    paths[5].write_text("no image")
    paths[7].write_bytes(paths[7].read_bytes()[:700])
    for _ in range(2):
        store = open_images(paths, 8, folder)
        assert list(store.unreadable) == [5, 7]
        assert "it is text" in store.unreadable[5] and "truncated" in store.unreadable[7]
        readable = [path for number, path in enumerate(paths) if number not in (5, 7)]
        assert np.array_equal(store.rows, [load_image(path, 8) for path in readable])
        monkeypatch.setattr(image_store, "decode", None)                # would fail if it were called


def test_an_image_that_was_mended_is_read(paths, folder):
    paths[5].write_text("no image")
    assert open_images(paths, 8, folder).unreadable
    Image.new("RGB", (9, 9), "blue").save(paths[5])
    assert not open_images(paths, 8, folder).unreadable


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error"), MemoryError()])
def test_a_fault_of_the_machine_leaves_an_image_out_once_but_not_for_good(paths, folder, monkeypatch, fault):
    def decode_on_a_bad_day(path, size):
        if path == paths[5]:
            raise DataError() from fault
        return decode(path, size)

    decode = image_store.decode
    monkeypatch.setattr(image_store, "decode", decode_on_a_bad_day)
    assert list(open_images(paths, 8, folder).unreadable) == [5]
    monkeypatch.setattr(image_store, "decode", decode)
    assert not open_images(paths, 8, folder).unreadable


def test_an_image_that_is_gone_is_left_out(paths, folder):
    unreadable = open_images([*paths, "gone.jpg", "a\0.jpg"], 8, folder).unreadable
    assert list(unreadable) == [12, 13] and unreadable[12] == "No such file or directory" and "embedded null" in unreadable[13]


def test_where_no_image_can_be_read_the_first_is_named_and_nothing_is_left_behind(paths, folder):
    for path in paths:
        path.write_text("no image")
    with pytest.raises(DataError, match="None of 12 images can be read, the first .*/0.jpg: it is text, not an image"):
        open_images(paths, 8, folder)
    assert not os.listdir(folder)


def test_two_processes_that_build_the_same_store_at_once_both_succeed(paths, folder, monkeypatch):
    def in_the_middle_another_builds_it_too(images, *_):
        yield next(images)
        monkeypatch.setattr(store_module, "progress", progress)
        stores.append(open_images(paths, 8, folder))
        yield from images

    progress, stores = store_module.progress, []
    monkeypatch.setattr(store_module, "progress", in_the_middle_another_builds_it_too)
    stores.append(open_images(paths, 8, folder))
    assert np.array_equal(stores[0].rows, stores[1].rows) and len(stores[0].rows) == 12
    assert len(os.listdir(folder)) == 1


def test_what_a_killed_process_left_is_removed_after_a_week(paths, folder):
    folder.mkdir()
    week = 7 * 24 * 3600
    store, others = f"images-8-{20 * '0'}.npy", ["kernels.part", "images-2019.part", "images-8-x.npy.00000000.part"]
    for name, age in [(f"{store}.0000abcd.part", week + 60), (f"{store}.1111abcd.part", 60), *((o, week + 60) for o in others)]:
        (folder / name).touch()
        os.utime(folder / name, times=(time.time() - age,) * 2)
    open_images(paths, 8, folder)
    left = {path.name for path in folder.iterdir() if path.suffix == ".part"}
    assert left == {f"{store}.1111abcd.part", *others}       # those of others, too, however old


@pytest.mark.skipif(not store_parts.fcntl, reason="there are no locks")
def test_a_part_that_a_living_process_writes_stays_whatever_the_clock_says(folder):
    folder.mkdir()
    with store_parts.claim(folder / f"images-8-{20 * '0'}.npy") as part:
        os.utime(part, times=(0, 0))                         # made before a clock without a battery was set
        store_parts.remove_abandoned(folder)
        assert part.exists()
    store_parts.remove_abandoned(folder)
    assert not part.exists()


@pytest.fixture
def decoded(monkeypatch):
    """The paths that have been decoded, one for each time"""
    decoded, decode = [], image_store.decode
    monkeypatch.setattr(image_store, "decode", lambda path, size: (decoded.append(path), decode(path, size))[1])
    return decoded


def interrupt(monkeypatch, after):
    """Let the next building of a store be interrupted when it has that many images."""
    def interrupted(images, *_):
        monkeypatch.setattr(store_module, "progress", progress)
        yield from (next(images) for _ in range(after))
        raise KeyboardInterrupt
    progress = store_module.progress
    monkeypatch.setattr(store_module, "progress", interrupted)


@pytest.mark.parametrize("after", range(13))
def test_an_interrupted_store_is_gone_on_with_and_becomes_the_same(paths, folder, monkeypatch, decoded, after, capsys):
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
    assert (f"Resuming the image store: {after} of 12 images" in capsys.readouterr().err) == bool(after)


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
store.progress, store.NOTE_EVERY = dies, -1
open_images(sorted(Path(sys.argv[1]).glob("photographs/*")), 8, sys.argv[1] + "/store", workers=1)
"""


@pytest.mark.skipif(store_parts.fcntl is None, reason="needs a system with locks that end with their process")
def test_a_store_whose_process_was_killed_is_gone_on_with(paths, folder, decoded):
    paths.sort()
    assert subprocess.run([sys.executable, "-c", BUILD, folder.parent, "dies"], cwd=ROOT).returncode == -signal.SIGKILL
    store = open_images(paths, 8, folder)
    assert sorted(decoded) == sorted(paths[9:]) and len(os.listdir(folder)) == 1
    assert np.array_equal(store.rows, [load_image(path, 8) for path in paths])


@pytest.mark.skipif(store_parts.fcntl is None, reason="needs a system with locks that end with their process")
def test_a_part_that_a_living_process_writes_is_left_alone(paths, folder, decoded):
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
def test_a_part_whose_note_is_damaged_is_begun_anew(paths, folder, monkeypatch, decoded, damage):
    interrupt(monkeypatch, after=9)
    with pytest.raises(KeyboardInterrupt):
        open_images(paths, 8, folder)
    part = next(folder.iterdir())
    part.write_bytes(damage(part.read_bytes()))
    decoded.clear()
    assert np.array_equal(open_images(paths, 8, folder).rows, [load_image(path, 8) for path in paths])
    assert sorted(decoded[:12]) == sorted(paths)


@pytest.mark.parametrize("change", [lambda paths: paths[0].write_bytes(b"other"), lambda paths: paths.pop()])
def test_other_images_do_not_go_on_with_a_part(paths, folder, monkeypatch, decoded, change):
    interrupt(monkeypatch, after=9)
    with pytest.raises(KeyboardInterrupt):
        open_images(paths, 8, folder)
    change(paths)
    decoded.clear()
    open_images(paths, 8, folder)
    assert sorted(decoded) == sorted(paths)


def test_a_store_is_built_where_there_are_no_locks_but_no_part_gone_on_with(paths, folder, monkeypatch, decoded):
    for locks in None, SimpleNamespace(flock=lambda *_: os.stat("/dev/null/x"), LOCK_EX=2, LOCK_NB=4):
        monkeypatch.setattr(store_parts, "fcntl", locks)
        interrupt(monkeypatch, after=9)
        with pytest.raises(KeyboardInterrupt):
            open_images(paths, 8, folder)
        decoded.clear()
        assert np.array_equal(open_images(paths, 8, folder).rows, [load_image(path, 8) for path in paths])
        assert sorted(decoded[:12]) == sorted(paths)
        shutil.rmtree(folder)


def test_a_disk_without_room_is_told_beforehand(paths, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=f"needs 2,304 bytes in {folder}, where 1,000 are free. "):
        open_images(paths, 8, folder)


def test_a_write_that_fails_is_told_and_nothing_is_left_behind(paths, folder):
    resource = pytest.importorskip("resource")                           # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DataError, match=f"The image store {folder}/.* of 2,304 bytes cannot be written: File too large"):
            open_images(paths, 8, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not os.listdir(folder)


def test_a_folder_that_cannot_be_made_is_told(paths, tmp_path):
    with pytest.raises(DataError, match="0.jpg/.* cannot be written: "):
        open_images(paths, 8, paths[0])


def test_a_folder_in_the_place_of_the_store_is_told(paths, folder):
    open_images(paths, 8, folder)
    file = next(folder.iterdir())
    file.unlink()
    (file / "something").mkdir(parents=True)
    with pytest.raises(DataError, match=f"{file} of 2,304 bytes cannot be written: Is a directory"):
        open_images(paths, 8, folder)
    assert os.listdir(folder) == [file.name]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs a system with users")
def test_a_folder_that_may_only_be_read_is_told_and_a_store_in_it_is_used(paths, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)                                     # reached without its parents, which may be closed
    paths, inside = [path.relative_to(folder.parent) for path in paths], folder.relative_to(folder.parent)
    open_images(paths, 8, inside)
    folder.parent.chmod(0o755)
    folder.chmod(0o555)
    user = os.geteuid()
    os.seteuid(user or 65534)                                            # root could write all the same
    try:
        assert len(open_images(paths, 8, inside).rows) == 12
        with pytest.raises(DataError, match="cannot be written: Permission denied. .*NPCAPTION_CACHE"):
            open_images(paths, 16, inside)
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_a_folder_whose_files_cannot_be_mapped_is_told(paths, folder, monkeypatch):
    monkeypatch.setattr(np, "memmap", lambda *_, **__: int("no such device"))
    with pytest.raises(DataError, match="was written but cannot be mapped into memory. Set NPCAPTION_CACHE"):
        open_images(paths, 8, folder)


def test_the_environment_names_the_folder(paths, folder, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(folder))
    open_images(paths, 8)
    assert len(os.listdir(folder)) == 1


def lines_of_a_job(monkeypatch, capsys, total, seconds_each):
    clock = iter(np.arange(total + 1) * seconds_each)
    monkeypatch.setattr(npcaption.support.progress.time, "perf_counter", lambda: next(clock))
    items = npcaption.support.progress.progress(range(total), total, "image store", "images")
    assert list(items) == list(range(total))
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_a_line_every_five_seconds_and_one_at_the_end(monkeypatch, capsys):
    assert lines_of_a_job(monkeypatch, capsys, total=110, seconds_each=0.1) == [
        "image store: 50/110 images, 10 images/s, 0:06 left",
        "image store: 100/110 images, 10 images/s, 0:01 left",
        "image store: 110/110 images, 10 images/s, 0:00 left"]


def test_a_short_job_says_nothing(monkeypatch, capsys):
    assert lines_of_a_job(monkeypatch, capsys, total=10, seconds_each=0.1) == []
