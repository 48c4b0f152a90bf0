"""Kill a training again and again, wherever it happens to be, and see that nothing is lost.

    python -m tests.campaigns.stress                    50 kills
    python -m tests.campaigns.stress --kills 5

A short training is killed (SIGKILL) at random moments, every fifth time while it starts, every second time while a
file is being written, and resumed. After each kill every checkpoint must load, and in the end all parameters, moments
and the log must be those of a training that was never disturbed, to the bit.
"""
import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from npcaption.model.checkpoint import load
from npcaption.support.progress import progress

ROOT = Path(__file__).resolve().parents[2]

FLAGS = ["--limit", "320", "--image-size", "16", "--epochs", "4", "--threads", "2", "--save-minutes", "0"]
NAMES = "best.npz", "last.npz"


def start(out):
    resume = ["--resume"] if (out / "last.npz").exists() else []
    return subprocess.Popen([sys.executable, ROOT / "train.py", *FLAGS, "--out", out, *resume],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def killed(process, out, starting, delay, while_writing):
    """Whether it was killed before it had ended: while starting, or once it trains; perhaps in the act of writing."""
    def until(done):
        while process.poll() is None and not done():
            time.sleep(0.0005)

    def saved():
        return (out / "last.npz").stat().st_mtime_ns if (out / "last.npz").exists() else 0

    before = saved()
    if not starting:
        until(lambda: saved() != before)
    end = time.monotonic() + delay
    until(lambda: time.monotonic() > end)
    if while_writing:
        until(lambda: any(out.glob("*.part")))
    process.kill()
    message = process.communicate()[1]
    if process.returncode not in (0, -9):
        raise AssertionError(f"training ended with {process.returncode}: {message}")
    return process.returncode == -9


def stress(kills, folder, seed=0):
    """-> (kills that found it writing, step that each kill left behind); AssertionError if anything was lost"""
    calm, out = Path(folder) / "calm", Path(folder) / "disturbed"
    assert start(calm).wait() == 0
    rng, writing, steps = random.Random(seed), 0, []
    for number in progress(range(kills), kills, "kills", "kills"):
        starting = number % 5 == 4
        if not killed(start(out), out, starting, rng.uniform(0, 1.5 if starting else 0.5), number % 2):
            shutil.rmtree(out)                               # it was through: once more from the beginning
        writing += any(out.glob("*.part"))
        for name in NAMES:
            if (out / name).exists():
                load(out / name)
        steps.append(load(out / "last.npz").state["step"] if (out / "last.npz").exists() else 0)
    while start(out).wait() != 0:
        raise AssertionError("the last resumption failed")
    for name in NAMES:
        a, b = load(calm / name), load(out / name)
        np.testing.assert_array_equal(a.parameters.flat, b.parameters.flat)
        if name == "last.npz":
            np.testing.assert_array_equal(a.optimiser, b.optimiser)
        assert without_times(a.state) == without_times(b.state)
    return writing, steps


def without_times(state):
    timed = "seconds", "images_per_second"
    return {**{key: value for key, value in state.items() if key not in timed},
            "log": [{key: value for key, value in row.items() if key not in timed} for row in state["log"]]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found_writing, left = stress(options.kills, scratch, options.seed)
    print(f"{options.kills} kills, {found_writing} of them in the middle of writing a file, after steps {left}.\n"
          f"Every checkpoint loaded, and the end is the undisturbed training's to the bit.")
