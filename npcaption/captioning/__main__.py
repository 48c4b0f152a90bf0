"""The command `npcaption sample`."""
from ..__main__ import run

if __name__ == "__main__":
    run("sample")
