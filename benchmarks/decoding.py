"""Time of captioning, compared with PyTorch, and images per second.

    python -m benchmarks.decoding                            a greedy caption of 47 tokens, batch 1 and 32
    python -m benchmarks.decoding --data ../shared/flickr8k/Images --checkpoint runs/seed-128/best.npz    1,000 files

Contestants, in alternating processes: numba and numpy, npcaption's engines; original, PyTorch eager as in the original
script (the image encoded once, then the whole decoder for every token, a Python loop over heads); memory, PyTorch in
its best eager form over a key-value memory. The weights are random and never end a caption. Needs the extra `bench`.
"""
import argparse
import os
import sys
import time
from functools import partial

import numpy as np

from npcaption.captioning import decoding, files
from npcaption.captioning.captioner import Captioner
from npcaption.model.engines import make_engine
from npcaption.model.parameters import initialise
from npcaption.tokenizers import END

from .alternate import median, race, ratio, serve
from .step import MODEL, original

CONTESTANTS = ["numba", "numpy", "original", "memory"]
LENGTH = MODEL.max_length - 1  # tokens


def make(name, size, threads):
    images = np.random.default_rng(0).integers(0, 256, (size, MODEL.image_size, MODEL.image_size, 3), np.uint8)
    if name in ("numba", "numpy"):
        parameters = initialise(MODEL, 0)
        parameters.named["output.linear.bias"][END] = -1e4
        engine = make_engine(name, MODEL, parameters, threads)
        return lambda: decoding.greedy(engine, images)
    import torch

    from .torch_best import BestModel
    torch.set_num_threads(threads)
    if name == "memory":
        network = BestModel(MODEL.vocabulary).eval()
        return lambda: network.greedy(as_pixels(images), LENGTH)
    network = original().eval()

    @torch.inference_mode()
    def whole_forward_for_each_token():
        source, ids = network.patch_embed(as_pixels(images)), torch.ones(size, 1, dtype=torch.long)
        for block in network.encoder_blocks:
            source = block(source)
        for _ in range(LENGTH):
            x = network.token_embed(ids) + network.pos_embed(torch.arange(ids.shape[1]))
            for block in network.decoder_blocks:
                x = block(x, source)
            logits = network.lm_head(network.ln_f(x))
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return whole_forward_for_each_token


def as_pixels(images):
    import torch
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def measure(size, threads, rounds):
    command = [sys.executable, "-m", "benchmarks.decoding", "--batch-size", str(size), "--threads", str(threads),
               "--serve"]
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    found = race({name: [*command, name] for name in CONTESTANTS}, rounds, os.environ | variables)
    print(f"\nbatch {size}, {threads} threads, {LENGTH} tokens, encoding included, {rounds} rounds")
    for name in CONTESTANTS:
        print(f"{name:<10}{median(found[name]) * 1e3:>9.1f} ms   "
              f"original takes {ratio(found['original'], found[name]):6.1f} times   "
              f"memory takes {ratio(found['memory'], found[name]):6.1f} times", flush=True)


def throughput(folder, checkpoint, count):
    """Images per second from files to captions, as in sample.py: read, resize, caption."""
    captioner = Captioner.load(checkpoint, "numba")
    paths = files.find_images([folder])[:count]
    for name, decode in [("greedy", decoding.greedy), ("beam 4", partial(decoding.beam, width=4))]:
        start = time.perf_counter()
        for _ in files.captioned(captioner, paths, decode):
            pass
        print(f"{name}: {len(paths)} files, {len(paths) / (time.perf_counter() - start):.0f} a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--data", metavar="FOLDER", help="folder of images")
    parser.add_argument("--checkpoint", metavar="FILE")
    parser.add_argument("--count", type=int, default=1000, help="number of images (default: 1000)")
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(make(options.serve, options.batch_size, options.threads))
    if options.data:
        return throughput(options.data, options.checkpoint, options.count)
    for size in [options.batch_size] if options.batch_size else [1, 32]:
        measure(size, options.threads, options.rounds)


if __name__ == "__main__":
    main()
