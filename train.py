"""Train a captioner.

    python train.py                                             coloured shapes, offline, in minutes
    python train.py --data flickr8k --preset seed-128           the original's settings on Flickr8k's photographs
    python train.py --data flickr8k --preset flickr8k           ours
    python train.py --data flickr8k --preset word               the post's words; also: bpe, first-64, first-128, ...
    python train.py --data my_photos --preset flickr8k          any folder of images with a captions.txt
    python train.py ... --resume                                go on where the run with the same flags stopped
"""
import argparse
import os
import sys

try:
    from npcaption import config, training
    from npcaption.errors import ConfigError
    from npcaption.support.command import arguments, command, filename
except KeyboardInterrupt:                                    # Ctrl-C, or OpenBLAS, which could start no threads
    raise SystemExit(130) from None
except ImportError as error:
    print(f"{error}\nInstall what is needed: pip install -e . in the project's folder.", file=sys.stderr)
    raise SystemExit(2) from None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--data", type=filename, metavar="shapes|PATH", action="append",
                        help="generated scenes, or captioned images; given several times, all of them together")
    parser.add_argument("--preset", default="shapes", metavar="NAME", help=f"one of: {', '.join(config.PRESETS)}")
    parser.add_argument("--out", type=filename, metavar="DIR",
                        help="for checkpoints and log (default: runs/ and the preset's name)")
    parser.add_argument("--resume", action="store_true", help="go on from last.npz in that folder")
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--batch-size", type=int, metavar="N")
    parser.add_argument("--learning-rate", type=float, metavar="X")
    parser.add_argument("--captions", metavar="random|first", help="which of an image's captions an epoch uses")
    parser.add_argument("--image-size", type=int, metavar="N", help="pixels a side")
    parser.add_argument("--tokenizer", metavar="char|word|space|bpe")
    parser.add_argument("--min-count", type=int, metavar="N", help="of words: known if seen so often (default: 2)")
    parser.add_argument("--vocab-size", type=int, metavar="N", dest="vocabulary_size", help="ids of bpe (default: 1024)")
    parser.add_argument("--flip", action="store_true", default=None, help="mirror images whose caption names no side")
    parser.add_argument("--crop", type=float, metavar="X", help="show parts of images, up to X of a side cut away")
    parser.add_argument("--colour", type=float, metavar="X", help="change brightness, contrast, saturation by up to X")
    parser.add_argument("--tied", action="store_true", default=None, help="output weights are the token embedding's")
    parser.add_argument("--frequencies", action="store_true", default=None,
                        help="begin with the output's bias at the log of the tokens' frequencies")
    parser.add_argument("--bag-weight", type=float, metavar="X", help="of a loss that asks the encoder for the captions' words")
    parser.add_argument("--bag-least", type=int, metavar="N", help="words of the captions of N images or more (default: 20)")
    parser.add_argument("--dropout", type=float, metavar="X", help="share of a branch's numbers set to 0")
    parser.add_argument("--weight-decay", type=float, metavar="X", help="AdamW's")
    parser.add_argument("--patch-size", type=int, metavar="N", help="pixels a side, of what the convolutions leave")
    parser.add_argument("--convolutions", metavar="CHANNELS", help="before the patches, such as '16 32 32': new channels halve "
                        "the sides, the same ones are added to what comes in")
    parser.add_argument("--channels", type=int, metavar="N", help="width of the residual stream")
    parser.add_argument("--hidden", type=int, metavar="N", help="inside the MLPs")
    parser.add_argument("--heads", type=int, metavar="N", help="of attention; they share the channels")
    parser.add_argument("--encoder-blocks", type=int, metavar="N")
    parser.add_argument("--decoder-blocks", type=int, metavar="N")
    parser.add_argument("--max-length", type=int, metavar="N", help="tokens of a caption, start and end among them")
    parser.add_argument("--engine", metavar="numba|numpy", help="compiled kernels (default), or the textbook")
    parser.add_argument("--threads", type=int, metavar="N", help="of the numba engine (default: one a core)")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--limit", type=int, metavar="N", help="use at most N images of each split")
    parser.add_argument("--strict", action="store_true", help="refuse data of which anything must be left out")
    parser.add_argument("--save-minutes", type=float, default=training.SAVE_MINUTES, metavar="X",
                        help="between checkpoints within an epoch (default: %(default)g)")
    parser.add_argument("--debug-nan", action="store_true", help="check every sublayer's numbers in every step (slow)")
    options = {name: value for name, value in vars(arguments(parser)).items() if value is not None}
    preset = options.pop("preset")
    if "data" in options:
        options["data"] = os.pathsep.join(options["data"])
    out = options.pop("out", f"runs/{preset}")
    how = {name: options.pop(name) for name in ("resume", "save_minutes", "debug_nan", "strict")}
    chosen = config.override(config.preset(preset), **options)
    if chosen.training.data == "shapes" and preset != "shapes" and "data" not in options:
        raise ConfigError(f"The preset {preset} is for photographs: name their folder with --data.")
    training.train(chosen, out, **how)


if __name__ == "__main__":
    command(main)
