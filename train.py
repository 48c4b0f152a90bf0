"""Train a captioner: see npcaption/training/cli.py, or --help."""
from npcaption.__main__ import run

if __name__ == "__main__":
    run("train")
