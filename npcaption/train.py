"""The command `npcaption train`: see npcaption.training."""
from .__main__ import run

if __name__ == "__main__":
    run("train")
