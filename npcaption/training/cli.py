"""Train a captioner.

    python train.py                                             coloured shapes, offline, in minutes
    python train.py --data flickr8k --preset seed-128           the original's settings on Flickr8k
    python train.py --data flickr8k --preset flickr8k           our settings
    python train.py --data flickr8k --preset word               word tokens; also: bpe, first-64, first-128, ...
    python train.py --data my_photos --preset flickr8k          any folder of images with a captions.txt
    python train.py ... --resume                                resume the run with the same flags

A preset sets some of the settings below. Flags override it; a switch has two forms (--flip, --no-flip).
"""
import argparse

from .. import config
from ..config import ModelConfig, RunOptions, TrainingConfig
from ..errors import ConfigError
from ..support.command import arguments, parser_of
from ..support.flags import add_flags, add_option, given
from . import loop
from .launcher import ranks_of_training


def main(words=None):
    with ranks_of_training() as ranks:
        train(words, ranks)


def train(words, ranks):
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)  # so that --help tells the preset's values
    early.add_argument("--preset", nargs="?")
    preset = early.parse_known_args(words)[0].preset or "shapes"
    chosen = config.preset(preset)

    parser = parser_of("train", f"{__doc__}The defaults below are those of the preset {preset}.",
                       usage="%(prog)s [--data PATH ...] [--preset NAME] [--out DIR] [--resume] [settings]")
    add_option(parser, "preset", str, f"one of: {', '.join(config.PRESETS)}", metavar="NAME", default="shapes")
    add_option(parser, "out", str, "run directory, for checkpoints and log (default: runs/PRESET)", metavar="DIR")
    add_flags(parser, (chosen.training, chosen.model, RunOptions()), config.SUBJECTS)
    options = arguments(parser, words)

    settings = given(options, TrainingConfig) | given(options, ModelConfig)
    chosen = config.override(chosen, **settings)
    if chosen.training.data == config.SHAPES and preset != "shapes" and "data" not in settings:
        raise ConfigError(f"The preset {preset} is for photographs. Pass their folder with --data.")
    loop.train(chosen, options.out or f"runs/{preset}", **given(options, RunOptions), ranks=ranks)
