"""Training from the command line's point of view: what it learns, writes, prints and refuses."""
import copy
import csv
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from npcaption import layers
from npcaption.captioning.captioner import Captioner
from npcaption.config import PRESETS, Config, ModelConfig, TrainingConfig, override
from npcaption.data.batches import encode_captions
from npcaption.data.dataset import load_dataset
from npcaption.data.images import load_image
from npcaption.errors import CheckpointError, ConfigError, Stopped, TrainingError
from npcaption.model import checkpoint as checkpoints
from npcaption.model.batch import trim, whole
from npcaption.model.parameters import initialise
from npcaption.tokenizers import CharTokenizer
from npcaption.training import loop, preparation
from npcaption.training.trainer import Trainer
from tests.campaigns import stress
from tests.campaigns.stress import without_times
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

TINY = Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=32, encoder_blocks=1, decoder_blocks=1,
                          max_length=64, dropout=0.1),
              TrainingConfig(scenes=40, epochs=3, batch_size=16, learning_rate=3e-3, schedule="cosine", warmup_steps=2,
                             clip_norm=1.0))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out, said = tmp_path_factory.mktemp("runs") / "tiny", []
    loop.train(TINY, out, say=said.append)
    return out, "\n".join(said)


def test_a_run_leaves_best_last_and_a_log_with_a_row_an_epoch(finished):
    out, _ = finished
    found = sorted(path.name for path in out.iterdir())
    assert found == ["best.npz", "last.npz", "log.csv", "report.html", "samples.json", "scenes"]
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
    for part in ["patch embedding", "total", "epoch   1/3", "bits per character", "with shuffled images", "images/s",
                 "left", "person: a ", "scenes with familiar colours"]:
        assert part in said


def test_best_holds_what_captions_and_last_what_training_needs_to_go_on(finished):
    out, _ = finished
    best, last = checkpoints.load(out / "best.npz"), checkpoints.load(out / "last.npz")
    assert best.optimiser is None and last.optimiser is not None
    assert last.state["step"] == 9 and len(last.state["log"]) == 3
    assert last.config.model.vocabulary == last.tokenizer.size


def test_a_run_is_repeated_bit_for_bit_from_its_seed(finished, tmp_path):
    loop.train(TINY, tmp_path / "again", say=lambda line: None)
    a, b = (checkpoints.load(folder / "last.npz") for folder in (finished[0], tmp_path / "again"))
    np.testing.assert_array_equal(a.parameters.flat, b.parameters.flat)


PRESETS_MADE_SMALL = dict(data="shapes", scenes=48, image_size=16, channels=16, heads=2, hidden=32, max_length=32,
                          epochs=2, batch_size=8, self_critical_epochs=0, dropout=0.1, threads=2, flip=True,
                          crop=0.2, colour=0.2)


def stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Send this process a signal while it does a step."""
    real = Trainer.step

    def and_signal(trainer, batch, at, rate):
        if at == step:
            os.kill(os.getpid(), number)
        return real(trainer, batch, at, rate)
    monkeypatch.setattr(Trainer, "step", and_signal)


def assert_same_end(one, other):
    a, b = (checkpoints.load(folder / "last.npz") for folder in (one, other))
    np.testing.assert_array_equal(a.parameters.flat, b.parameters.flat)
    np.testing.assert_array_equal(a.optimiser, b.optimiser)
    assert without_times(a.state) == without_times(b.state)
    best = [checkpoints.load(folder / "best.npz") for folder in (one, other)]
    np.testing.assert_array_equal(best[0].parameters.flat, best[1].parameters.flat)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numba", pytest.param("numpy", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [*(name for name in PRESETS if PRESETS[name].model.encoder_blocks
                                    and not PRESETS[name].training.soft_weight),
                                  "all captions", "averaged"])
def test_a_run_stopped_at_any_step_and_resumed_ends_as_if_it_had_not_stopped(name, engine, tmp_path, monkeypatch):
    more = {"all captions": {"captions": "all"}, "averaged": {"average": 5}}.get(name, {})
    config = override(PRESETS[name if name in PRESETS else "flickr8k"], **PRESETS_MADE_SMALL, engine=engine, **more)
    loop.train(config, tmp_path / "calm", say=lambda line: None)
    for step in (1, 4, 6, 9):                                # of two epochs of six: 6 ends the first
        with monkeypatch.context() as patch, pytest.raises(Stopped, match=f"holds all {step} steps"):
            stop_at(patch, step)
            loop.train(config, tmp_path / "run", resume=step > 1, say=lambda line: None)
    loop.train(config, tmp_path / "run", resume=True, say=lambda line: None)
    assert_same_end(tmp_path / "calm", tmp_path / "run")
    rows = [list(csv.DictReader(open(tmp_path / folder / "log.csv"))) for folder in ("calm", "run")]
    assert [row["train"] for row in rows[0]] == [row["train"] for row in rows[1]] and len(rows[0]) == 2


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_steps_on_several_weighted_captions_go_on_from_what_a_checkpoint_keeps(engine):
    config = override(TINY, engine=engine, vocabulary=20, threads=2)
    rng = np.random.default_rng(0)
    images, ids = rng.integers(0, 256, (4, 16, 16, 3), np.uint8), rng.integers(1, 20, (4, 3, 8))
    batch = whole(images, ids, rng.standard_normal((4, 3)))
    trainer = Trainer(config, initialise(config.model, 0))
    for number in (1, 2):
        trainer.step(batch, number, 1e-3)
    again = Trainer(config, copy.deepcopy(trainer.parameters), copy.deepcopy(trainer.optimiser))
    for number in (3, 4):
        assert trainer.step(batch, number, 1e-3) == again.step(batch, number, 1e-3)
    np.testing.assert_array_equal(trainer.parameters.flat, again.parameters.flat)


def test_training_on_all_captions_of_an_image_counts_every_one_of_them(tmp_path):
    config = override(TINY, captions="all", epochs=1)
    loop.train(config, tmp_path / "run", say=lambda line: None)
    last = checkpoints.load(tmp_path / "run" / "last.npz")
    captions = [text for texts in load_dataset("shapes", 16, seed=0, scenes=40).train.captions for text in texts]
    assert len(captions) == 200 and last.state["step"] == 3
    assert last.state["log"][0]["train"] == pytest.approx(np.log(last.config.model.vocabulary), rel=0.3)


@pytest.mark.slow
def test_a_training_that_is_killed_loses_nothing(tmp_path):
    _, steps = stress.stress(4, tmp_path)
    assert len(steps) == 4


def test_checkpoints_within_an_epoch_come_at_the_interval(tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(preparation.checkpoints, "save", lambda path, c: steps.append((path.name, c.state["step"])))
    with pytest.raises(CheckpointError):                     # at the end, as nothing was really saved
        loop.train(TINY, tmp_path / "a", say=lambda line: None, save_minutes=0)
    assert [step for name, step in steps if name == "last.npz"] == list(range(10))
    steps.clear()
    with pytest.raises(CheckpointError):
        loop.train(TINY, tmp_path / "b", say=lambda line: None)
    assert [step for name, step in steps if name == "last.npz"] == [0, 3, 6, 9]


def test_an_earlier_training_is_never_run_over(finished):
    with pytest.raises(CheckpointError, match="--resume"):
        loop.train(TINY, finished[0])


def test_resuming_with_other_settings_says_which_differ_and_whether_they_may(finished, tmp_path):
    with pytest.raises(CheckpointError, match="learning_rate was 0.003, now 1e-05.*threads.*may differ"):
        loop.train(replace(TINY, training=replace(TINY.training, learning_rate=1e-5)), finished[0], resume=True)
    with pytest.raises(CheckpointError, match="channels was 16, now 32"):
        loop.train(replace(TINY, model=replace(TINY.model, channels=32)), finished[0], resume=True)
    shutil.copytree(finished[0], tmp_path / "run")
    said = []
    loop.train(override(TINY, epochs=4, threads=1), tmp_path / "run", resume=True, say=said.append)
    assert_says(said[0], "epochs was 3, now 4 (allowed:", "threads was 0, now 1 (allowed: rounding")
    assert checkpoints.load(tmp_path / "run" / "last.npz").state["epoch"] == 4


def test_resuming_with_other_data_is_refused_but_they_may_have_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = []
    for i in range(24):
        Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,a grey of {i}\n")
    (folder / "captions.txt").write_text("".join(lines))
    config = override(TINY, data=str(folder), epochs=1, batch_size=4)
    loop.train(config, tmp_path / "run", say=lambda line: None)
    folder.rename(tmp_path / "moved")
    config = override(config, data=str(tmp_path / "moved"), epochs=2)
    loop.train(config, tmp_path / "run", resume=True, say=lambda line: None)
    (tmp_path / "moved" / "captions.txt").write_text("".join(lines).replace("a grey of", "a gray of"))
    with pytest.raises(CheckpointError, match="other images or captions"):
        loop.train(override(config, epochs=3), tmp_path / "run", resume=True, say=lambda line: None)


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with refused(ConfigError, "batch_size is 64", "40 training images", "--batch-size"):
        loop.train(override(TINY, batch_size=64), tmp_path / "run", say=lambda line: None)


def test_resuming_nothing_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="There is no folder"):
        loop.train(TINY, tmp_path / "none", resume=True)


def learn_by_heart(images, ids, config, rate, steps=600):
    """-> the loss, at most 0.05 unless the steps did not suffice, and the parameters"""
    settings = TrainingConfig(beta2=0.98, weight_decay=0.0, clip_norm=1.0)
    trainer = Trainer(Config(config, settings), initialise(config, 0))
    for number in range(1, steps + 1):
        loss = trainer.step(whole(images, ids[:, None]), number, rate * min(1, number / 20))["likelihood"]
        if loss < 0.05:
            break
    return loss, trainer.parameters


def test_the_model_can_learn_one_batch_by_heart():
    data = load_dataset("shapes", 32, seed=0, scenes=8)
    tokenizer = CharTokenizer.build([captions[0] for captions in data.train.captions])
    config = ModelConfig(image_size=32, channels=32, heads=2, hidden=64, encoder_blocks=1, decoder_blocks=1,
                         max_length=64, vocabulary=tokenizer.size)
    sequences = encode_captions(data.train, tokenizer, 64)
    loss, parameters = learn_by_heart(data.train.images, trim(sequences.ids[sequences.first[:-1]]), config, 5e-3)
    assert loss < 0.05
    captioner = Captioner(config, tokenizer, parameters)
    assert captioner.captions(list(data.train.images)) == [c[0] for c in data.train.captions]


@pytest.mark.slow
def test_the_model_can_learn_16_real_photographs_by_heart(flickr8k, tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path))
    data = load_dataset(flickr8k, 64, seed=0, limit=16)
    tokenizer = CharTokenizer.build([text for texts in data.train.captions for text in texts])
    config = ModelConfig(image_size=64, vocabulary=tokenizer.size)
    sequences = encode_captions(data.train, tokenizer, 48)
    loss, _ = learn_by_heart(data.train.images, sequences.ids[sequences.first[:-1]], config, 1e-3)
    assert loss < 0.05


# --------------------------------------------------------------------------------------------------- numbers gone bad

def spoil(trainer, name, value=np.nan):
    trainer.parameters.named[name].reshape(-1)[3] = value
    if hasattr(trainer.engine, "matrices"):
        for matrix in trainer.engine.matrices:
            matrix.pack()


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("name, value, culprit", [
    ("encoder.0.mlp.down.bias", np.nan, "encoder.0.mlp, in its forward: its output"),
    ("decoder.0.cross_attention.q.weight", np.inf, "decoder.0.cross_attention, in its forward: its output"),
    ("patch_embed.position", np.inf, "patch_embed, in its forward")])
def test_a_step_with_bad_numbers_names_the_sublayer_that_made_them_first(engine, name, value, culprit):
    config = override(TINY, engine=engine, vocabulary=20, threads=2)
    trainer = Trainer(config, initialise(config.model, 0))
    batch = whole(np.zeros((4, 16, 16, 3), np.uint8), np.full((4, 1, 6), 5))
    trainer.step(batch, 1, 1e-3)
    spoil(trainer, name, value)
    before = trainer.parameters.flat.copy(), *(moment.copy() for moment in trainer.optimiser)
    with pytest.raises(TrainingError, match=f"In step 2 the loss is .*gradients are not finite.*{culprit}"):
        trainer.step(batch, 2, 1e-3)
    for a, b in zip(before, (trainer.parameters.flat, *trainer.optimiser)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_a_gradient_gone_bad_behind_a_good_loss_is_found_in_the_backward(engine, monkeypatch):
    config = override(TINY, engine=engine, vocabulary=20, threads=1, dropout=0.0)
    trainer = Trainer(config, initialise(config.model, 0))
    real = trainer.engine.layers.mlp_backward

    def broken(dout, cache, g):
        dx = real(dout, cache, g)
        g["up.bias"][1] = np.nan
        return dx
    monkeypatch.setattr(trainer.engine.layers, "mlp_backward", broken)
    with pytest.raises(TrainingError, match=r"In step 1 the loss is \d.*\(.*mlp.up.bias.*"
                                            r"decoder.0.mlp, in its backward: the gradient of its up.bias"):
        trainer.step(whole(np.zeros((4, 16, 16, 3), np.uint8), np.full((4, 1, 6), 5)), 1, 1e-3)


def test_training_stops_at_bad_numbers_and_says_what_is_still_good(tmp_path, monkeypatch):
    real = Trainer.step

    def spoiled(trainer, batch, number, rate):
        if number == 5:
            spoil(trainer, "decoder.0.mlp.up.bias")
        return real(trainer, batch, number, rate)
    monkeypatch.setattr(Trainer, "step", spoiled)
    with pytest.raises(TrainingError,
                       match=r"step 5.*decoder.0.mlp.*last.npz, saved earlier, is intact.*--learning-rate"):
        loop.train(TINY, tmp_path / "run", say=lambda line: None)
    good = checkpoints.load(tmp_path / "run" / "last.npz")
    assert good.state["step"] == 3 and np.isfinite(good.parameters.flat).all()


def test_debug_nan_checks_every_sublayer_in_every_step(tmp_path, monkeypatch):
    real = layers.mlp_forward

    def infinite_where_nobody_looks(x, p, rate, key):
        out, cache = real(x, p, rate, key)
        out[..., -1, 0] = np.inf                             # then the loss of the last token alone, which is padding
        return out, cache
    config = override(TINY, engine="numpy", decoder_blocks=1, encoder_blocks=1)
    monkeypatch.setattr(layers, "mlp_forward", infinite_where_nobody_looks)
    with pytest.raises(TrainingError, match="In step 1 the first NaN or infinity came from encoder.0.mlp"):
        loop.train(config, tmp_path / "run", say=lambda line: None, debug_nan=True)


# ------------------------------------------------------------------------------------------- the average of the weights

def test_the_average_is_that_of_all_weights_at_first_and_exponential_later():
    config = replace(TINY, training=replace(TINY.training, average=3))
    config = replace(config, model=replace(config.model, vocabulary=9))
    trainer = Trainer(config, initialise(config.model, 0))
    batch = whole(np.zeros((4, 16, 16, 3), np.uint8), np.full((4, 1, 6), 5))
    expected = None
    for number in range(1, 8):
        trainer.step(batch, number, 1e-2)
        flat = trainer.parameters.flat.astype(np.float64)
        expected = flat if expected is None else expected + (flat - expected) / min(number, 3)
    np.testing.assert_allclose(trainer.average, expected, rtol=0, atol=1e-6)
    before = trainer.parameters.flat.copy()
    with trainer.averaged():
        assert np.array_equal(trainer.parameters.flat, trainer.average)
    assert np.array_equal(trainer.parameters.flat, before)


def test_the_better_of_weights_and_average_is_kept(tmp_path):
    for name, rate in [("average", 0.3), ("weights", 1e-4)]:  # too large steps leap about; small ones keep improving
        config = override(TINY, average=10 ** 6, learning_rate=rate, schedule="constant", epochs=1)
        captioner = loop.train(config, tmp_path / name, say=lambda line: None)
        last = checkpoints.load(tmp_path / name / "last.npz")
        [row] = last.state["log"]
        assert (row["val_average"] < row["val"]) == (name == "average")
        kept = last.optimiser[2] if name == "average" else last.parameters.flat
        assert np.array_equal(captioner.parameters.flat, kept)
        assert last.state["best"] == min(row["val"], row["val_average"])
