"""Reproduction of the post's table: results of each of its runs by the post's protocol and by ours.

    for preset in first-64 first-128 seed-128 word; do python train.py --data flickr8k --preset $preset; done
    python -m benchmarks.post --data flickr8k runs/first-64 runs/first-128 runs/seed-128 runs/word

The post's protocol: captions truncated to the model's length, one caption per image (the first, or a random one), and
the mean of the batches' mean losses. Ours: all captions, every token weighted equally. Each run is measured at the
epoch with the lowest validation loss (best.npz) and at the last epoch (last.npz).
"""
import argparse
import csv
from pathlib import Path

import numpy as np

from npcaption.captioning import decoding
from npcaption.captioning.captioner import Captioner
from npcaption.data.batches import encode_captions, epoch_batches
from npcaption.data.dataset import load_dataset
from npcaption.evaluate import metrics
from npcaption.evaluate.losses import losses
from npcaption.evaluate.scores import decode_all
from npcaption.model import checkpoint
from npcaption.support.command import arguments, command
from npcaption.support.progress import progress


def posts_loss(captioner, images, sequences, training):
    """Mean loss over the batches of an epoch, without dropout and augmentation."""
    batches = epoch_batches(images, sequences, training.batch_size, training.captions, training.seed, 0)
    count, found = -(-len(images) // training.batch_size), []
    for batch in progress(batches, count, "the post's protocol", "batches"):
        ids, owners = np.concatenate(batch.ids), np.repeat(np.arange(len(batch.ids)), batch.ids.shape[1])
        found.append(captioner.engine.decode_loss(captioner.engine.encode(batch.inputs), owners, ids) / batch.tokens)
    return np.mean(found)


def load(path, threads):
    """-> Captioner, TrainingConfig, state"""
    trained = checkpoint.load(path)
    return Captioner.of(trained, "numba", threads), trained.config.training, trained.state


def row(run, data, threads):
    """Row of the table for a run directory."""
    captioner, t, state = load(run / "best.npz", threads)
    last, *_ = load(run / "last.npz", threads)
    model = captioner.config
    dataset = load_dataset(data, model.image_size, t.seed, looked_at=("train", "val"))
    train, val = (encode_captions(split, captioner.tokenizer, model.max_length)
                  for split in (dataset.train, dataset.val))
    ours = {name: losses(captioner, split.images, sequences, f"{name}, all captions")
            for name, split, sequences in [("train", dataset.train, train), ("val", dataset.val, val)]}
    sentences = decode_all(captioner, dataset.val.images, decoding.greedy, "greedy")
    candidates = [metrics.tokenize(sentence.text) for sentence in sentences]
    references = [[metrics.tokenize(text) for text in texts] for texts in dataset.val.captions]
    with open(run / "log.csv") as file:
        log = list(csv.DictReader(file))
    return [run.name, f"{state['best_epoch']} of {len(log)}",
            f"{posts_loss(captioner, dataset.train.images, train, t):.3f}",
            *(f"{posts_loss(model_of, dataset.val.images, val, t):.3f}" for model_of in (captioner, last)),
            f"{ours['train'].loss:.3f}", f"{ours['val'].loss:.3f}", f"{ours['val'].shuffled:.3f}",
            f"{ours['val'].bits_per_character:.3f}", f"{float(log[-1]['val']):.3f}",
            f"{100 * metrics.cider_d(candidates, references).corpus:.1f}",
            f"{100 * metrics.bleu(candidates, references).corpus[3]:.1f}",
            f"{100 * metrics.rouge_l(candidates, references).corpus:.1f}", f"{len(set(map(tuple, candidates)))}",
            f"{sum(float(epoch['seconds']) for epoch in log) / 60:.0f}"]


COLUMNS = ["run", "best epoch", "train, post's", "val, post's", "last epoch, post's", "train, ours", "val, ours",
           "shuffled", "bits per character", "last epoch, ours", "CIDEr-D", "BLEU-4", "ROUGE-L", "distinct", "minutes"]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.post", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories of train.py")
    parser.add_argument("--data", required=True, metavar="PATH")
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    options = arguments(parser)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for run in options.runs:
        print(f"| {' | '.join(row(Path(run), options.data, options.threads))} |", flush=True)


if __name__ == "__main__":
    command(main)
