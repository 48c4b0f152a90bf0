"""The command `npcaption sample`: see npcaption.captioning."""
from .__main__ import run

if __name__ == "__main__":
    run("sample")
