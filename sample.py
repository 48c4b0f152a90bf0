"""Caption photographs.

    python sample.py dog.jpg beach.png --checkpoint runs/flickr8k/best.npz
"""
import argparse
from pathlib import Path

import npcaption
from npcaption.errors import CheckpointError, command


def newest_checkpoint():
    found = sorted(Path("runs").glob("*/best.npz"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise CheckpointError("There is no model under runs/. Train one (python train.py), or name one (--checkpoint).")
    return found[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--checkpoint", metavar="FILE", help="a trained model (default: the newest runs/*/best.npz)")
    options = parser.parse_args()
    captioner = npcaption.load(options.checkpoint or newest_checkpoint())
    for image in options.images:
        print(f"{image}: {captioner.caption(image)}", flush=True)


if __name__ == "__main__":
    command(main)
