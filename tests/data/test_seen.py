"""Fingerprints of training images, and the warning when a model is scored on them."""
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npcaption.config import Config, TrainingConfig, override
from npcaption.data.dataset import Split, load_dataset
from npcaption.data.images import load_image
from npcaption.data.records import SPLIT_LISTS
from npcaption.data.seen import Seen, perceptual_hash, seen_images, seen_in
from npcaption.errors import CheckpointError
from npcaption.model import checkpoint
from npcaption.training import loop
from tests import configs
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

ROOT = Path(__file__).parents[2]
TINY = Config(replace(configs.TINY, max_length=16, vocabulary=0),
              TrainingConfig(epochs=1, batch_size=4, engine="numpy"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))


def spots_image(number, size=(60, 40)):
    """Image with a distinct perceptual hash: large soft spots of colour"""
    spots = np.random.default_rng(number).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def split(images, names):
    images = np.stack([load_image(image, 32) for image in images])
    return Split(images, [("a dog",)] * len(images), list(names), [Path(name) for name in names])


def data_set(folder, **numbers):
    """Write a data set of equally large bitmaps with split lists.  numbers: of the images of train, val and test"""
    folder.mkdir(parents=True)
    for part, list_name in zip(("train", "val", "test"), SPLIT_LISTS.values()):
        for number in numbers[part]:
            spots_image(number).save(folder / f"{number}.bmp")
        (folder / list_name).write_text("".join(f"{number}.bmp\n" for number in numbers[part]))
    rows = [f"{number}.bmp,a dog runs\n" for part in numbers.values() for number in part]
    (folder / "captions.txt").write_text("".join(rows))
    return folder


def compressed(image, tmp_path):
    image.resize((image.width // 2, image.height // 2)).save(tmp_path / "again.jpg", quality=60)
    return Image.open(tmp_path / "again.jpg")


def test_an_image_is_recognised_by_name_and_perceptual_hash_or_by_pixels(tmp_path):
    seen = seen_images(split(map(spots_image, range(4)), ["0.jpg", "1.jpg", "2.jpg", "a/3.jpg"]))
    same_name = split([compressed(spots_image(0), tmp_path), spots_image(1, (300, 200)), spots_image(9)],
                      ["0.jpg", "1.jpg", "2.jpg"])
    assert seen_in(seen, same_name).tolist() == [True, True, False]  # the last is another image of an equal name
    same_pixels = split([spots_image(0), spots_image(9), spots_image(3)], ["x.jpg", "y.jpg", "3.jpg"])
    assert seen_in(seen, same_pixels).tolist() == [True, False, True]


def test_a_renamed_copy_is_recognised_by_its_perceptual_hash_unless_many_images_share_it(tmp_path):
    seen = seen_images(split(map(spots_image, range(4)), ["a/0.jpg", "a/1.jpg", "2.jpg", "3.jpg"]))
    copies = split([compressed(spots_image(0, (240, 160)), tmp_path), spots_image(3, (120, 90)), spots_image(9)],
                   ["b/0.jpg", "x.jpg", "3.jpg"])
    assert seen_in(seen, copies).tolist() == [True, True, False]
    dark = np.asarray(spots_image(0)) // 2
    patients = [Image.fromarray((dark + brightness).astype(np.uint8)) for brightness in range(0, 60, 10)]
    alike = seen_images(split(patients[:5], [f"patient{i}/front.png" for i in range(5)]))
    assert not seen_in(alike, split(patients[5:], ["patient5/front.png"])).any()


def test_training_warns_of_copies_of_training_images_in_the_validation_split(tmp_path):
    first = data_set(tmp_path / "first", train=range(8), val=range(8, 10), test=[10])
    second = data_set(tmp_path / "second", train=range(20, 24), val=[2, 3, 24], test=[25])
    for data, parts in [((str(first), str(second)), ["2 of 5 validation images", "training", "second/2.bmp"]),
                        (str(first), None)]:
        printed = []
        loop.train(override(TINY, data=data), tmp_path / f"run{bool(parts)}", say=printed.append)
        warnings = [line for line in printed if "WARNING" in line]
        assert len(warnings) == bool(parts)
        if parts:
            assert_says(warnings[0], *parts)


def test_uniform_images_of_equal_names_are_distinguished_by_pixels():
    red, blue, red_too = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "red"))
    assert seen_in(seen_images(split([red], "a")), split([blue, red_too], "ab")).tolist() == [False, True]


