"""The commands where the system is like Windows: no fcntl, no hangups, and folders that cannot be opened."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from npcaption.training import loop

ROOT = Path(__file__).parent.parent
LIKE_WINDOWS = """import os, signal, sys

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for module, names in [(os, ("geteuid", "getuid", "getegid", "getpgid", "killpg", "sched_getaffinity")),
                      (signal, ("SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGALRM"))]:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def open_file(path, *arguments, real=os.open, **settings):
    if not isinstance(path, int) and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return real(path, *arguments, **settings)


os.open = open_file
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_training_resuming_captioning_and_evaluating_work(engine, tmp_path):
    (tmp_path / "like").mkdir()
    (tmp_path / "like" / "sitecustomize.py").write_text(LIKE_WINDOWS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "like"), str(ROOT)])}

    def run(*words):
        done = subprocess.run([sys.executable, *words, "--engine", engine], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    train = [ROOT / "train.py", "--limit", "40", "--image-size", "16", "--out", "run"]
    run(*train, "--epochs", "1")
    assert "epoch   2/2" in run(*train, "--epochs", "2", "--resume")
    assert "run/scenes/0.png: " in run(ROOT / "sample.py", "run/scenes/0.png", "--checkpoint", "run/best.npz",
                                       "--attention", "look.png")
    assert "greedy" in run("-m", "npcaption.evaluate", "--checkpoint", "run/best.npz", "--limit", "4", "--json",
                           "s.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["like", "look.png", "run", "s.json"]
    found = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert found == ["best.npz", "last.npz", "log.csv", "report.html", "samples.json", "scenes"]


def test_the_command_that_resumes_is_quoted_for_the_systems_shell(monkeypatch):
    def called(*began, words):
        monkeypatch.setattr(sys, "orig_argv", [*began, *words])
        monkeypatch.setattr(sys, "argv", [began[-1], *words])

    called("python", "train.py", words=["--out", "my runs", "--resume"])
    assert loop.resuming_command() == "python train.py --out 'my runs' --resume"
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        found = loop.resuming_command()
    assert found == 'python train.py --out "my runs" --resume'
    called("python", "-m", "npcaption.train", words=["--epochs", "3"])
    assert loop.resuming_command() == "python -m npcaption.train --epochs 3 --resume"
    called("/bin/python", "/bin/npcaption", words=["train", "--no-flip"])
    assert loop.resuming_command() == "npcaption train --no-flip --resume"
    called("python", "-m", "ipykernel_launcher", words=["-f", "kernel.json"])
    assert loop.resuming_command() == "train(..., resume=True)"
