"""The training loop: steps, epochs, evaluation, log, checkpoints, resume."""
import csv
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import checkpoint as checkpoints
from . import config as configs
from . import layers, optim, report
from .captioner import Captioner
from .checkpoint import Checkpoint
from .data.dataset import encode_captions, epoch_batches, load_dataset
from .engines import compile_engine, make_engine
from .errors import CheckpointError, ConfigError, DataError
from .evaluate import losses
from .parameters import Parameters, initialise, table
from .progress import progress
from .tokenizers import KINDS, PADDING

MAY_DIFFER = ("epochs", "engine", "threads", "vocabulary")  # when a run is resumed; the vocabulary is the checkpoint's
LOG = ("epoch", "step", "train", "val", "val_bits_per_character", "val_shuffled", "learning_rate", "images_per_second",
       "seconds")


class Trainer:
    """A model in training: parameters, gradients and AdamW's moments, and one step of all of them."""

    def __init__(self, config, parameters, moments=None):
        """config Config; moments m and v, (N,) each, to go on from, or None to begin."""
        self.config = config
        self.engine = make_engine(config.training.engine, config.model, parameters, config.training.threads)
        self.parameters, self.gradients = parameters, Parameters(config.model, parameters.flat.dtype)
        self.moments = moments or (np.zeros_like(parameters.flat), np.zeros_like(parameters.flat))
        self.decay = optim.decay_of(parameters, config.training.weight_decay, config.training.decay)

    def step(self, images, ids, number, learning_rate):
        """Step `number`, counted from 1, on images (B, S, S, 3) and ids (B, L) -> (loss before it, tokens counted)"""
        t = self.config.training
        keys = layers.fold_key(layers.fold_key(t.seed, number), np.arange(len(ids)))  # (B,), for dropout
        loss, _ = self.engine.loss_and_gradients(images, ids, self.config.model.dropout, keys, self.gradients)
        if not math.isfinite(loss):
            raise ConfigError(f"The loss is {loss} in step {number}: training diverges. Begin anew with a lower "
                              f"--learning-rate (it was {t.learning_rate}); what was saved before is whole.")
        self.engine.update(self.gradients, *self.moments, self.decay, number, learning_rate, t.clip_norm,
                           t.beta1, t.beta2, t.epsilon)
        return loss, int((ids[:, 1:] != PADDING).sum())


def train(config, out, resume=False, say=print):
    """Train as configured; leave best.npz, last.npz and log.csv in the folder `out`.  -> Captioner of the best epoch"""
    out, t = Path(out), config.training
    configs.check(config)
    resumed = resumable(out, config) if resume else None
    if not resume:
        make_folder(out)
    compiled = compile_engine(t.engine)                      # goes on beside what follows

    data = load_dataset(t.data, config.model.image_size, t.seed, t.scenes, t.limit)
    if not data.train.names or not data.val.names:
        raise DataError(f"{t.data} leaves {len(data.train.names)} images to train on and {len(data.val.names)} to "
                        f"validate. Add some to the empty split.")
    tokenizer = resumed.tokenizer if resumed else KINDS[t.tokenizer].build(
        [text for captions in data.train.captions for text in captions])
    config = replace(config, model=replace(config.model, vocabulary=tokenizer.size))
    sequences, val_sequences = (encode_captions(split, tokenizer, config.model.max_length)
                                for split in (data.train, data.val))
    say(report.describe(data, sequences, tokenizer, config.model.max_length))
    say("\n" + table(config.model) + "\n")

    compiled.result()
    trainer = (Trainer(config, resumed.parameters, resumed.optimiser) if resumed else
               Trainer(config, initialise(config.model, t.seed)))
    captioner = Captioner(config.model, tokenizer, trainer.parameters, trainer.engine)
    state = resumed.state if resumed else {"epoch": 0, "step": 0, "best": math.inf, "best_epoch": 0}
    steps = math.ceil(len(data.train.names) / t.batch_size)  # in an epoch

    began, first = time.perf_counter(), state["epoch"]
    for epoch in range(first, t.epochs):
        start, nats, counted = time.perf_counter(), 0.0, 0
        batches = epoch_batches(data.train.images, sequences, t.batch_size, t.captions, t.seed, epoch)
        for images, ids in progress(batches, steps, f"epoch {epoch + 1}", "steps"):
            state["step"] += 1
            rate = optim.learning_rate_at(state["step"], steps * t.epochs, t.learning_rate, t.warmup_steps, t.schedule)
            loss, tokens = trainer.step(images, ids, state["step"], rate)
            nats, counted = nats + loss * tokens, counted + tokens
        seconds = time.perf_counter() - start

        val = losses(captioner, data.val.images, val_sequences, f"epoch {epoch + 1} validation")
        row = dict(zip(LOG, [epoch + 1, state["step"], nats / counted, *val, rate, len(data.train.names) / seconds,
                             seconds]))
        state["epoch"], better = epoch + 1, val.loss < state["best"]
        if better:
            state |= {"best": val.loss, "best_epoch": epoch + 1}
            checkpoints.save(out / "best.npz", Checkpoint(config, tokenizer, trainer.parameters, state, None))
        checkpoints.save(out / "last.npz", Checkpoint(config, tokenizer, trainer.parameters, state, trainer.moments))
        append(out / "log.csv", row)
        left = (time.perf_counter() - began) / (epoch + 1 - first) * (t.epochs - epoch - 1)
        say(report.epoch_line(row, t.epochs, better, left))
        say(report.samples(captioner, data.val, epoch))

    best = checkpoints.load(out / "best.npz")
    captioner = Captioner(best.config.model, best.tokenizer, best.parameters,
                          make_engine(t.engine, best.config.model, best.parameters, t.threads))
    if data.scenes is not None:
        say(report.judged(captioner, data, out / "scenes"))
    say(f"Best validation loss: {best.state['best']:.4f} nats per token, in epoch {best.state['best_epoch']}. Now: "
        f"python sample.py {out / 'scenes' / '0.png' if data.scenes else 'IMAGE'} --checkpoint {out / 'best.npz'}")
    return captioner


# ------------------------------------------------------------------------------------------------- the run's folder

def make_folder(out):
    """For a new training; an earlier one is never run over."""
    found = [name for name in ("best.npz", "last.npz", "log.csv") if (out / name).exists()]
    if found:
        raise CheckpointError(f"{out} already holds a training ({', '.join(found)}). Go on with it (--resume), or take "
                              f"another folder (--out).")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise CheckpointError(f"The folder {out} cannot be written to ({error.strerror}). Choose another "
                              f"(--out).") from error


def resumable(out, config):
    """The checkpoint to go on from, if it was trained as `config` says but for what does not matter."""
    found = checkpoints.load(out / "last.npz")
    was, now = found.config.to_json(), config.to_json()
    differ = [f"{name} ({was[part][name]}, now {now[part][name]})" for part in now for name in now[part]
              if name not in MAY_DIFFER and was[part].get(name) != now[part][name]]
    if differ:
        raise CheckpointError(f"{out} was trained with another {', '.join(differ)}. Resume with the first run's flags "
                              f"(only epochs, engine and threads may differ), or begin anew in another folder (--out).")
    if found.optimiser is None or not {"epoch", "step", "best", "best_epoch"} <= set(found.state):
        raise CheckpointError(f"{out / 'last.npz'} holds no state of training, so it can caption but not go on.")
    return found


def append(path, row):
    try:
        new = not path.exists()
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, LOG)
            if new:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value
                             for name, value in row.items()})
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror}). Mend that, then --resume.") from error
