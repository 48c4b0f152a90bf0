"""train.py and sample.py as a person runs them."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npcaption.__main__ import COMMANDS
from npcaption.model import checkpoint as checkpoints

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def run(*arguments, cwd):
    command = [sys.executable, *map(str, arguments)]
    if arguments[0] != "-m":
        command[1] = ROOT / arguments[0]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    result = run("train.py", "--epochs", 1, "--limit", 40, "--image-size", 16, cwd=folder)
    assert result.returncode == 0, result.stderr
    Image.fromarray(np.full((30, 50, 3), 200, np.uint8)).save(folder / "grey.png")
    return folder, result


@pytest.mark.slow
def test_training_needs_no_arguments_but_time(trained):
    folder, result = trained
    assert (folder / "runs" / "shapes" / "best.npz").exists()
    assert "Held-out scenes" in result.stdout


def test_a_model_that_no_memory_holds_is_refused_with_a_sentence(tmp_path):
    result = run("train.py", "--limit", 40, "--channels", 4 * 10 ** 6, cwd=tmp_path)  # 10^14 parameters
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "Not enough memory" in result.stderr and "smaller model" in result.stderr


@pytest.mark.slow
def test_sample_prints_a_line_for_each_image_from_the_model_that_is_named(trained):
    result = run("sample.py", "grey.png", "grey.png", "--checkpoint", "runs/shapes/best.npz", cwd=trained[0])
    assert result.returncode == 0, result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["grey.png", "grey.png"]


@pytest.mark.slow
def test_sample_takes_folders_decodes_as_told_and_goes_on_after_a_bad_image(trained):
    folder = trained[0] / "photos"
    folder.mkdir()
    for level in (0, 90, 180):
        Image.new("RGB", (40, 30), (level, 0, 0)).save(folder / f"{level}.png")
    (folder / "50.png").write_bytes(b"broken")
    result = run("sample.py", "photos", "--beam", 3, "--count", 2, "--json", "--attention", "a.png", cwd=trained[0])
    assert result.returncode == 2 and "50.png cannot be read" in result.stderr and "Traceback" not in result.stderr
    told = [json.loads(line) for line in result.stdout.splitlines()]
    errors = [("error" in entry, len(entry.get("captions", []))) for entry in told]
    assert errors == [(False, 2), (False, 2), (True, 0), (False, 2)]
    assert sorted(path.name for path in trained[0].glob("a-*.png")) == ["a-1.png", "a-2.png", "a-4.png"]


@pytest.mark.slow
def test_evaluate_prints_the_scores_and_writes_them_and_a_page(trained):
    command = [sys.executable, "-m", "npcaption.evaluate", "--limit", "12", "--length-penalty", "0.7", "--json",
               "s.json", "--html", "p.html"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=trained[0], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    scores = json.loads((trained[0] / "s.json").read_text())
    assert all(row["name"] in result.stdout for row in scores["scores"]) and len(scores["captions"]) == 12
    assert "beam 4, length penalty 0.7" in result.stdout and scores["length_penalty"] == 0.7
    assert scores["max_length"] > 0
    assert (trained[0] / "p.html").read_text().count("<article") == 12
    command[-1] = "nowhere/p.html"
    result = subprocess.run(command, cwd=trained[0], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2 and "There is no folder nowhere" in result.stderr and not result.stdout


@pytest.mark.parametrize("call, usage", [
    (["train.py"], "train.py"), (["sample.py"], "sample.py"), (["-m", "npcaption"], "python -m npcaption"),
    (["-m", "npcaption", "gradcheck"], "python -m npcaption gradcheck"),
    *((["-m", f"npcaption.{name}"], f"python -m npcaption.{name}") for name in COMMANDS)])
def test_help_shows_the_usage_as_the_command_was_called(call, usage, tmp_path):
    result = run(*call, "--help", cwd=tmp_path)
    python = Path(sys.executable).name
    assert result.returncode == 0 and not result.stderr
    assert result.stdout.startswith(f"usage: {usage.replace('python', python)} ")


def test_the_installed_command_is_told_by_its_name(tmp_path):
    (tmp_path / "npcaption").write_text("from npcaption.__main__ import entry\nentry()\n")
    for words, usage in ([], "npcaption"), (["evaluate", "--help"], "npcaption evaluate"):
        result = subprocess.run([sys.executable, tmp_path / "npcaption", *words], capture_output=True, text=True,
                                timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert result.returncode == 0 and result.stdout.startswith(f"usage: {usage} ")


@pytest.mark.slow
def test_folders_with_a_systems_separator_in_their_names_are_trained_on_resumed_and_evaluated(tmp_path):
    folders = [tmp_path / "a:b", tmp_path / "c;d"]
    for level, folder in enumerate(folders):
        folder.mkdir()
        for i in range(24):
            Image.new("RGB", (8, 8), (level * 99, 10 * i, 0)).save(folder / f"{i}.png")
        (folder / "captions.txt").write_text("".join(f"{i}.png,a colour of {i}\n" for i in range(24)))
    train = ["train.py", "--image-size", 16, "--batch-size", 8, "--out", "run", "--data", "a:b"]
    for more in (["--epochs", 1], ["--epochs", 2, "--resume"]):
        result = run(*train, "--data", "c;d", *more, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert checkpoints.load(tmp_path / "run" / "last.npz").config.training.data == ("a:b", "c;d")
    result = run(*train, "--epochs", 3, "--resume", cwd=tmp_path)
    assert result.returncode == 2 and "was trained on other images or captions than a:b now holds" in result.stderr
    for data, told in [([], "a:b, c;d"), (["--data", "c;d", "--data", "a:b"], "c;d, a:b")]:
        result = run("-m", "npcaption.evaluate", "--checkpoint", "run/best.npz", *data, cwd=tmp_path)
        assert result.returncode == 0 and f"run/best.npz on {told}, val: " in result.stdout


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device that is always full")
@pytest.mark.parametrize("kind", ["json", "html"])
def test_scores_are_printed_though_no_file_can_hold_them(trained, kind):
    result = run("-m", "npcaption.evaluate", "--limit", 3, "--beam", 0, "--engine", "numpy", f"--{kind}", "/dev/full",
                 cwd=trained[0])
    assert result.returncode == 2 and "No space left on device" in result.stderr and "Traceback" not in result.stderr
    assert "greedy" in result.stdout and "a person, against the others" in result.stdout


def test_a_home_is_found_for_a_tilde_that_the_shell_left(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    result = run("train.py", "--epochs", 1, "--limit", 16, "--image-size", 16, "--engine", "numpy", "--out=~/run",
                 cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "home" / "run" / "best.npz").exists() and not (tmp_path / "~").exists()


def test_evaluating_without_runs_takes_the_model_that_ships_which_needs_its_data(tmp_path):
    result = subprocess.run([sys.executable, "-m", "npcaption.evaluate", "--data", "nowhere"], cwd=tmp_path, text=True,
                            capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300)
    assert result.returncode == 2 and "nowhere" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_first_run_ever_says_that_it_compiles_and_the_next_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))              # where kernels may lie, too
    arguments = "train.py", "--epochs", 1, "--limit", 16, "--image-size", 16
    first, second = (run(*arguments, "--out", tmp_path / name, cwd=tmp_path) for name in ("first", "second"))
    assert "compiling the kernels, once" in first.stderr
    assert "compiling" not in second.stderr
