"""The command `npcaption export`."""
from ..__main__ import run

if __name__ == "__main__":
    run("export")
