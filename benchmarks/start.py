"""Start-up time of `python train.py` until the end of the first step, cold (kernels to be compiled) and warm.

    python -m benchmarks.start --data ../shared/flickr8k --preset seed-128         any arguments of train.py

The image store, if the data has one, must already exist; the cold run finds it, but no compiled kernels.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST_STEP = """
import sys, time
from npcaption.training import trainer
step = trainer.Trainer.step
def timed(self, *arguments):
    result = step(self, *arguments)
    print("FIRST STEP", time.time(), flush=True)
    import os; os._exit(0)
trainer.Trainer.step = timed
sys.argv[0] = "train.py"
import runpy; runpy.run_path("train.py", run_name="__main__")
"""


def seconds(arguments, cache):
    with tempfile.TemporaryDirectory() as out:
        start = time.time()
        command = [sys.executable, "-c", FIRST_STEP, *arguments, "--out", f"{out}/run"]
        environment = os.environ | {"NPCAPTION_CACHE": str(cache)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in result.stdout.splitlines() if line.startswith("FIRST STEP")]
    if not lines:
        sys.exit(result.stderr)
    return float(lines[0].split()[-1]) - start


def main():
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        return print(__doc__)
    cache = Path(os.environ.get("NPCAPTION_CACHE") or Path.home() / ".cache" / "npcaption")
    with tempfile.TemporaryDirectory() as empty:
        for store in cache.glob("images-*.npy"):
            (Path(empty) / store.name).symlink_to(store.resolve())
        print(f"cold: {seconds(arguments, empty):.1f} s")
        warm = sorted(seconds(arguments, empty) for _ in range(5))
    print(f"warm: {warm[2]:.1f} s (median of 5)")


if __name__ == "__main__":
    main()
