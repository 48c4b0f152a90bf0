"""The models that ship: flickr8k, the default, and flickr8k-scratch."""
import os
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import npcaption
from npcaption.captioning import decoding
from npcaption.config import TrainingConfig, for_rewards, override, preset, second_stage
from npcaption.data.dataset import load_dataset
from npcaption.errors import CheckpointError
from npcaption.evaluate import metrics
from npcaption.model import checkpoint
from npcaption.model.checkpoint import MODELS, SHIPPED
from tests.helpers.refusals import refused

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", MODELS)
def test_each_is_small_and_holds_nothing_but_what_captioning_needs(name):
    found, path = checkpoint.load(name), MODELS[name]
    assert path.stat().st_size <= 5_000_000 and found.parameters.flat.size <= 1_050_000
    assert found.optimiser is None and found.config.model.bag == found.config.model.regression == 0
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 10_000_000
    np.testing.assert_array_equal(npcaption.load(name).parameters.flat, found.parameters.flat)


def test_the_default_was_trained_by_the_distilled_preset_in_its_second_stage():
    found, default = checkpoint.load("flickr8k"), npcaption.load()
    np.testing.assert_array_equal(default.parameters.flat, found.parameters.flat)
    t = found.config.training
    given = {name: getattr(t, name) for name in ("data", "teacher", "encoder", "threads", "seed")}
    stage = for_rewards(second_stage(override(preset("flickr8k-distilled"), **given), t.begin))
    assert found.config == override(stage, vocabulary=found.config.model.vocabulary)
    assert t.teacher and found.state["epoch"] == found.state["best_epoch"] == len(found.state["log"]) <= t.epochs


def test_the_one_from_scratch_was_trained_by_likelihood_alone_without_a_teacher():
    found = checkpoint.load("flickr8k-scratch")
    given = {"vocabulary": found.config.model.vocabulary, "threads": found.config.training.threads, "data": "flickr8k"}
    given |= {name: getattr(found.config.training, name) for name in asdict(TrainingConfig())
              if name.startswith("self_critical")}           # it has no second stage
    assert given["self_critical_epochs"] == 0 and found.config == override(preset("flickr8k"), **given)
    assert len(found.state["log"]) <= found.config.training.epochs and found.state["epoch"] == found.state["best_epoch"]


def test_a_name_of_a_model_is_found_from_every_folder_even_beside_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flickr8k").mkdir()
    assert checkpoint.load("flickr8k").config.training.teacher
    with refused(CheckpointError, "absent", "flickr8k-scratch"):
        checkpoint.load("absent")


@pytest.mark.slow
def test_it_captions_with_numpy_alone_and_without_a_checkpoint_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(tmp_path / "noise.png")
    program = ("import sys, npcaption; print(npcaption.load().caption('noise.png')); "
               "assert not {'numba', 'llvmlite'} & set(sys.modules)")
    for command in ([sys.executable, "-c", program], [sys.executable, ROOT / "sample.py", "noise.png"]):
        result = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
                                text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        assert len(result.stdout.split()) > 3


def test_the_card_beside_it_says_what_it_is():
    card = SHIPPED.with_name("README.md").read_text()
    for heading in ("Training", "Data", "Scores", "Limits"):
        assert f"## {heading}" in card
    assert f"{checkpoint.load(SHIPPED).parameters.flat.size:,} parameters" in card
    results = (ROOT / "docs" / "results.md").read_text()
    for name in MODELS:
        for split, way in [("validation", "greedy"), ("validation", "beam 4"), ("test", "greedy"), ("test", "beam 4")]:
            scores = card.split(f"| {name} | {split} | {way} | ")[1].split(" |\n")[0]  # from BLEU-4 to distinct
            assert f"| {scores} |" in results


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_scores_on_photographs_what_is_said_of_it(name, flickr8k):
    captioner = npcaption.load(name, engine="numba")
    val = load_dataset(str(flickr8k), captioner.config.image_size, 0, looked_at=("val",)).val
    captions = captioner.captions(list(val.images), partial(decoding.beam, width=4))
    references = [[metrics.tokenize(text) for text in texts] for texts in val.captions]
    found = metrics.cider_d([metrics.tokenize(caption) for caption in captions], references).corpus
    card = SHIPPED.with_name("README.md").read_text()
    said = float(card.split(f"| {name} | validation | beam 4 | ")[1].split("|")[2])
    assert 100 * found == pytest.approx(said, abs=0.06)
