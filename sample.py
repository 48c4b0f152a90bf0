"""Caption images: see npcaption/captioning/cli.py, or --help."""
from npcaption.__main__ import run

if __name__ == "__main__":
    run("sample")
