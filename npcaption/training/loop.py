"""The training loop: steps, epochs, evaluation, log, checkpoints, resume."""
import math
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import config as configs
from .. import layers, tokenizers
from ..captioning.captioner import Captioner
from ..data.batches import Views, ahead, encode_captions, epoch_batches
from ..data.dataset import fingerprint, load_dataset
from ..data.seen import exchanged, seen_images, seen_in
from ..errors import CheckpointError, ConfigError, DataError, Stopped, TrainingError, printable
from ..evaluate.losses import losses
from ..layers.adamw import AdamW
from ..model import checkpoint as checkpoints
from ..model.batch import target_tokens
from ..model.checkpoint import Checkpoint
from ..model.engines import compile_engine, make_engine
from ..model.objectives import LIKELIHOOD, OBJECTIVES, chosen
from ..model.parameters import Parameters, decay_of, initialise, table
from ..support.command import as_called, quoted, sibling
from ..support.progress import progress
from ..support.settings import shown
from ..tokenizers import PADDING
from ..tokenizers.words import RULE, unspaced
from . import report, run_folder, schedule

EPOCH = {"counted": 0, "seconds": 0.0, **{objective.total: 0.0 for objective in OBJECTIVES}}  # of the one under way
BEGINNING = {"epoch": 0, "step": 0, "best": math.inf, "best_epoch": 0,
             **EPOCH}


class Trainer:
    """A model in training: parameters, gradients and AdamW's moments, and one step of all of them."""

    def __init__(self, config, parameters, moments=None):
        """config Config; moments m and v, (N,) each, to go on from, or None to begin."""
        self.config = config
        self.engine = make_engine(config.training.engine, config.model, parameters, config.training.threads)
        self.parameters, self.gradients = parameters, Parameters(config.model, parameters.flat.dtype)
        self.moments = moments or (np.zeros_like(parameters.flat), np.zeros_like(parameters.flat))
        self.decay = decay_of(parameters, config.training.weight_decay, config.training.decay)
        self.objectives = chosen(config)

    def step(self, batch, number, learning_rate):
        """Step `number`, counted from 1, on a Batch, whose keys are made here -> {objective's name: loss before the step}

        TrainingError, and nothing is changed, if a loss or a gradient is not finite.
        """
        t = self.config.training
        keys = layers.fold_key(layers.fold_key(t.seed, number), np.arange(len(batch.inputs)))  # (B,)
        batch = batch._replace(keys=keys)
        try:
            losses, _ = self.engine.loss_and_gradients(batch, self.gradients, self.objectives)
        except TrainingError as error:                       # by an engine that is watched
            raise TrainingError(f"In step {number} {error}.") from error
        settings = AdamW(learning_rate, t.beta1, t.beta2, t.epsilon, t.clip_norm)
        finite = math.isfinite(sum(losses.values()))
        norm = self.engine.update(self.gradients, *self.moments, self.decay, number, settings) if finite else math.nan
        if not math.isfinite(norm):
            raise TrainingError(f"In step {number} the loss is {losses[LIKELIHOOD.name]:.6g} and "
                                f"{self._where_not_finite(batch)}.")
        return losses

    def _where_not_finite(self, batch):
        """Diagnosis of a step with bad numbers: it is repeated with every sublayer watched."""
        bad = [name for name, view in self.gradients.named.items() if not np.isfinite(view).all()]
        told = f"{len(bad)} gradients are not finite"
        told += f" ({', '.join(bad[:3])}{', ...' * (len(bad) > 3)})" if bad else ""
        try:
            self.engine.watch(self.gradients)
            self.engine.loss_and_gradients(batch, self.gradients, self.objectives)
        except TrainingError as error:
            return f"{told}; {error}"
        return f"{told}; every number in it is finite, so the norm of the gradients is too large" if not bad else told


def train(config, out, resume=False, say=print, save_minutes=configs.RunOptions.save_minutes, debug_nan=False, strict=False):
    """Train as configured; leave best.npz, last.npz and log.csv in the folder `out`.  -> Captioner of the best epoch

    resume: go on from last.npz, to the same bits as if there had been no break. save_minutes: between checkpoints within
    an epoch. debug_nan: check what every sublayer makes in every step. strict: leave out no image or caption silently.
    """
    configs.check(config)
    configs.check_setting("save_minutes", save_minutes)
    out, scenes = Path(out), [run_folder.SCENES] * (config.training.data == configs.SHAPES)
    with run_folder.folder(out, resume, [*run_folder.FILES, *scenes]):
        return _train(config, out, resume, say, save_minutes, debug_nan, strict)


