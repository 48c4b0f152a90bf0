"""Data sets: sequences, batches, splits and fingerprints."""
import shutil

import numpy as np
import pytest
from PIL import Image

from npcaption.data import image_store
from npcaption.data.batches import Views, encode_captions, epoch_batches
from npcaption.data.dataset import Split, fingerprint, load_dataset
from npcaption.data.images import load_image
from npcaption.errors import DataError
from npcaption.model.batch import trim
from npcaption.tokenizers import CharTokenizer
from tests.campaigns import damage_data
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

TEXTS = [("a cat", "two cats"), ("dog",), ("a dog runs", "dog", "dogs"), ("cat and dog",), ("a",)]
SPLIT = Split(np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8), TEXTS, list("vwxyz"))
TOKENIZER = CharTokenizer.build([text for texts in TEXTS for text in texts])
SEQUENCES = encode_captions(SPLIT, TOKENIZER, 8)


def epoch(captions="random", seed=0, number=0, batch_size=2):
    return [(int(image[0, 0, 0]), TOKENIZER.decode(row)) for batch in
            epoch_batches(SPLIT.images, SEQUENCES, batch_size, captions, seed, number)
            for image, rows in zip(batch.inputs, batch.ids) for row in rows if row.any()]


def test_the_sequences_of_an_image_are_adjacent():
    first = SEQUENCES.first                                  # 8 ids hold 6 characters
    assert [TOKENIZER.decode(row) for row in SEQUENCES.ids[first[2]:first[3]]] == ["a dog ", "dog", "dogs"]


@pytest.mark.parametrize("captions", ["random", "first"])
def test_an_epoch_has_every_image_once_with_one_of_its_captions(captions):
    shown = epoch(captions)
    assert sorted(image for image, _ in shown) == [0, 1, 2, 3, 4]
    assert all(caption in [text[:6] for text in TEXTS[image]] for image, caption in shown)


def test_first_always_takes_the_first_caption_and_random_takes_all_equally_often():
    first = {caption for number in range(30) for image, caption in epoch("first", number=number) if image == 2}
    assert first == {"a dog "}
    drawn = [caption for number in range(300) for image, caption in epoch(number=number) if image == 2]
    shares = {caption: drawn.count(caption) / len(drawn) for caption in ("a dog ", "dog", "dogs")}
    assert all(share == pytest.approx(1 / 3, abs=0.1) for share in shares.values())


def test_all_takes_every_caption_and_empty_captions_count_no_tokens():
    assert sorted(epoch("all")) == sorted((i, text[:6]) for i, texts in enumerate(TEXTS) for text in texts)
    batches = list(epoch_batches(SPLIT.images, SEQUENCES, 2, "all", 0, 0))
    assert [batch.ids.shape[:2] for batch in batches] == [
        (len(batch.inputs), max(len(TEXTS[int(image[0, 0, 0])]) for image in batch.inputs)) for batch in batches]
    for batch in batches:
        shown = [text for image in batch.inputs for text in TEXTS[int(image[0, 0, 0])]]
        assert batch.tokens == sum(len(text[:6]) + 1 for text in shown) and batch.image_count == len(batch.inputs)
        for row, image in zip(batch.ids, batch.inputs):      # empty captions come last
            assert row.any(-1).tolist() == [k < len(TEXTS[int(image[0, 0, 0])]) for k in range(len(row))]


def test_an_image_is_not_mirrored_with_a_caption_that_names_a_side():
    image = np.arange(8, dtype=np.uint8).reshape(1, 1, 8, 1) * np.ones((1, 8, 1, 3), np.uint8)
    split = Split(image, [("a cat", "a cat on the left")], ["v"])
    mirrored = {}
    for captions in ("all", "first"):
        found = [next(epoch_batches(split.images, encode_captions(split, TOKENIZER, 8), 1, captions, 0, number,
                                    views=Views(True, 0.0, 0.0))).inputs[0] for number in range(20)]
        mirrored[captions] = sum(not np.array_equal(image, split.images[0]) for image in found)
    assert mirrored["all"] == 0 < mirrored["first"] < 20


def test_a_batchs_part_of_one_image_keeps_the_batchs_counts():
    batch = next(epoch_batches(SPLIT.images, SEQUENCES._replace(targets={"it": np.arange(5)}), 3, "all", 0, 0))
    batch = batch._replace(weights=np.arange(9).reshape(3, 3), keys=np.arange(3))
    part = batch.of(1)
    assert (part.tokens, part.image_count) == (batch.tokens, 3) and part.keys == 1
    assert part.targets == {"it": part.inputs[0, 0, 0]}
    np.testing.assert_array_equal(part.ids, batch.ids[1])
    np.testing.assert_array_equal(part.weights, [3, 4, 5])


def test_an_epoch_depends_only_on_its_seed_and_number():
    assert epoch(seed=1, number=4) == epoch(seed=1, number=4)
    assert epoch(seed=1, number=4) != epoch(seed=1, number=5)
    assert epoch(seed=1, number=4) != epoch(seed=2, number=4)


