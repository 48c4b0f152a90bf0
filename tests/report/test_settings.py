"""The command that resumes a run gives the very settings of the run."""
import shlex
import sys

import pytest

from npcaption import config as configs
from npcaption.config import PRESETS, override
from npcaption.report.settings import nearest_preset, resuming_command
from npcaption.training import cli, loop
from npcaption.training.ranks import ALONE

PHOTOGRAPHS = {name: override(preset, data=["my photos", "-b"]) for name, preset in PRESETS.items() if name != "shapes"}
CHANGED = {
    "shapes": PRESETS["shapes"],
    "scenes and another size": override(PRESETS["shapes"], scenes=400, image_size=32, epochs=3, learning_rate=1e-7,
                                        tied=True),
    "shapes with the settings of photographs": override(PRESETS["flickr8k"], bag_weight=0.0, flip=False),
    "no convolutions": override(PHOTOGRAPHS["flickr8k"], convolutions=[], beta2=0.1 + 0.2),
    "no limit of the norm": override(PHOTOGRAPHS["flickr8k"], clip_norm=float("inf"), crop=0),
    "a frozen encoder": override(PHOTOGRAPHS["clip"], encoder="it's.safetensors", threads=2),
    "the second stage": configs.second_stage(override(PHOTOGRAPHS["bpe"], self_critical_epochs=5), "runs/a/best.npz"),
}


@pytest.fixture
def parsed(monkeypatch):
    """A function from a command to the Config, the run directory and the options of the training that it would begin"""
    def parse(command):
        found = []
        monkeypatch.setattr(loop, "train", lambda *arguments, **options: found.append((*arguments, options)))
        words = shlex.split(command)
        cli.main(words[words.index("train") + 1:])
        return found[0]
    return parse


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, *CHANGED])
def test_the_command_gives_the_very_settings_of_the_run(name, parsed):
    config = (PHOTOGRAPHS | CHANGED)[name]
    assert parsed(resuming_command(config, "runs/a b")) == (config, "runs/a b", {"resume": True, "ranks": ALONE})


def test_a_run_directory_that_looks_like_a_flag_is_quoted(parsed):
    assert parsed(resuming_command(PRESETS["shapes"], "--out"))[1] == "--out"


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_nearest_preset_is_the_one_that_was_chosen(name):
    found, rows = nearest_preset(override(PHOTOGRAPHS[name], epochs=7, limit=200))
    assert found == name
    assert [row.name for row in rows if row.differs] == ["data", "limit", "epochs"]


def test_the_command_is_the_one_of_how_the_process_was_called(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "npcaption.report", "runs/a"])
    monkeypatch.setattr(sys, "argv", ["npcaption/report/__main__.py", "runs/a"])
    command = resuming_command(PRESETS["shapes"], "runs/a")
    assert command == "python -m npcaption.train --preset shapes --out runs/a --resume"
