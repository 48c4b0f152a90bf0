"""Distillation: the teacher's soft targets and features, stores of them, and whole trainings."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npcaption.config import override
from npcaption.data import store
from npcaption.data.batches import encode_captions, epoch_batches
from npcaption.data.dataset import load_dataset
from npcaption.errors import Stopped
from npcaption.model import checkpoint as checkpoints
from npcaption.model.engines import make_engine
from npcaption.model.objectives.soft_targets import UNIT, likeliest
from npcaption.model.parameters import Parameters
from npcaption.tokenizers import CharTokenizer, caption_ids
from npcaption.training import loop
from npcaption.training import teacher as teachers
from npcaption.training.teacher import Lessons, Standardised
from npcaption.training.trainer import Trainer
from tests.campaigns.stress import without_times
from tests.helpers.distillation import SAYING_NOTHING, SHAPES, lessons_of, taught

pytestmark = pytest.mark.usefixtures("cache")

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------------------------------------ soft targets

def test_the_likeliest_tokens_are_those_of_a_sorted_softmax():
    logits = 3 * np.random.default_rng(0).standard_normal((50, 40))
    found = likeliest(logits, 6)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert np.array_equal(found[:, 0], np.argsort(-p, -1)[:, :6]) and found.dtype == np.uint16
    np.testing.assert_allclose(found[:, 1] / UNIT, -np.sort(-p, -1)[:, :6], atol=0.51 / UNIT)


def test_soft_targets_are_the_teachers_distributions_beside_the_image_of_its_own_size(teacher, monkeypatch):
    monkeypatch.setattr(teachers, "MOST", 5)
    lessons, split = lessons_of(teacher)
    said = []
    rows = lessons.soft_targets(said.append)
    best = checkpoints.load(teacher)
    assert rows.shape == (len(lessons.sequences.ids), 39, 2, 5) and best.config.model.image_size == 24
    textbook = make_engine("numpy", best.config.model,
                           Parameters(best.config.model, np.float64, best.parameters.flat.astype(float)))
    images = load_dataset("shapes", 24, 0, 60).train.images
    mass = []
    for image, caption in [(0, 0), (17, 3), (59, 4)]:
        ids = caption_ids(best.tokenizer, split.captions[image][caption], 40)
        row, length = rows[lessons.sequences.first[image] + caption], int((ids != 0).sum()) - 1
        logits = textbook.decode_logits(textbook.encode(images[image:image + 1]), np.array([0]), ids[None])[0]
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        for place in range(length):
            np.testing.assert_allclose(row[place, 1] / UNIT, -np.sort(-p[place])[:5], atol=1e-5)
            np.testing.assert_allclose(row[place, 1] / UNIT, p[place, row[place, 0]], atol=1e-5)
        assert not row[length:].any() and row[:length, 1, 0].all()
        mass.append(row[:length, 1].sum() / UNIT / length)
    told = float(said[0].split(" keep ")[1].split("%")[0]) / 100
    assert min(mass) - 0.05 < told < 1 and "5 ids for each of" in said[0]


def test_a_store_of_soft_targets_is_found_again_and_another_teacher_has_its_own(teacher, cache, tmp_path, monkeypatch):
    lessons, _ = lessons_of(teacher)
    first = lessons.soft_targets(print)
    monkeypatch.setattr(Lessons, "_of_captions", None)       # nothing is computed again
    again, _ = lessons_of(teacher)
    assert np.array_equal(again.soft_targets(print), first) and len(list(cache.glob("soft-*.npy"))) == 1
    for change in ({"sha256": "0" * 64}, {}):
        other, _ = lessons_of(teacher)
        other.teacher = other.teacher._replace(**change)
        if not change:
            other.sequences.ids[0, 3] += 1
        with pytest.raises(TypeError):                       # it would be computed
            other.soft_targets(print)


@pytest.fixture(scope="module", params=["numba", "numpy"])
def undisturbed(request, teacher, tmp_path_factory):
    """Settings of an engine, its soft targets, and the bytes of their store"""
    config, folder = override(SHAPES, engine=request.param), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NPCAPTION_CACHE", str(folder))
        whole = np.array(lessons_of(teacher, config)[0].soft_targets(print))
    return config, whole, next(folder.glob("soft-*.npy")).read_bytes()


@pytest.mark.parametrize("after", [1, 43, 80, 299])
def test_an_interrupted_store_is_resumed_and_becomes_the_same(undisturbed, teacher, cache, monkeypatch, capsys, after):
    config, whole, kept = undisturbed

    def interrupted(rows, *_):
        for number, row in enumerate(rows):
            if number == after:
                raise KeyboardInterrupt
            yield row
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "progress", interrupted)
        lessons_of(teacher, config)[0].soft_targets(print)
    lessons, _ = lessons_of(teacher, config)
    looked = []
    monkeypatch.setattr(lessons, "_looked_at",
                        lambda images: looked.extend(images) or Lessons._looked_at(lessons, images))
    assert np.array_equal(lessons.soft_targets(print), whole) and next(cache.glob("soft-*.npy")).read_bytes() == kept
    assert looked[0] == after // 5 // 16 * 16
    assert f"Resuming the soft-target store: {after} of 300 captions" in capsys.readouterr().err


def test_pooled_features_are_standardised_means_of_the_encoders_tokens(teacher):
    lessons, _ = lessons_of(teacher)
    found = lessons.features(print)
    best = checkpoints.load(teacher)
    images = load_dataset("shapes", 24, 0, 60).train.images
    tokens = make_engine("numpy", best.config.model, best.parameters).encode(images).mean(1)
    expected = (tokens - tokens.mean(0)) / (tokens.std(0) + 1e-4)
    numbers = np.array([3, 59, 0])
    np.testing.assert_allclose(found[numbers], expected[numbers], atol=1e-4)
    assert found.shape == (60, 24) and found[numbers].dtype == np.float32


def test_a_channel_that_is_the_same_in_all_images_is_zero():
    found = Standardised(np.array([[1.0, 5], [3, 5]], np.float32))
    np.testing.assert_allclose(found[np.arange(2)], [[-1, 0], [1, 0]], rtol=1e-3)


def test_each_caption_of_a_batch_has_its_own_rows_beside_it():
    split = load_dataset("shapes", 8, 0, 7).train
    sequences = encode_captions(split, CharTokenizer.build([text for texts in split.captions for text in texts]), 30)
    rows = np.arange(len(sequences.ids))[:, None, None] + np.zeros((1, 29, 2), int)
    sequences = sequences._replace(of_captions={"soft": rows})
    for captions in ("random", "all", "first"):
        for batch in epoch_batches(split.images, sequences, 3, captions, 0, 0):
            found = batch.targets["soft"]
            assert found.shape == (*batch.ids.shape[:2], batch.ids.shape[2] - 1, 2)
            for ids, numbers in zip(batch.ids.reshape(-1, batch.ids.shape[2]), found[:, :, 0, 0].reshape(-1)):
                assert np.array_equal(ids, sequences.ids[numbers, :len(ids)])


# --------------------------------------------------------------------------------------------------------- trainings

COLUMNS = {"train_bag", "train_soft", "train_feature"}


@pytest.mark.parametrize("settings, columns", [
    (dict(feature_weight=0.0), {"train_soft"}), (dict(soft_weight=0.0), {"train_feature"}),
    ({}, {"train_soft", "train_feature"}),
    (dict(bag_weight=0.03, bag_least=5, captions="all", soft_weight=1.0), COLUMNS)],
    ids=["soft", "features", "both", "all"])
def test_each_objective_alone_and_together_is_learnt_and_logged(teacher, tmp_path, settings, columns):
    captioner = loop.train(taught(teacher, **settings, epochs=4), tmp_path / "run", **SAYING_NOTHING)
    last, best = (checkpoints.load(tmp_path / "run" / name) for name in ("last.npz", "best.npz"))
    rows = last.state["log"]
    assert rows[0].keys() & COLUMNS == columns and "train" in rows[0]
    for column in columns:
        assert rows[-1][column] < rows[0][column], column
    assert (last.config.model.regression == 24) == ("train_feature" in columns)
    assert best.config.model.regression == 0
    assert not [name for name in best.parameters.named if name.startswith("regression")]
    assert captioner.caption(np.zeros((16, 16, 3), np.uint8))


def test_soft_weight_shares_the_loss_between_people_and_teacher(teacher, tmp_path):
    moments = {}
    for weight in (0.0, 0.5, 1.0):                           # an epoch is one step
        config = taught(teacher if weight else "", soft_weight=weight, feature_weight=0.0, batch_size=60, epochs=1)
        loop.train(config, tmp_path / str(weight), **SAYING_NOTHING)
        moments[weight] = checkpoints.load(tmp_path / str(weight) / "last.npz").optimiser[0]
    assert np.abs(moments[0.0] - moments[1.0]).max() > 1e-4
    np.testing.assert_allclose(moments[0.5], (moments[0.0] + moments[1.0]) / 2, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("engine", ["numba", pytest.param("numpy", marks=pytest.mark.slow)])
def test_a_run_stopped_at_any_step_and_resumed_ends_as_if_undisturbed(teacher, tmp_path, cache, monkeypatch, engine):
    config = taught(teacher, bag_weight=0.03, bag_least=5, dropout=0.1, crop=0.2, average=3, engine=engine)
    loop.train(config, tmp_path / "calm", **SAYING_NOTHING)
    step = Trainer.step
    for at in (1, 3, 6):                                     # of two epochs of four
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(Trainer, "step", lambda trainer, batch, number, rate: [
                signal.raise_signal(signal.SIGTERM) if number == at else None, step(trainer, batch, number, rate)][1])
            loop.train(config, tmp_path / "run", resume=at > 1, **SAYING_NOTHING)
        for file in [*cache.glob("soft-*"), *cache.glob("pooled-*")]:
            file.unlink()                                    # they are made again
    loop.train(config, tmp_path / "run", resume=True, **SAYING_NOTHING)
    assert_same_end(tmp_path / "calm", tmp_path / "run")


def assert_same_end(one, other):
    for name in ("best.npz", "last.npz"):
        a, b = (checkpoints.load(folder / name) for folder in (one, other))
        np.testing.assert_array_equal(a.parameters.flat, b.parameters.flat)
    np.testing.assert_array_equal(a.optimiser, b.optimiser)
    assert without_times(a.state) == without_times(b.state)


KILLED = """
import os, signal, sys
from npcaption.data import store
from npcaption.training import cli
from npcaption.training.trainer import Trainer
def dies(rows, total, noun, unit):
    for number, row in enumerate(rows):
        if noun == "soft-target store" and number == 101:
            os.kill(os.getpid(), signal.SIGKILL)
        yield row
