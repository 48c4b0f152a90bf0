"""The command `npcaption evaluate`."""
from ..__main__ import run

if __name__ == "__main__":
    run("evaluate")
