"""Scaling of the engine's training step with the image size, the channels and the batch.

    python -m benchmarks.scaling [--threads 2]

Each row changes one setting of the seed model at 128x128, batch 16, in threads of one process. Rounds cover all rows in
turn; medians. Scaling with the cores: benchmarks.cores.
"""
import argparse
import math
import statistics
import time
from dataclasses import replace

import numpy as np

from npcaption.config import Config, ModelConfig, TrainingConfig
from npcaption.model.batch import whole
from npcaption.model.parameters import initialise
from npcaption.support.cores import usable_cores
from npcaption.support.progress import progress
from npcaption.training.trainer import Trainer

from . import flops

MODEL, BATCH = ModelConfig(vocabulary=53), 16


def rows(threads):
    """(the changed setting, ModelConfig, batch, threads)"""
    for size in (64, 96, 128, 192):
        yield f"image {size}", replace(MODEL, image_size=size), BATCH, threads
    for channels in (64, 96, 128, 192, 256):
        yield f"channels {channels}", replace(MODEL, channels=channels, hidden=4 * channels), BATCH, threads
    for batch in (1, 2, 15, 16, 17, 64):
        yield f"batch {batch}", MODEL, batch, threads


def stepper(model, batch, threads):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, model.image_size, model.image_size, 3), np.uint8)
    ids = rng.integers(3, model.vocabulary, (batch, model.max_length))
    trainer = Trainer(Config(model, TrainingConfig(threads=threads)), initialise(model, 0))
    trainer.engine.worked = -math.inf                        # seconds until it would begin processes
    step = whole(images, ids[:, None])
    return lambda: trainer.step(step, 1, 3e-4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    found = list(rows(options.threads))
    steps, seconds = [stepper(*row[1:]) for row in found], [[] for _ in found]
    for number in progress(range(-1, options.rounds), options.rounds + 1, "rounds", "rounds"):
        for step, times in zip(steps, seconds):
            start = time.perf_counter()
            step()
            if number >= 0:
                times.append(time.perf_counter() - start)
    print(f"{'':<16}{'ms a step':>10}{'ms an image':>12}{'images/s':>10}{'GFLOP/s':>9}")
    for (about, model, batch, _), times in zip(found, seconds):
        taken = statistics.median(times)
        done = batch * flops.step(model, model.max_length - 1)
        print(f"{about:<16}{taken * 1e3:>10.1f}{taken / batch * 1e3:>12.2f}{batch / taken:>10.0f}"
              f"{done / taken / 1e9:>9.0f}")


if __name__ == "__main__":
    main()