def test_generated_images_and_old_checkpoints_have_no_fingerprints():
    generated = split([spots_image(0)], "a")._replace(files=None)
    assert seen_images(generated) is None and seen_in(None, split([spots_image(0)], "a")).tolist() == [False]


@pytest.mark.parametrize("size", [1, 5, 8, 9, 64])
def test_bits_of_the_perceptual_hash_mark_increasing_brightness(size):
    ramp = np.repeat(np.arange(size, dtype=np.uint8)[None, :, None], size, 0).repeat(3, -1)  # (S, S, 3)
    bits = f"{perceptual_hash(ramp):064b}"
    assert len({bits[i:i + 8] for i in range(0, 64, 8)}) == 1  # equal rows
    assert bits.count("1") == (64 if size >= 9 else 8 * (size - 1)) and not perceptual_hash(ramp[:, ::-1])


def test_no_validation_or_test_image_of_flickr8k_matches_a_training_image(flickr8k):
    data = load_dataset(flickr8k, 32, seed=0)
    seen = seen_images(data.train)
    assert not seen_in(seen, data.val).any() and not seen_in(seen, data.test).any() and seen_in(seen, data.train).all()
    every_name = seen._replace(names=np.resize(seen_images(data.val).names, len(seen.names)))  # like numbered names
    assert seen_in(every_name, data.val).mean() < 0.01


@pytest.fixture
def trained(tmp_path):
    """Run directory of a training on images 0 to 11"""
    data = data_set(tmp_path / "photos", train=range(12), val=range(12, 15), test=range(15, 18))
    loop.train(override(TINY, data=str(data)), tmp_path / "run", say=lambda line: None)
    return tmp_path / "run"


def evaluate(folder, *flags):
    command = [sys.executable, "-m", "npcaption.evaluate", "--checkpoint", folder / "best.npz", "--engine", "numpy",
               *flags]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_both_checkpoints_have_the_fingerprints(trained, tmp_path):
    best, last = checkpoint.load(trained / "best.npz"), checkpoint.load(trained / "last.npz")
    expected = seen_images(load_dataset(str(tmp_path / "photos"), 16, 0).train)
    for name in Seen._fields:
        for found in best, last:
            np.testing.assert_array_equal(getattr(found.seen, name), getattr(expected, name))


@pytest.mark.slow
def test_evaluation_on_training_images_counts_them_and_can_skip_them(trained, tmp_path):
    held_out = evaluate(trained)
    assert held_out.returncode == 0 and "trained on" not in held_out.stdout + held_out.stderr
    elsewhere = data_set(tmp_path / "elsewhere", train=[50], val=[51], test=[*range(60, 70), 3, 4])
    os.rename(elsewhere / "60.bmp", elsewhere / "70.bmp")    # then 60.bmp becomes a renamed copy
    shutil.copy(tmp_path / "photos" / "7.bmp", elsewhere / "60.bmp")
    flags = "--data", elsewhere, "--split", "test"
    result = evaluate(trained, *flags, "--json", tmp_path / "scores.json", "--html", tmp_path / "page.html")
    assert result.returncode == 0, result.stderr
    files = (tmp_path / "scores.json").read_text(), (tmp_path / "page.html").read_text()
    for output in result.stderr, result.stdout, *files:
        assert_says(output, "WARNING", "trained on", "3 of", "12 test images")
    result = evaluate(trained, *flags, "--unseen")
    assert_says(result.stdout, "Skipped 3 of 12 test images", "test: 9 images")
    result = evaluate(trained, "--split", "train", "--unseen")
    assert result.returncode == 2 and "all 12 images" in result.stderr


def test_evaluation_notes_a_checkpoint_without_fingerprints(trained):
    kept = checkpoint.load(trained / "best.npz")
    checkpoint.save(trained / "best.npz", kept._replace(seen=None))
    result = evaluate(trained, "--data", trained.parent / "photos")
    assert result.returncode == 0 and "images it was trained on" in result.stdout


def test_an_image_replaced_by_one_of_equal_name_and_size_refuses_resuming(trained, tmp_path):
    file, config = tmp_path / "photos" / "3.bmp", override(TINY, data=str(tmp_path / "photos"), epochs=2)
    before = file.read_bytes()
    spots_image(99).save(file)
    assert len(file.read_bytes()) == len(before)
    with refused(CheckpointError, "1 ", "3.bmp"):
        loop.train(config, trained, resume=True, say=lambda line: None)
    file.write_bytes(before)
    loop.train(config, trained, resume=True, say=lambda line: None)
