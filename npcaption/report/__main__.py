"""The command `npcaption report`."""
from ..__main__ import run

if __name__ == "__main__":
    run("report")
