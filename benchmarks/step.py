"""Time of a training step (forward, backward, AdamW) of the seed model at 128x128, compared with PyTorch's.

    python -m benchmarks.step                            batch 16, 32 and 64, 2 threads; batch 16 on 1 thread
    python -m benchmarks.step --batch-size 16 --threads 2 --rounds 30 --contestants numba best
    python -m benchmarks.step --batch-size 16 --vocabulary 4453 --max-length 20        words, as in the preset `word`

Contestants: numba and numpy, npcaption's engines; original, PyTorch eager as in the original script (a Python loop over
heads); best, PyTorch eager in its best form (fused qkv, scaled_dot_product_attention, fused AdamW); compiled, the same
under torch.compile; peak, the machine's fused multiply-adds. First the gradients of npcaption's engines and of PyTorch
are compared. Needs the extra `bench`.
"""
import argparse
import math
import os
import sys
from dataclasses import replace

import numpy as np

from npcaption.config import Config, ModelConfig, TrainingConfig
from npcaption.model.parameters import Parameters, initialise

from . import flops
from .alternate import median, race, ratio, serve

CONTESTANTS = ["numba", "numpy", "original", "best", "compiled", "peak"]
MODEL = ModelConfig(vocabulary=53)


def batch(size, model=MODEL):
    """Random pixels, and captions of at least half the length: images (B, 128, 128, 3) uint8, ids (B, L)"""
    rng = np.random.default_rng(0)
    ids = rng.integers(3, model.vocabulary, (size, model.max_length))
    ids[:, 0] = 1
    for row, length in zip(ids, rng.integers(model.max_length // 2 + 1, model.max_length + 1, size)):
        row[length:] = 0
    ids[0, -1] = 3                                           # one caption of full length: the batch cannot be trimmed
    return rng.integers(0, 256, (size, model.image_size, model.image_size, 3), np.uint8), ids


def make_npcaption(engine, size, threads, model, processes=None):
    """processes: whether worker processes do the work; by default if the engine would begin them after some seconds"""
    from npcaption.model.batch import whole
    from npcaption.model.numba_engine import FEW
    from npcaption.training.trainer import Trainer
    trainer = Trainer(Config(model, TrainingConfig(engine=engine, threads=threads)), initialise(model, 0))
    if engine == "numba" and (threads > FEW if processes is None else processes):
        trainer.engine.employ()
    elif engine == "numba":
        trainer.engine.worked = -math.inf                    # seconds until it would
    images, ids = batch(size, model)
    step = whole(images, ids[:, None])

    def work():
        return trainer.step(step, 1, 3e-4)
    work.trainer = trainer
    return work


def original(m=MODEL):
    from .torch_model import TorchCaptioner
    return TorchCaptioner(m.image_size, m.patch_size, m.channels, m.heads, m.hidden, m.encoder_blocks, m.decoder_blocks,
                          m.max_length, m.vocabulary)


def make_torch(form, size, threads, model):
    import torch

    from .torch_best import BestModel
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = original(model) if form == "original" else BestModel(model.vocabulary, max_length=model.max_length)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-4, fused=form != "original")
    loss = torch.compile(network.loss) if form == "compiled" else network.loss
    images, ids = batch(size, model)
    ids = torch.from_numpy(ids)

    def work():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        optimiser.zero_grad()
        loss(pixels, ids).backward()
        optimiser.step()
    return work


def make(name, size, threads, model):
    if name == "peak":
        from npcaption.kernels import compile_kernels

        from .peak import make_peak
        compile_kernels()
        return make_peak(threads)[0]
    return (make_npcaption if name in ("numba", "numpy") else make_torch)(name, size, threads, model)


def compare_gradients():
    """Both engines in float32 against PyTorch in float64, each tensor's error relative to its largest gradient."""
    import torch

    from npcaption.captioning.captioner import Captioner
    from npcaption.export.torch_state import to_torch_state, torch_views
    from npcaption.model.batch import whole
    from npcaption.model.engines import make_engine
    images, ids = batch(4)
    parameters = initialise(MODEL, 0)
    network = original().double()
    state = to_torch_state(Captioner(MODEL, None, parameters))
    network.load_state_dict({name: torch.from_numpy(array).double() for name, array in state.items()})
    network.loss(torch.from_numpy(images).permute(0, 3, 1, 2).double() / 127.5 - 1, torch.from_numpy(ids)).backward()
    exact = {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}
    for name in ("numba", "numpy"):
        gradients = Parameters(MODEL)
        make_engine(name, MODEL, parameters).loss_and_gradients(whole(images, ids[:, None]), gradients)
        worst = max(np.abs(view - exact[key]).max() / np.abs(exact[key]).max()
                    for key, view in torch_views(gradients, MODEL).items())
        print(f"Gradients of {name}, float32, compared with PyTorch's in float64: largest relative error {worst:.1e}")


def measure(size, threads, model, names, rounds):
    command = [sys.executable, "-m", "benchmarks.step", "--batch-size", str(size), "--threads", str(threads),
               "--vocabulary", str(model.vocabulary), "--max-length", str(model.max_length), "--serve"]
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    found = race({name: [*command, name] for name in names}, rounds, os.environ | variables)
    total = size * flops.step(model, model.max_length - 1)
    print(f"\nbatch {size}, {threads} thread{'s' * (threads > 1)}, {rounds} rounds\n{'':<12}{'median ms':>10}"
          f"{'GFLOP/s':>9}{'of peak':>9}{'best takes':>13}{'compiled takes':>16}{'peak MiB':>10}")
    peak = flops_of_peak(threads) / median(found["peak"]) if "peak" in found else None
    for name in names:
        if name == "peak":
            print(f"{'FMA peak':<12}{'':>10}{peak / 1e9:>9.0f}")
            continue
        speed = total / median(found[name])
        against = "".join(f"{ratio(found[other], found[name]):>{width - 6}.2f} times" if other in found else " " * width
                          for other, width in (("best", 13), ("compiled", 16)))
        share = f"{speed / peak:>9.0%}" if peak else f"{'':>9}"
        print(f"{name:<12}{median(found[name]) * 1e3:>10.1f}{speed / 1e9:>9.0f}{share}{against}"
              f"{found[name].peak_memory:>10.0f}", flush=True)


def flops_of_peak(threads):
    from .peak import make_peak
    return make_peak(threads)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--vocabulary", type=int, default=MODEL.vocabulary)
    parser.add_argument("--max-length", type=int, default=MODEL.max_length)
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    model = replace(MODEL, vocabulary=options.vocabulary, max_length=options.max_length)
    if options.serve:
        return serve(make(options.serve, options.batch_size, options.threads, model))
    compare_gradients()
    cases = [(options.batch_size, options.threads)] if options.batch_size else [(16, 2), (32, 2), (64, 2), (16, 1)]
    for size, threads in cases:
        measure(size, threads, model, options.contestants, options.rounds)


if __name__ == "__main__":
    main()
