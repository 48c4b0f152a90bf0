"""train.py and sample.py as a person runs them."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent


def run(*arguments, cwd):
    command = [sys.executable, ROOT / arguments[0], *map(str, arguments[1:])]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    result = run("train.py", "--epochs", 1, "--limit", 40, "--image-size", 16, cwd=folder)
    assert result.returncode == 0, result.stderr
    Image.fromarray(np.full((30, 50, 3), 200, np.uint8)).save(folder / "grey.png")
    return folder, result


def test_training_needs_no_arguments_but_time(trained):
    folder, result = trained
    assert (folder / "runs" / "shapes" / "best.npz").exists()
    assert "Held-out scenes" in result.stdout


def test_sample_prints_a_line_for_each_image_from_the_newest_model(trained):
    result = run("sample.py", "grey.png", "grey.png", cwd=trained[0])
    assert result.returncode == 0, result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["grey.png", "grey.png"]


@pytest.mark.parametrize("arguments, said", [
    (["sample.py", "absent.png"], "absent.png"),
    (["sample.py", "notes.txt"], "notes.txt cannot be read as an image"),
    (["sample.py", "grey.png", "--checkpoint", "notes.txt"], "notes.txt is not a checkpoint"),
    (["train.py", "--data", "nowhere", "--out", "y"], "nowhere"),
    (["train.py", "--preset", "seed128"], "seed-128"),
    (["train.py", "--preset", "seed-128"], "--data"),
    (["train.py", "--out", "x", "--image-size", "99"], "image_size 99"),
    (["train.py"], "--resume")])
def test_what_a_user_got_wrong_is_one_sentence_and_exit_status_2(trained, arguments, said):
    (trained[0] / "notes.txt").write_text("neither an image nor a model")
    result = run(*arguments, cwd=trained[0])
    assert result.returncode == 2
    assert said in result.stderr and "Traceback" not in result.stderr


def test_sampling_without_any_model_says_how_to_get_one(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    result = run("sample.py", "a.png", cwd=tmp_path)
    assert result.returncode == 2 and "python train.py" in result.stderr


def test_the_first_run_ever_says_that_it_compiles_and_the_next_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    arguments = "train.py", "--epochs", 1, "--limit", 16, "--image-size", 16
    first, second = (run(*arguments, "--out", tmp_path / name, cwd=tmp_path) for name in ("first", "second"))
    assert "compiling the kernels, once" in first.stderr
    assert "compiling" not in second.stderr
