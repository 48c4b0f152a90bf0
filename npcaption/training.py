"""The training loop: epochs, evaluation, log, checkpoints, resume."""
import csv
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import checkpoint as checkpoints
from . import config as configs
from . import layers, model, optim
from .captioner import Captioner
from .checkpoint import Checkpoint
from .data.dataset import encode_captions, epoch_batches, load_dataset, trim
from .data.shapes import judge
from .errors import CheckpointError, DataError
from .parameters import Parameters, initialise, table
from .progress import clock, progress
from .tokenizers import PADDING, CharTokenizer

ENGINES = {"numpy": layers}
GROUP = 32        # validation images at a time; the shuffled loss shuffles within a group
SAMPLES = 3       # validation images captioned after every epoch
LOG = ["epoch", "step", "train", "val", "val_bits_per_character", "val_shuffled", "learning_rate", "images_per_second", "seconds"]


def train(config, out, resume=False, say=print):
    """Train as configured; leave best.npz, last.npz and log.csv in the folder `out`. -> the best model's Captioner"""
    out = Path(out)
    resumed = _open_run(out, config, resume)
    if resumed is not None:
        config = resumed.config
    t = config.training
    configs.check(config)
    engine = ENGINES[t.engine]

    data = load_dataset(t.data, config.model.image_size, t.seed, t.scenes, t.limit)
    for note in data.notes:
        say(note)
    if not data.val.names:
        raise DataError(f"{t.data} leaves no validation images; add some, or name a larger folder.")
    tokenizer = resumed.tokenizer if resumed else CharTokenizer.build([text for texts in data.train.captions for text in texts])
    config = replace(config, model=replace(config.model, vocabulary=tokenizer.size))
    sequences = encode_captions(data.train, tokenizer, config.model.max_length)
    val_sequences = encode_captions(data.val, tokenizer, config.model.max_length)
    say(_describe_data(data, sequences, config, tokenizer))
    say("\n" + table(config.model) + "\n")

    parameters = resumed.parameters if resumed else initialise(config.model, t.seed, t.initialisation)
    gradients = Parameters(config.model)
    moments = resumed.optimiser if resumed else (np.zeros_like(parameters.flat), np.zeros_like(parameters.flat))
    state = resumed.state if resumed else {"epoch": 0, "step": 0, "best": math.inf, "best_epoch": 0}
    decay = optim.decay_of(parameters, t.weight_decay, t.decay)
    captioner = Captioner(config.model, tokenizer, parameters, engine)
    steps_an_epoch = math.ceil(len(data.train.names) / t.batch_size)
    steps = steps_an_epoch * t.epochs

    began, first_epoch = time.perf_counter(), state["epoch"]
    for epoch in range(first_epoch, t.epochs):
        start = time.perf_counter()
        nats = tokens = 0
        batches = epoch_batches(data.train.images, sequences, t.batch_size, t.captions, t.seed, epoch)
        for images, ids in progress(batches, steps_an_epoch, f"epoch {epoch + 1}", "steps"):
            state["step"] += 1
            rate = optim.learning_rate_at(state["step"], steps, t.learning_rate, t.warmup_steps, t.schedule)
            total = int((ids[:, 1:] != PADDING).sum())
            keys = layers.fold_key(layers.fold_key(t.seed, state["step"]), np.arange(len(ids)))
            gradients.flat[...] = 0
            loss, cache = model.loss_forward(engine, config.model, parameters.sublayer, images, ids[:, :-1], ids[:, 1:], total,
                                             config.model.dropout, keys)
            model.loss_backward(engine, 1.0, cache, gradients.sublayer)
            optim.clip(gradients.flat, t.clip_norm)
            optim.adamw(parameters.flat, gradients.flat, *moments, state["step"], rate, t.beta1, t.beta2, t.epsilon, decay)
            nats, tokens = nats + float(loss) * total, tokens + total
        seconds = time.perf_counter() - start
        val = evaluate(captioner, data.val.images, val_sequences, f"epoch {epoch + 1} validation")

        state["epoch"] = epoch + 1
        row = dict(zip(LOG, [epoch + 1, state["step"], nats / tokens, val.loss, val.bits_per_character, val.shuffled, rate,
                             len(data.train.names) / seconds, seconds]))
        better = val.loss < state["best"]
        if better:
            state |= {"best": val.loss, "best_epoch": epoch + 1}
            checkpoints.save(out / "best.npz", Checkpoint(config, tokenizer, parameters, dict(state), None))
        checkpoints.save(out / "last.npz", Checkpoint(config, tokenizer, parameters, dict(state), moments))
        _append(out / "log.csv", row)
        left = (time.perf_counter() - began) / (epoch + 1 - first_epoch) * (t.epochs - epoch - 1)
        say(f"epoch {epoch + 1:>3}/{t.epochs}  train {row['train']:.4f}  val {val.loss:.4f} ({val.bits_per_character:.4f} bits per "
            f"character), shuffled images {val.shuffled:.4f} ({val.shuffled - val.loss:+.4f}){'  best' if better else ''}   "
            f"{row['images_per_second']:.0f} images/s, {clock(left)} left")
        say(_samples(captioner, data.val, epoch))

    best = checkpoints.load(out / "best.npz")
    say(f"Best validation loss {best.state['best']:.4f} nats per token in epoch {best.state['best_epoch']}: {out / 'best.npz'}. "
        f"Now: python sample.py IMAGE --checkpoint {out / 'best.npz'}")
    captioner = Captioner(best.config.model, tokenizer, best.parameters, engine)
    if data.scenes is not None:
        say(_judged(captioner, data))
    return captioner


