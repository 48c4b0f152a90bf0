"""A whole training step (forward, backward, AdamW) of the seed model at 128x128, against PyTorch's on the same cores.

    python -m benchmarks.step [--batch-size 16] [--threads 2] [--rounds 20]

Contestants: npcaption's NumPy engine; PyTorch eager as the original writes it (a Python loop over heads); PyTorch eager
in its best form (fused qkv, scaled_dot_product_attention, fused AdamW). Needs the extra `bench`.
"""
import argparse
import os
import sys

import numpy as np

from .alternate import race, report, serve

CONTESTANTS = ["npcaption numpy", "torch original", "torch best"]


def batch(size, vocabulary=53):
    """Random pixels, and captions of 25 to 47 tokens: images (B, 128, 128, 3) uint8, ids (B, 48)"""
    rng = np.random.default_rng(0)
    ids = rng.integers(3, vocabulary, (size, 48))
    ids[:, 0] = 1
    for row, length in zip(ids, rng.integers(25, 49, size)):
        row[length:] = 0
    ids[0, -1] = 3                                           # one of full length: no contestant can trim the batch
    return rng.integers(0, 256, (size, 128, 128, 3), dtype=np.uint8), ids


def numpy_step(size):
    from npcaption.config import Config, ModelConfig
    from npcaption.parameters import initialise
    from npcaption.training import Trainer
    config = ModelConfig(vocabulary=53)
    trainer = Trainer(Config(config), initialise(config, 0))
    images, ids = batch(size)
    return lambda: trainer.step(images, ids, 1, 3e-4)


def torch_step(size, threads, best):
    import torch
    torch.set_num_threads(threads)
    from tests.torch_model import TorchCaptioner
    from .torch_best import BestModel
    torch.manual_seed(0)
    network = BestModel(53) if best else TorchCaptioner(128, 8, 128, 4, 512, 2, 2, 48, 53)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-4, fused=best)
    images, ids = batch(size)
    ids = torch.from_numpy(ids)

    def work():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        optimiser.zero_grad()
        network.loss(pixels, ids).backward()
        optimiser.step()
    return work


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        work = (numpy_step(options.batch_size) if options.serve == CONTESTANTS[0] else
                torch_step(options.batch_size, options.threads, options.serve == CONTESTANTS[2]))
        return serve(work)
    settings = ["--batch-size", str(options.batch_size), "--threads", str(options.threads)]
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(options.threads))
    commands = {name: [sys.executable, "-m", "benchmarks.step", "--serve", name, *settings] for name in CONTESTANTS}
    seconds = race(commands, options.rounds, os.environ | threads)
    print(f"One training step, 128x128, batch {options.batch_size}, {options.threads} threads, {options.rounds} rounds")
    print(report(seconds, "torch best"))


if __name__ == "__main__":
    main()