def _train(config, out, resume, say, save_minutes, debug_nan, strict):
    t = config.training
    resumed, notes = run_folder.resumable(out, config) if resume else (None, [])
    compiled = compile_engine(t.engine)                      # goes on beside what follows

    if notes:
        say("\n".join(notes))
    data = load_dataset(t.data, config.model.image_size, t.seed, t.scenes, t.limit, strict=strict,
                        say=lambda note: note and say(note))
    seen = seen_images(data.train)
    check_data(data, t, out, resumed, seen)
    if twice := np.flatnonzero(seen_in(seen, data.val)).tolist():
        say(f"WARNING: {len(twice):,} of {len(data.val.names):,} validation images are among the training images, too, "
            f"perhaps under another name, the first {data.val.names[twice[0]]}: the validation loss flatters the "
            f"model, and best.npz is chosen by it. Remove the copies, or give all copies of an image one split.")
    tokenizer = resumed.tokenizer if resumed else tokenizers.build(
        t.tokenizer, [text.lower() for captions in data.train.captions for text in captions], t.min_count, t.vocabulary_size)
    config = replace(config, model=replace(config.model, vocabulary=tokenizer.size, unknown=tokenizer.unknown))
    sequences, val_sequences = (encode_captions(split, tokenizer, config.model.max_length)
                                for split in (data.train, data.val))
    state = {**BEGINNING, **(resumed.state if resumed else {"log": [], "data": fingerprint(data), "words": RULE})}
    config, targets = targets_of(config, data.train, state, say)
    sequences = sequences._replace(targets=targets)
    if (t.bag_weight or t.tokenizer in ("word", "space")) and (
            warning := unspaced([text for texts in data.train.captions for text in texts])):
        say(warning)
    say(report.describe(data, sequences, tokenizer, config.model.max_length))
    say("\n" + table(config.model) + "\n")

    compiled.result()
    trainer = (Trainer(config, resumed.parameters, resumed.optimiser) if resumed else
               Trainer(config, first_parameters(config, sequences)))
    if debug_nan:
        trainer.engine.watch(trainer.gradients)
    captioner = Captioner(config.model, tokenizer, trainer.parameters, trainer.engine)

    def save(name, kept=lambda checkpoint: checkpoint):
        checkpoints.save(out / name, kept(Checkpoint(config, tokenizer, trainer.parameters, state, trainer.moments, seen)))

    def stop_if_asked():
        if interrupts.noted:
            raise Stopped(f"Stopped by {signal.Signals(interrupts.noted).name}. {out / 'last.npz'} holds all "
                          f"{state['step']} steps. Go on with: {resuming_command()}", interrupts.noted)

    if not resumed:
        save("last.npz")                                     # whenever it is killed, there is something to resume
    steps = math.ceil(len(data.train.names) / t.batch_size)  # in an epoch
    began, first = time.perf_counter(), state["step"]
    saved = began
    with run_folder.Interrupts() as interrupts:
        for epoch in range(state["epoch"], t.epochs):
            done = state["step"] - epoch * steps             # of this epoch, before a break
            start = time.perf_counter() - state["seconds"]
            batches = epoch_batches(data.train.images, sequences, t.batch_size, t.captions, t.seed, epoch, done,
                                    Views(t.flip, t.crop, t.colour))
            for batch in progress(ahead(batches), steps - done, f"epoch {epoch + 1}", "steps"):
                number = state["step"] + 1
                rate = schedule.learning_rate_at(number, steps * t.epochs, t.learning_rate, t.warmup_steps, t.schedule)
                try:
                    found = trainer.step(batch, number, rate)
                except TrainingError as error:
                    raise TrainingError(f"{error} Training stops; {last_good(out)} Begin anew with a lower --learning-rate "
                                        f"(it was {t.learning_rate}).") from error
                now = time.perf_counter()
                state |= {o.total: state[o.total] + found[o.name] * getattr(batch, o.per) for o in trainer.objectives}
                state |= {"step": number, "counted": state["counted"] + target_tokens(batch.ids), "seconds": now - start}
                if number < (epoch + 1) * steps and (interrupts.noted or now - saved >= 60 * save_minutes):
                    save("last.npz")
                    saved = now
                    stop_if_asked()

            val = losses(captioner, data.val.images, val_sequences, f"epoch {epoch + 1} validation")
            if not math.isfinite(val.loss):
                raise TrainingError(f"The validation loss of epoch {epoch + 1} is {val.loss}. Training stops; "
                                    f"{last_good(out)}")
            row = report.log_row(epoch + 1, state, val, rate, len(data.train.names), trainer.objectives)
            better = val.loss < state["best"]
            state |= {**EPOCH, "epoch": epoch + 1, "log": state["log"] + [row]}
            if better:
                state |= {"best": val.loss, "best_epoch": epoch + 1}
                save("best.npz", checkpoints.to_caption)
            save("last.npz")
            saved = time.perf_counter()
            run_folder.write_log(out / "log.csv", state["log"])
            left = (saved - began) / (state["step"] - first) * (t.epochs * steps - state["step"])
            say(report.epoch_line(row, t.epochs, better, left))
            say(report.samples(captioner, data.val, epoch))
            stop_if_asked()

    best = checkpoints.load(out / "best.npz")
    captioner = Captioner(best.config.model, best.tokenizer, best.parameters,
                          make_engine(t.engine, best.config.model, best.parameters, t.threads))
    if data.scenes is not None:
        say(report.judged(captioner, data, out / run_folder.SCENES))
    bits = state["log"][best.state["best_epoch"] - 1]["val_bits_per_character"]
    image = str(out / run_folder.SCENES / "0.png") if data.scenes else "IMAGE"
    say(f"Best validation loss: {best.state['best']:.4f} nats per token ({bits:.4f} bits per character), in epoch "
        f"{best.state['best_epoch']}. Now: " + printable(quoted(
            [*sibling("sample"), image, "--checkpoint", str(out / "best.npz")])))
    return captioner