def test_the_last_batch_may_be_smaller():
    assert [len(batch.inputs) for batch in epoch_batches(SPLIT.images, SEQUENCES, 2, "random", 0, 0)] == [2, 2, 1]


def test_trimming_drops_only_padding_columns():
    assert trim(np.array([[1, 5, 2, 0, 0], [1, 2, 0, 0, 0]])).tolist() == [[1, 5, 2], [1, 2, 0]]
    assert trim(np.zeros((3, 5), int)).shape == (3, 2)       # one input and one target remain


def test_trimming_changes_neither_loss_nor_gradients():
    from npcaption.captioning.captioner import Captioner
    from npcaption.config import ModelConfig
    from npcaption.model.parameters import initialise
    short, long = (ModelConfig(image_size=8, channels=8, heads=2, hidden=8, max_length=n, vocabulary=TOKENIZER.size)
                   for n in (7, 12))
    parameters = {config: initialise(config, 0, dtype=np.float64) for config in (short, long)}
    for name, view in parameters[short].named.items():
        view[...] = parameters[long].named[name][:len(view)]
    found = [Captioner(config, TOKENIZER, parameters[config]).loss_and_gradients(SPLIT.images[:2], ["a cat", "dog"])
             for config in (short, long)]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    for name, gradient in found[0][1].items():
        np.testing.assert_allclose(found[1][1][name][:len(gradient)], gradient, rtol=1e-9, atol=1e-13)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path_factory.mktemp("cache")))


def image_folder(tmp_path, count=16):
    tmp_path.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{i:02}.png")
    lines = [f"{i:02}.png,{text} {i}\n" for i in range(count) for text in ("image number", "again")]
    (tmp_path / "captions.txt").write_text("".join(lines))
    return tmp_path


def test_a_folder_of_images_with_captions_becomes_three_splits(tmp_path):
    data = load_dataset(image_folder(tmp_path), 16, seed=0)
    names = [name for split in (data.train, data.val, data.test) for name in split.names]
    assert sorted(names) == [f"{i:02}.png" for i in range(16)]
    for split in (data.train, data.val, data.test):
        for image, captions, name, file in zip(*split[:4]):
            assert file.name == name
            np.testing.assert_array_equal(image, load_image(file, 16))
            assert captions == (f"image number {int(name[:2])}", f"again {int(name[:2])}")


def test_several_folders_become_one_data_set_with_the_notes_of_each(tmp_path):
    folders = [str(image_folder(tmp_path / name)) for name in ("here", "there")]
    data, alone = load_dataset(folders, 16, seed=0), load_dataset(folders[0], 16, seed=0)
    assert len(data.train.images) == 2 * len(alone.train.images)
    assert data.train.names == [f"{name}/{file}" for name in ("here", "there") for file in alone.train.names]
    for image, file in zip(data.train.images, data.train.files):
        np.testing.assert_array_equal(image, load_image(file, 16))
    assert data.notes[:len(alone.notes)] == alone.notes and len(data.notes) == 2 * len(alone.notes)


def test_a_limit_holds_for_every_split(tmp_path):
    data = load_dataset(image_folder(tmp_path), 16, seed=0, limit=2)
    assert [len(split.names) for split in (data.train, data.val, data.test)] == [2, 2, 2]


def test_only_requested_images_are_decoded_but_all_captions_loaded(tmp_path):
    folder = image_folder(tmp_path)
    whole, part = load_dataset(folder, 16, seed=0), load_dataset(folder, 16, seed=0, looked_at=("test",))
    assert part.train.images is None and part.val.images is None
    assert part.train.captions == whole.train.captions
    np.testing.assert_array_equal(part.test.images, whole.test.images)
    first = part.test.first(1)
    assert len(first.images) == len(first.names) == len(first.files) == 1 and part.train.first(1).images is None
    assert part.test.first(0).names == part.test.names


def test_unreadable_images_are_skipped_with_a_note_at_every_start(tmp_path, monkeypatch):
    folder = image_folder(tmp_path)
    whole = load_dataset(folder, 16, seed=0)
    bad = whole.train.names[3], whole.test.names[0]
    for name in bad:
        (folder / name).write_text("no image")
    for _ in range(2):
        data = load_dataset(folder, 16, seed=0)
        for before, split in zip(whole[:3], data[:3]):
            assert split.names == [name for name in before.names if name not in bad]
            assert isinstance(split.images, np.memmap) and split.images.base is not None     # a slice, not a copy
            np.testing.assert_array_equal(split.images, [load_image(file, 16) for file in split.files])
            assert all(captions[0].endswith(str(int(name[:2]))) for name, captions in zip(split.names, split.captions))
        assert data.notes[:-1] == whole.notes
        assert_says(data.notes[-1], "Skipped 2 unreadable images", str(folder / bad[0]), "it is text")
        monkeypatch.setattr(image_store, "decode", None)                       # the second start must not decode


