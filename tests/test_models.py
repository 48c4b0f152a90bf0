"""The model that ships."""
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import npcaption
from npcaption.captioning import decoding
from npcaption.config import override, preset
from npcaption.data.dataset import load_dataset
from npcaption.evaluate import metrics
from npcaption.model import checkpoint
from npcaption.model.checkpoint import SHIPPED

ROOT = Path(__file__).parent.parent


def test_it_is_small_and_holds_nothing_but_what_captioning_needs():
    found = checkpoint.load(SHIPPED)
    assert SHIPPED.stat().st_size <= 5_000_000 and found.parameters.flat.size <= 1_050_000
    assert found.optimiser is None and found.config.model.bag == 0


def test_it_was_trained_by_the_preset():
    found = checkpoint.load(SHIPPED)
    given = {"vocabulary": found.config.model.vocabulary, "threads": found.config.training.threads, "data": "flickr8k"}
    assert found.config == override(preset("flickr8k"), **given)
    assert len(found.state["log"]) <= found.config.training.epochs and found.state["epoch"] == found.state["best_epoch"]


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
    for split, way in [("validation", "greedy"), ("validation", "beam 4"), ("test", "greedy"), ("test", "beam 4")]:
        scores = card.split(f"| {split} | {way} | ")[1].split(" |\n")[0]  # BLEU-4, ROUGE-L, CIDEr-D, distinct
        assert f"| {scores} |" in results


@pytest.mark.slow
def test_it_scores_on_photographs_what_is_said_of_it(flickr8k):
    captioner = npcaption.load(engine="numba")
    val = load_dataset(str(flickr8k), captioner.config.image_size, 0, looked_at=("val",)).val
    captions = captioner.captions(list(val.images), partial(decoding.beam, width=4))
    references = [[metrics.tokenize(text) for text in texts] for texts in val.captions]
    found = metrics.cider_d([metrics.tokenize(caption) for caption in captions], references).corpus
    said = float(SHIPPED.with_name("README.md").read_text().split("| validation | beam 4 | ")[1].split("|")[2])
    assert 100 * found == pytest.approx(said, abs=0.06)