class Evaluation(NamedTuple):
    loss: float                 # nats per token over all captions, the end counted, padding not
    bits_per_character: float   # the same nats in bits, per character of the text; the end counts as one
    shuffled: float             # the loss when every caption stands beside another image: what is not gained by looking


def evaluate(captioner, images, sequences, label="validation"):
    """All captions of all images.  images (N, S, S, 3) uint8 -> Evaluation; shuffled is nan for a single image."""
    c = captioner
    order = np.random.default_rng(0).permutation(len(images))
    groups = np.array_split(order, math.ceil(len(order) / GROUP))  # of nearly equal size, so that none has but one image
    nats = shuffled = tokens = characters = 0
    for group in progress(groups, len(groups), label, "groups"):
        group = np.sort(group)
        source, _ = model.encode_forward(c.engine, c.config, c.parameters.sublayer, images[group], 0.0, 0)  # (N, P, C)
        owners = np.repeat(np.arange(len(group)), np.diff(sequences.first)[group])  # (M,)
        ids = trim(np.concatenate([sequences.ids[sequences.first[i]:sequences.first[i + 1]] for i in group]))  # (M, T)
        nats += _summed_loss(c, source[owners], ids)
        shuffled += _summed_loss(c, source[owners - 1], ids) if len(group) > 1 else math.nan  # the image before, cyclically
        tokens += int((ids[:, 1:] != PADDING).sum())
        characters += sum(len(c.tokenizer.decode(row)) + 1 for row in ids)
    return Evaluation(nats / tokens, nats / math.log(2) / characters, shuffled / tokens)


def _summed_loss(captioner, source, ids):
    """Nats of all targets together.  source (M, P, C), ids (M, T)"""
    c = captioner
    x, _ = model.decode_forward(c.engine, c.config, c.parameters.sublayer, ids[:, :-1], source, 0.0, 0)
    loss, _ = c.engine.output_loss_forward(x, c.parameters.sublayer["output"], ids[:, 1:], 1)
    return float(loss)


# ------------------------------------------------------------------------------------------------- the run's folder

def _open_run(out, config, resume):
    """Make the folder, or find the checkpoint to go on from; never run over an earlier training."""
    last = out / "last.npz"
    if resume:
        found = checkpoints.load(last)
        if found.optimiser is None:
            raise CheckpointError(f"{last} has no optimiser state, so training cannot go on from it.")
        was, now = found.config.to_json()["training"], config.to_json()["training"]
        changed = [name for name in now if name != "epochs" and was[name] != now[name]]
        if changed or replace(config.model, vocabulary=0) != replace(found.config.model, vocabulary=0):
            changed = changed or [name for name, value in config.to_json()["model"].items()
                                  if name != "vocabulary" and found.config.to_json()["model"][name] != value]
            raise CheckpointError(f"{last} was trained with another {', '.join(changed)}. "
                                  f"Resume with the flags of the first run (epochs may differ), or start anew in another --out.")
        return found._replace(config=replace(found.config, training=config.training))
    if last.exists():
        raise CheckpointError(f"{out} already holds a training. Go on with it (--resume), or choose another folder (--out).")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"The folder {out} cannot be made ({error.strerror}). Choose another with --out.") from error
    return None


def _append(path, row):
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, LOG)
        if new:
            writer.writeheader()
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})


# ------------------------------------------------------------------------------------------------------ what is said

def _describe_data(data, sequences, config, tokenizer):
    texts = [text for texts in data.train.captions for text in texts]
    cut = np.mean([len(tokenizer.encode(text)) > config.model.max_length - 2 for text in texts])
    unknown = sorted(set("".join(text.lower() for texts in data.val.captions for text in texts)) - set(tokenizer.characters))
    line = (f"{len(data.train.names)} images with {len(sequences.ids)} captions to train on, {len(data.val.names)} with "
            f"{sum(map(len, data.val.captions))} to validate. {tokenizer.size} token ids; {cut:.1%} of the training captions are "
            f"longer than {config.model.max_length} ids and are cut.")
    return line + (f" Not in the vocabulary, so left out of validation captions: {' '.join(unknown)}" if unknown else "")


def _samples(captioner, split, epoch):
    """A few validation images, others each epoch: what the model says and what a person said."""
    chosen = (np.arange(SAMPLES) + epoch * SAMPLES) % len(split.names)
    captions = captioner.captions(split.images[chosen])
    return "\n".join(f"    {split.names[i]}\n        model:  {caption}\n        person: {split.captions[i][0].lower()}"
                     for i, caption in zip(chosen, captions))


def _judged(captioner, data):
    """Captions of held-out scenes, each judged exactly, and the share that is right."""
    captions = captioner.captions(data.val.images)
    faults = [judge(caption, scene) for caption, scene in zip(captions, data.scenes)]
    lines = [f"    {data.val.names[i]}: {captions[i]}{'' if faults[i] is None else '   WRONG: ' + faults[i]}" for i in range(10)]
    for unseen, about in [(False, "familiar colours of shapes"), (True, "colours that the shape never had in training")]:
        right = [fault is None for fault, scene in zip(faults, data.scenes) if scene.unseen == unseen]
        lines.append(f"{sum(right)} of {len(right)} held-out scenes with {about} are captioned rightly ({np.mean(right):.0%}).")
    return "Held-out scenes, each caption judged against the scene that was drawn:\n" + "\n".join(lines)