def test_several_reasons_are_counted(tmp_path):
    folder = image_folder(tmp_path)
    for name, length in ("00", 500), ("01", 600), ("02", 0):
        (folder / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes()[:length])
    note = load_dataset(folder, 16, seed=0).notes[-1]
    assert_says(note, "3 unreadable images", "reasons: 2 x image file is truncated; 1 x it is empty")


def test_strict_refuses_unusable_images_and_captions_and_names_all_reasons(tmp_path):
    folder = image_folder(tmp_path)
    load_dataset(folder, 16, seed=0, strict=True)
    (folder / "03.png").write_text("no image")
    with refused(DataError, "1 unreadable image", "03.png", "without --strict"):
        load_dataset(folder, 16, seed=0, strict=True)
    with open(folder / "captions.txt", "a") as file:
        file.write("gone.png,nothing\n04.png,\n")
    with refused(DataError, "1 image with 1 caption", "missing file", f"{folder}/captions.txt:33 (gone.png)",
                 "1 empty caption", f"{folder}/captions.txt:34 (04.png)", "1 unreadable image", f"{folder}/03.png",
                 "Fix the data, or run without --strict"):
        load_dataset(folder, 16, seed=0, strict=True)


def test_a_data_set_without_usable_images_is_refused(tmp_path):
    folder = image_folder(tmp_path)
    for file in folder.glob("*.png"):
        file.write_bytes(b"")
    with refused(DataError, "All 16 images are unreadable", "00.png"):
        load_dataset(folder, 16, seed=0)
    (folder / "Flickr_8k.trainImages.txt").write_text("00.png")
    for name in "dev", "test":
        (folder / f"Flickr_8k.{name}Images.txt").touch()
    with refused(DataError, "no images in the splits needed (test)", "15 images", "none of the split lists"):
        load_dataset(folder, 16, seed=0, looked_at=("test",))


def test_a_fingerprint_needs_no_images_and_allows_an_empty_split(tmp_path):
    folder = image_folder(tmp_path)
    for name, text in [("train", "00.png"), ("dev", ""), ("test", "01.png")]:
        (folder / f"Flickr_8k.{name}Images.txt").write_text(text)
    looked_at = [("train",), ("test",), ("train", "val")]
    assert len({fingerprint(load_dataset(folder, 16, seed=0, looked_at=names)) for names in looked_at}) == 1


def test_a_fingerprint_is_the_same_elsewhere_and_at_another_time(tmp_path):
    folder = image_folder(tmp_path / "here")
    shutil.copytree(folder, tmp_path / "there", copy_function=shutil.copy)   # with new file times
    here, there = (load_dataset(tmp_path / name, 16, seed=0) for name in ("here", "there"))
    assert fingerprint(here) == fingerprint(there) == fingerprint(load_dataset(folder, 16, seed=0, looked_at=("test",)))


def add_a_caption(folder):
    with open(folder / "captions.txt", "a") as file:
        file.write("00.png,more\n")


def reverse_the_captions(folder):
    lines = (folder / "captions.txt").read_text().splitlines(keepends=True)
    (folder / "captions.txt").write_text("".join(reversed(lines)))


@pytest.mark.parametrize("change", [
    add_a_caption, reverse_the_captions, lambda folder: Image.new("RGB", (9, 9)).save(folder / "00.png"),
    lambda folder: (folder / "00.png").unlink()], ids=["a caption", "their order", "another image", "a missing image"])
def test_a_fingerprint_notices_changes(tmp_path, change):
    folder = image_folder(tmp_path)
    before = load_dataset(folder, 16, seed=0)
    assert "00.png" in before.train.names + before.val.names
    found = fingerprint(before)
    change(folder)
    assert fingerprint(load_dataset(folder, 16, seed=0)) != found


def test_the_fingerprints_of_generated_scenes_differ_by_seed_number_and_size():
    settings = [(32, 0, 12), (32, 1, 12), (32, 0, 13), (16, 0, 12)]
    assert len({fingerprint(load_dataset("shapes", *setting)) for setting in settings * 2}) == 4


@pytest.mark.slow
def test_damaged_files_are_read_or_refused(tmp_path):
    for label, verdicts, _ in damage_data.rows(tmp_path, seed=1, count=40):
        assert verdicts["wrong"] == 0 and verdicts["refused"] > 0, label


def test_the_damage_campaign_notices_other_exceptions(tmp_path, monkeypatch):
    monkeypatch.setattr(damage_data, "load_image", np.asarray)
    monkeypatch.setattr(damage_data, "load_records", lambda folder: 1 / 0)
    found = {label: verdicts["wrong"] for label, verdicts, _ in damage_data.rows(tmp_path, 1, 4)}
    assert all(wrong == 4 for label, wrong in found.items() if label != "image store")


def test_generated_scenes_have_five_captions_and_judge_them():
    from npcaption.data.shapes import judge
    data = load_dataset("shapes", 32, seed=0, scenes=12)
    assert data.train.images.shape == (12, 32, 32, 3)
    assert all(len(captions) == 5 for captions in data.train.captions)
    assert all(judge(captions[0], scene) is None for captions, scene in zip(data.test.captions, data.scenes))
