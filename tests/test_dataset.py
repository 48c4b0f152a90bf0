"""Splits, sequences and batches."""
import numpy as np
import pytest
from PIL import Image

from npcaption.data.dataset import Split, encode_captions, epoch_batches, load_dataset, trim
from npcaption.data.images import load_image
from npcaption.tokenizers import CharTokenizer

TEXTS = [("a cat", "two cats"), ("dog",), ("a dog runs", "dog", "dogs"), ("cat and dog",), ("a",)]
SPLIT = Split(np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8), TEXTS, list("vwxyz"))
TOKENIZER = CharTokenizer.build([text for texts in TEXTS for text in texts])
SEQUENCES = encode_captions(SPLIT, TOKENIZER, 8)


def epoch(captions="random", seed=0, number=0, batch_size=2):
    return [(int(image[0, 0, 0]), TOKENIZER.decode(row)) for images, ids in
            epoch_batches(SPLIT.images, SEQUENCES, batch_size, captions, seed, number) for image, row in zip(images, ids)]


def test_the_sequences_of_an_image_stand_together():
    first = SEQUENCES.first
    assert [TOKENIZER.decode(row) for row in SEQUENCES.ids[first[2]:first[3]]] == ["a dog ", "dog", "dogs"]  # 8 ids hold 6


@pytest.mark.parametrize("captions", ["random", "first"])
def test_an_epoch_shows_every_image_once_beside_one_of_its_own_captions(captions):
    shown = epoch(captions)
    assert sorted(image for image, _ in shown) == [0, 1, 2, 3, 4]
    assert all(caption in [text[:6] for text in TEXTS[image]] for image, caption in shown)


def test_first_takes_the_first_caption_always_and_random_takes_each_in_time():
    assert {caption for number in range(30) for image, caption in epoch("first", number=number) if image == 2} == {"a dog "}
    drawn = [caption for number in range(300) for image, caption in epoch(number=number) if image == 2]
    shares = {caption: drawn.count(caption) / len(drawn) for caption in ("a dog ", "dog", "dogs")}
    assert all(share == pytest.approx(1 / 3, abs=0.1) for share in shares.values())


def test_an_epoch_depends_on_its_seed_and_number_alone():
    assert epoch(seed=1, number=4) == epoch(seed=1, number=4)
    assert epoch(seed=1, number=4) != epoch(seed=1, number=5)
    assert epoch(seed=1, number=4) != epoch(seed=2, number=4)


def test_the_last_batch_may_be_smaller():
    assert [len(images) for images, _ in epoch_batches(SPLIT.images, SEQUENCES, 2, "random", 0, 0)] == [2, 2, 1]


def test_trimming_drops_only_columns_of_padding():
    assert trim(np.array([[1, 5, 2, 0, 0], [1, 2, 0, 0, 0]])).tolist() == [[1, 5, 2], [1, 2, 0]]


def test_trimming_changes_neither_loss_nor_gradients():
    from npcaption.captioner import Captioner
    from npcaption.config import ModelConfig
    from npcaption.parameters import initialise
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


def folder_of_photographs(tmp_path, count=16):
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{i:02}.png")
    lines = [f"{i:02}.png,{text} {i}\n" for i in range(count) for text in ("picture number", "again")]
    (tmp_path / "captions.txt").write_text("".join(lines))
    return tmp_path


def test_a_folder_of_images_with_captions_becomes_three_splits(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    data = load_dataset(folder_of_photographs(tmp_path), 16, seed=0)
    names = [name for split in (data.train, data.val, data.test) for name in split.names]
    assert sorted(names) == [f"{i:02}.png" for i in range(16)]
    for split in (data.train, data.val, data.test):
        for image, captions, name, file in zip(*split):
            assert file.name == name
            np.testing.assert_array_equal(image, load_image(file, 16))
            assert captions == (f"picture number {int(name[:2])}", f"again {int(name[:2])}")


def test_a_limit_holds_for_every_split(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    data = load_dataset(folder_of_photographs(tmp_path), 16, seed=0, limit=2)
    assert [len(split.names) for split in (data.train, data.val, data.test)] == [2, 2, 2]


def test_only_the_images_that_are_wanted_are_decoded_but_all_captions_are_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    folder = folder_of_photographs(tmp_path)
    whole, part = load_dataset(folder, 16, seed=0), load_dataset(folder, 16, seed=0, looked_at=("test",))
    assert part.train.images is None and part.val.images is None
    assert part.train.captions == whole.train.captions
    np.testing.assert_array_equal(part.test.images, whole.test.images)
    first = part.test.first(1)
    assert len(first.images) == len(first.names) == len(first.files) == 1 and part.train.first(1).images is None
    assert part.test.first(0).names == part.test.names


def test_generated_scenes_come_with_five_captions_and_can_be_judged():
    from npcaption.data.shapes import judge
    data = load_dataset("shapes", 32, seed=0, scenes=12)
    assert data.train.images.shape == (12, 32, 32, 3)
    assert all(len(captions) == 5 for captions in data.train.captions)
    assert all(judge(captions[0], scene) is None for captions, scene in zip(data.test.captions, data.scenes))
