"""Train a captioner.

    python train.py                                             coloured shapes, offline, in minutes
    python train.py --data flickr8k --preset seed-128           the original's settings on Flickr8k's photographs
    python train.py --data flickr8k --preset flickr8k           ours
    python train.py --data my_photos --preset flickr8k          any folder of images with a captions.txt
    python train.py ... --resume                                go on where the run with the same flags stopped
"""
import argparse
import sys
from pathlib import Path

from npcaption import config, training
from npcaption.errors import ConfigError, command


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="shapes|PATH", help="generated scenes, or captioned images")
    parser.add_argument("--preset", default="shapes", metavar="NAME", help=f"one of: {', '.join(config.PRESETS)}")
    parser.add_argument("--out", metavar="DIR", help="for checkpoints and log (default: runs/ and the preset's name)")
    parser.add_argument("--resume", action="store_true", help="go on from last.npz in that folder")
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--batch-size", type=int, metavar="N")
    parser.add_argument("--learning-rate", type=float, metavar="X")
    parser.add_argument("--captions", metavar="random|first", help="which of an image's captions an epoch uses")
    parser.add_argument("--image-size", type=int, metavar="N", help="pixels a side")
    parser.add_argument("--tokenizer", metavar="char")
    parser.add_argument("--max-length", type=int, metavar="N", help="tokens of a caption, start and end among them")
    parser.add_argument("--engine", metavar="numba|numpy", help="compiled kernels (default), or the textbook")
    parser.add_argument("--threads", type=int, metavar="N", help="of the numba engine (default: one a core)")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--limit", type=int, metavar="N", help="use at most N images of each split")
    options = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    preset, resume = options.pop("preset"), options.pop("resume")
    out = options.pop("out", f"runs/{preset}")
    chosen = config.override(config.preset(preset), **options)
    if chosen.training.data == "shapes" and preset != "shapes" and "data" not in options:
        raise ConfigError(f"The preset {preset} is for photographs: name their folder with --data.")
    try:
        training.train(chosen, out, resume)
    except KeyboardInterrupt:
        if (Path(out) / "last.npz").exists():
            print(f"\n{out}/last.npz holds the last whole epoch: go on with the same flags and --resume.", file=sys.stderr)
        raise


if __name__ == "__main__":
    command(main)
