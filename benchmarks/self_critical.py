"""The time of a self-critical step, split into sampling, rewards, gradients and update, and of an epoch.

    python -m benchmarks.self_critical --data ../shared/flickr8k [--checkpoint FILE] [--threads 2] [--steps 40]

Rewards are computed in a thread beside the sampling: `waiting` is the part of them that the step waits for.
Prints the seconds of each part in an epoch of all training images, from the mean of the steps after the first two.
"""
import argparse
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from npcaption import config as configs
from npcaption.data.batches import Views, epoch_batches
from npcaption.model.checkpoint import SHIPPED
from npcaption.training import self_critical
from npcaption.training.preparation import prepare
from npcaption.training.run_folder import RunFolder

WARM_UP = 2  # steps


def timed(seconds, name, function):
    """The function, adding the time of its calls to seconds[name]."""
    def call(*arguments, **named):
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[name] += time.perf_counter() - start
    return call


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER")
    parser.add_argument("--checkpoint", default=str(SHIPPED), metavar="FILE")
    parser.add_argument("--features", default="", metavar="FILE", help="features of a frozen encoder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    base = configs.preset("frozen" if options.features else "flickr8k")
    config = replace(base, training=replace(
        base.training, data=(options.data,), features=options.features, threads=options.threads, bag_weight=0.0,
        self_critical_batch_size=options.batch_size, samples=options.samples, self_critical_epochs=1))
    config = configs.second_stage(config, options.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        run = prepare(config, RunFolder(Path(folder) / "run"), False, print)
    t, seconds = config.training, Counter()
    trainer, sampler = run.trainer, run.trainer.sampler
    self_critical.decoding.sample = timed(seconds, "sampling", self_critical.decoding.sample)
    sampler._rewards = timed(seconds, "rewards, beside", sampler._rewards)
    sampler.sampled = timed(seconds, "sampled", sampler.sampled)
    trainer.engine.loss_and_gradients = timed(seconds, "gradients", trainer.engine.loss_and_gradients)
    trainer.engine.update = timed(seconds, "update", trainer.engine.update)
    trainer.step = timed(seconds, "step", trainer.step)
    batches = epoch_batches(run.data.train.inputs, run.sequences, t.batch_size, t.captions, t.seed, 0, 0,
                            Views(t.flip, t.crop, t.colour, run.data.train.mirrored))
    for number, batch in zip(range(1, WARM_UP + options.steps + 1), batches):
        if number == WARM_UP + 1:
            seconds.clear()
        trainer.step(batch, number, t.self_critical_rate)
    seconds["waiting for rewards"] = seconds.pop("sampled") - seconds["sampling"]
    scale = run.steps / options.steps
    images = len(run.data.train.names)
    print(f"{images} images, {options.samples} samples each, batches of {t.batch_size}, {options.threads} threads, "
          f"mean of {options.steps} steps:")
    for name in ("step", "sampling", "rewards, beside", "waiting for rewards", "gradients", "update"):
        print(f"{name:<20} {scale * seconds[name]:7.1f} s an epoch  {seconds[name] / seconds['step']:6.1%}", flush=True)


if __name__ == "__main__":
    main()
