"""Training from the command line's point of view: what it learns, writes, prints and refuses."""
import csv
from dataclasses import replace

import numpy as np
import pytest

from npcaption import checkpoint as checkpoints
from npcaption import training
from npcaption.captioner import Captioner
from npcaption.config import Config, ModelConfig, TrainingConfig
from npcaption.data.dataset import encode_captions, load_dataset, trim
from npcaption.data.images import load_image
from npcaption.errors import CheckpointError
from npcaption.parameters import initialise
from npcaption.tokenizers import CharTokenizer
from npcaption.training import Trainer

TINY = Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=32, encoder_blocks=1, decoder_blocks=1,
                          max_length=64, dropout=0.1),
              TrainingConfig(scenes=40, epochs=3, batch_size=16, learning_rate=3e-3, schedule="cosine", warmup_steps=2,
                             clip_norm=1.0))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out, said = tmp_path_factory.mktemp("runs") / "tiny", []
    training.train(TINY, out, say=said.append)
    return out, "\n".join(said)


def test_a_run_leaves_best_last_and_a_log_with_a_row_an_epoch(finished):
    out, _ = finished
    assert sorted(path.name for path in out.iterdir()) == ["best.npz", "last.npz", "log.csv", "scenes"]
    rows = list(csv.DictReader(open(out / "log.csv")))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["val"]) < float(rows[0]["val"])
    assert float(rows[0]["val_bits_per_character"]) == pytest.approx(float(rows[0]["val"]) / np.log(2), rel=1e-4)


def test_the_scenes_that_were_captioned_are_there_to_be_looked_at(finished):
    out, _ = finished
    scenes = load_dataset("shapes", 16, seed=0, scenes=40).test.images
    np.testing.assert_array_equal(load_image(out / "scenes" / "3.png", 16), scenes[3])


def test_it_says_the_parameter_table_losses_samples_and_how_much_is_right(finished):
    _, said = finished
    for part in ["patch embedding", "total", "epoch   1/3", "bits per character", "with shuffled images", "images/s", "left",
                 "person: a ", "scenes with familiar colours"]:
        assert part in said


def test_best_holds_what_captions_and_last_what_training_needs_to_go_on(finished):
    out, _ = finished
    best, last = checkpoints.load(out / "best.npz"), checkpoints.load(out / "last.npz")
    assert best.optimiser is None and last.optimiser is not None
    assert last.state["step"] == 9 and last.config.model.vocabulary == last.tokenizer.size


def test_a_run_is_repeated_bit_for_bit_from_its_seed(finished, tmp_path):
    training.train(TINY, tmp_path / "again", say=lambda line: None)
    a, b = (checkpoints.load(folder / "last.npz") for folder in (finished[0], tmp_path / "again"))
    np.testing.assert_array_equal(a.parameters.flat, b.parameters.flat)


def test_a_run_stopped_after_an_epoch_and_resumed_ends_as_if_it_had_not_stopped(finished, tmp_path):
    def stop_after_two(line):
        if line.startswith("epoch   2/3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(TINY, tmp_path / "run", say=stop_after_two)
    assert checkpoints.load(tmp_path / "run" / "last.npz").state["epoch"] == 2
    training.train(TINY, tmp_path / "run", resume=True, say=lambda line: None)
    a, b = (checkpoints.load(folder / "last.npz") for folder in (finished[0], tmp_path / "run"))
    np.testing.assert_array_equal(a.parameters.flat, b.parameters.flat)
    np.testing.assert_array_equal(a.optimiser, b.optimiser)
    assert (a.state, len(list(csv.DictReader(open(tmp_path / "run" / "log.csv"))))) == (b.state, 3)


def test_an_earlier_training_is_never_run_over(finished):
    with pytest.raises(CheckpointError, match="--resume"):
        training.train(TINY, finished[0])


def test_resuming_with_other_settings_says_which_differ(finished):
    with pytest.raises(CheckpointError, match="learning_rate"):
        training.train(replace(TINY, training=replace(TINY.training, learning_rate=1e-5)), finished[0], resume=True)
    with pytest.raises(CheckpointError, match="channels"):
        training.train(replace(TINY, model=replace(TINY.model, channels=32)), finished[0], resume=True)


def test_resuming_nothing_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        training.train(TINY, tmp_path / "none", resume=True)


def learn_by_heart(images, ids, config, rate, steps=600):
    """-> the loss, at most 0.05 unless the steps did not suffice, and the parameters"""
    settings = TrainingConfig(beta2=0.98, weight_decay=0.0, clip_norm=1.0)
    trainer = Trainer(Config(config, settings), initialise(config, 0))
    for number in range(1, steps + 1):
        loss, _ = trainer.step(images, ids, number, rate * min(1, number / 20))
        if loss < 0.05:
            break
    return loss, trainer.parameters


def test_the_model_can_learn_one_batch_by_heart():
    data = load_dataset("shapes", 32, seed=0, scenes=8)
    tokenizer = CharTokenizer.build([captions[0] for captions in data.train.captions])
    config = ModelConfig(image_size=32, channels=32, heads=2, hidden=64, encoder_blocks=1, decoder_blocks=1, max_length=64,
                         vocabulary=tokenizer.size)
    sequences = encode_captions(data.train, tokenizer, 64)
    loss, parameters = learn_by_heart(data.train.images, trim(sequences.ids[sequences.first[:-1]]), config, 5e-3)
    assert loss < 0.05
    assert Captioner(config, tokenizer, parameters).captions(list(data.train.images)) == [c[0] for c in data.train.captions]


def test_the_model_can_learn_16_real_photographs_by_heart(flickr8k, tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path))
    data = load_dataset(flickr8k, 64, seed=0, limit=16)
    tokenizer = CharTokenizer.build([text for texts in data.train.captions for text in texts])
    config = ModelConfig(image_size=64, vocabulary=tokenizer.size)
    sequences = encode_captions(data.train, tokenizer, 48)
    loss, _ = learn_by_heart(data.train.images, sequences.ids[sequences.first[:-1]], config, 1e-3)
    assert loss < 0.05