def targets_of(config, split, state, say):
    """The objectives' targets for the training images -> the config with the model's sizes, {objective's name: (N, ...)}"""
    found = {}
    for objective in OBJECTIVES:
        config, found[objective.name] = objective.targets(config, split, state, say)
    return config, {name: target for name, target in found.items() if target is not None}


def first_parameters(config, sequences):
    """Parameters at the beginning of training.  sequences: the training captions."""
    parameters = initialise(config.model, config.training.seed)
    if config.training.frequencies:                          # the model need not learn first how often each token is
        counts = 1 + np.bincount(sequences.ids[:, 1:].reshape(-1), minlength=config.model.vocabulary)
        counts[PADDING] = 1
        parameters.named["output.linear.bias"][...] = np.log(counts / counts.sum())
    return parameters


def check_data(data, t, out, resumed, seen):
    """Refuse what cannot be trained on, or is not what the run began with."""
    if not data.train.names or not data.val.names:
        raise DataError(" ".join([f"{shown(t.data)} leaves {len(data.train.names)} images to train on and {len(data.val.names)} "
                                  f"to validate: add some to the empty split.", *data.notes]))
    if t.batch_size > len(data.train.names):
        raise ConfigError(f"batch_size {t.batch_size} is more than the {len(data.train.names)} images to train on. "
                          f"Choose a smaller --batch-size.")
    if resumed and resumed.state["data"] != fingerprint(data):
        raise CheckpointError(f"{out} was trained on other images or captions than {shown(t.data)} now holds. Resume with the "
                              f"data of the first run, or begin anew in another folder (--out).")
    if resumed and resumed.seen and len(others := exchanged(resumed.seen, seen)):
        raise CheckpointError(f"{shown(t.data)} holds other images than those that {out} was trained on: {len(others)} differ under "
                              f"the same names, the first {data.train.names[others[0]]}. Restore them, or begin anew in "
                              f"another folder (--out).")


def last_good(out):
    """Sentence on the last intact checkpoint."""
    if (out / "last.npz").exists():
        return f"{out / 'last.npz'} is from before, and whole."
    return "nothing had been saved yet."


def resuming_command():
    """The command that began this process, with --resume"""
    command, words = as_called()
    if not command:                                          # Python code called `train`
        return "train(..., resume=True)"
    return quoted([*command, *words, *["--resume"] * ("--resume" not in words)])