step = Trainer.step
def killed(trainer, batch, number, rate):
    if number == 6 and bool(trainer.sampler) == (sys.argv[1] == "second"):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(trainer, batch, number, rate)
if sys.argv[1] == "store":
    store.progress, store.SAVE_EVERY = dies, -1
if sys.argv[1] in ("step", "second"):
    Trainer.step = killed
cli.main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_distillation_killed_in_the_store_or_in_a_step_of_either_stage_is_resumed_to_the_bit(teacher, tmp_path):
    flags = ["--scenes", "60", "--image-size", "16", "--channels", "16", "--hidden", "32", "--max-length", "40",
             "--epochs", "2", "--batch-size", "16", "--engine", "numpy", "--teacher", str(teacher),
             "--soft-weight", "0.5", "--feature-weight", "1", "--save-minutes", "0",
             "--self-critical-epochs", "2", "--samples", "2"]

    def run(how, out, cache, *more):
        environment = {**os.environ, "NPCAPTION_CACHE": str(tmp_path / cache)}
        return subprocess.run([sys.executable, "-c", KILLED, how, *flags, "--out", str(tmp_path / out), *more],
                              cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run("calm", "calm", "one").returncode == 0
    assert run("store", "run", "two").returncode == -signal.SIGKILL
    begun = run("step", "run", "two")
    assert begun.returncode == -signal.SIGKILL and "Resuming the soft-target store: 101 of 300 captions" in begun.stderr
    assert run("second", "run", "two", "--resume").returncode == -signal.SIGKILL
    assert_same_end(tmp_path / "calm", tmp_path / "run")
    assert 4 < checkpoints.load(tmp_path / "run" / "self-critical" / "last.npz").state["step"] < 8  # of 8
    assert run("calm", "run", "two", "--resume").returncode == 0
    assert_same_end(tmp_path / "calm" / "self-critical", tmp_path / "run" / "self-critical")


@pytest.mark.slow
@pytest.mark.parametrize("weight, columns", [(1.0, {"train_feature"}), (0.0, set())])
def test_a_self_critical_stage_after_it_keeps_the_regression_alone(teacher, tmp_path, weight, columns):
    loop.train(taught(teacher, epochs=1, self_critical_epochs=1, samples=2, feature_weight=weight), tmp_path / "run",
               **SAYING_NOTHING)
    last = checkpoints.load(tmp_path / "run" / "self-critical" / "last.npz")
    assert bool(last.config.training.teacher) == bool(last.config.model.regression) == bool(weight)
    assert last.state["log"][0].keys() & COLUMNS == columns and last.config.training.soft_weight == 0
