"""Cost of augmentation: training steps on real images with and without it, in alternating processes.

    python -m benchmarks.augment --data ../shared/flickr8k
"""
import argparse
import sys
from itertools import islice

from npcaption.config import Config, ModelConfig, TrainingConfig
from npcaption.data.batches import NO_VIEWS, Views, encode_captions, epoch_batches
from npcaption.data.dataset import load_dataset
from npcaption.model.parameters import initialise
from npcaption.tokenizers import CharTokenizer
from npcaption.training.trainer import Trainer

from .alternate import median, race, ratio, serve

CONTESTANTS = {"plain": NO_VIEWS, "flip": Views(True, 0.0, 0.0), "flip, crop": Views(True, 0.2, 0.0),
               "flip, crop, colour": Views(True, 0.2, 0.2)}
STEPS, BATCH = 20, 16


def make(views, folder):
    data = load_dataset(folder, 128, 0, looked_at=("train",))
    tokenizer = CharTokenizer.build([text for texts in data.train.captions for text in texts])
    model = ModelConfig(vocabulary=tokenizer.size)
    sequences = encode_captions(data.train, tokenizer, model.max_length)
    trainer = Trainer(Config(model, TrainingConfig()), initialise(model, 0))
    trainer.engine.employ()
    batches = (batch for epoch in range(10 ** 6)
               for batch in epoch_batches(data.train.images, sequences, BATCH, "random", 0, epoch, 0, views, threads=1))

    def work():
        for batch in islice(batches, STEPS):
            trainer.step(batch, 1, 3e-4)
    return work


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FOLDER", required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(make(CONTESTANTS[options.serve], options.data))
    command = [sys.executable, "-m", "benchmarks.augment", "--data", options.data, "--serve"]
    found = race({name: [*command, name] for name in CONTESTANTS}, options.rounds)
    for name in CONTESTANTS:
        print(f"{name:<20}{STEPS * BATCH / median(found[name]):>4.0f} images/s, "
              f"{ratio(found[name], found['plain']):.3f} times as long as without")


if __name__ == "__main__":
    main()
