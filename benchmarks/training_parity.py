"""Parity of a finished run of train.py with PyTorch, from the same parameters, on the same batches in the same order.

    python -m benchmarks.training_parity runs/seed-128 [--epochs 2]

PyTorch trains the original's model (torch_model.py) with torch.optim.AdamW; the validation loss of both is measured by
npcaption on all captions. Needs the extra `bench`, and a run with a constant learning rate that decays all parameters
and never clips.
"""
import argparse
import csv
from pathlib import Path

import torch

from npcaption.captioning.captioner import Captioner
from npcaption.data.batches import encode_captions, epoch_batches
from npcaption.data.dataset import load_dataset
from npcaption.evaluate.losses import losses
from npcaption.export.torch_state import from_torch_state, to_torch_state
from npcaption.model import checkpoint as checkpoints
from npcaption.model.parameters import initialise
from npcaption.support.progress import progress

from .torch_model import TorchCaptioner


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    last = checkpoints.load(options.run / "last.npz")
    rows = list(csv.DictReader(open(options.run / "log.csv")))
    t, m = last.config.training, last.config.model
    assert (t.schedule, t.decay, t.clip_norm, t.warmup_steps) == ("constant", "all", float("inf"), 0), "see --help"

    data = load_dataset(t.data, m.image_size, t.seed, t.scenes, t.limit)
    sequences = encode_captions(data.train, last.tokenizer, m.max_length)
    val_sequences = encode_captions(data.val, last.tokenizer, m.max_length)
    network = TorchCaptioner(m.image_size, m.patch_size, m.channels, m.heads, m.hidden, m.encoder_blocks,
                             m.decoder_blocks, m.max_length, m.vocabulary)
    start = to_torch_state(Captioner(m, last.tokenizer, initialise(m, t.seed)))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in start.items()})
    optimiser = torch.optim.AdamW(network.parameters(), lr=t.learning_rate, betas=(t.beta1, t.beta2), eps=t.epsilon,
                                  weight_decay=t.weight_decay)

    print(f"{'epoch':>5}{'train':>20}{'validation':>20}{'shuffled images':>20}\n{'':>5}"
          + "    npcaption     torch" * 3)
    for epoch in range(min(options.epochs, len(rows))):
        nats = tokens = 0
        batches = epoch_batches(data.train.images, sequences, t.batch_size, t.captions, t.seed, epoch)
        for batch in progress(batches, -(-len(data.train.names) // t.batch_size), f"epoch {epoch + 1}", "steps"):
            ids = torch.from_numpy(batch.ids[:, 0])
            loss = network.loss(torch.from_numpy(batch.inputs).permute(0, 3, 1, 2).float() / 127.5 - 1, ids)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            count = int((ids[:, 1:] != 0).sum())
            nats, tokens = nats + loss.item() * count, tokens + count
        val = losses(from_torch_state({name: tensor.numpy() for name, tensor in network.state_dict().items()},
                                        last.tokenizer), data.val.images, val_sequences)
        ours = rows[epoch]
        print(f"{epoch + 1:>5}{float(ours['train']):>13.5f}{nats / tokens:>10.5f}{float(ours['val']):>13.5f}"
              f"{val.loss:>10.5f}{float(ours['val_shuffled']):>13.5f}{val.shuffled:>10.5f}", flush=True)


if __name__ == "__main__":
    main()
