"""The command `npcaption trace`."""
from ..__main__ import run

if __name__ == "__main__":
    run("trace")
