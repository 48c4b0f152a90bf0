"""The training loop: prepare, fit, finish."""
import math
import signal
import time

from .. import config as configs
from ..captioning.captioner import Captioner
from ..data.batches import Views, ahead, epoch_batches
from ..errors import Stopped, TrainingError, printable
from ..evaluate.losses import losses
from ..model import checkpoint as checkpoints
from ..model.batch import target_tokens
from ..support.command import as_called, quoted, sibling
from ..support.progress import progress
from . import report, schedule
from .interrupts import Interrupts
from .preparation import prepare
from .run_folder import FILES, SCENES, RunFolder


def train(config, out, resume=False, say=print, save_minutes=configs.RunOptions.save_minutes, debug_nan=False, strict=False):
    """Train as configured; leave best.npz, last.npz and log.csv in the folder `out`.  -> Captioner of the best epoch

    resume: continue from last.npz, to the same bits as without the break. save_minutes: between checkpoints within
    an epoch. debug_nan: check what every sublayer makes in every step. strict: fail instead of skipping unusable images.
    """
    configs.check(config)
    configs.check_setting("save_minutes", save_minutes)
    folder, scenes = RunFolder(out), [SCENES] * (config.training.data == configs.SHAPES)
    with folder.use(resume, [*FILES, *scenes]):
        run = prepare(config, folder, resume, say, strict)
        if debug_nan:
            run.trainer.engine.watch(run.trainer.gradients)
        if not resume:
            run.save(folder.last)                            # whenever it is killed, there is something to resume
        fit(run, say, save_minutes)
        return finish(run, say)


def fit(run, say, save_minutes):
    """All epochs that are left, each validated, logged and saved."""
    state, epochs, began, first = run.state, run.config.training.epochs, time.perf_counter(), run.state.step
    with Interrupts() as interrupts:
        for epoch in range(state.epoch, epochs):
            learning_rate = train_epoch(run, epoch, interrupts, save_minutes)
            row, better = end_epoch(run, learning_rate)
            left = (time.perf_counter() - began) / (state.step - first) * (epochs * run.steps - state.step)
            say(report.epoch_line(row, epochs, better, left))
            say(report.samples(run.captioner, run.data.val, epoch))
            stop_if_asked(run, interrupts)


def train_epoch(run, epoch, interrupts, save_minutes):
    """The steps of an epoch, counted from 0, that are left -> the last one's learning rate"""
    t, state, folder = run.config.training, run.state, run.folder
    saved = time.perf_counter()
    start, done = saved - state.seconds, state.step - epoch * run.steps  # before a break
    batches = epoch_batches(run.data.train.inputs, run.sequences, t.batch_size, t.captions, t.seed, epoch, done,
                            Views(t.flip, t.crop, t.colour, run.data.train.mirrored))
    for batch in progress(ahead(batches), run.steps - done, f"epoch {epoch + 1}", "steps"):
        number = state.step + 1
        rate = schedule.learning_rate_at(number, run.steps * t.epochs, t.learning_rate, t.warmup_steps, t.schedule)
        try:
            found = run.trainer.step(batch, number, rate)
        except TrainingError as error:
            raise TrainingError(f"{error} Training stops; {folder.last_good()} Train again with a lower --learning-rate "
                                f"(it was {t.learning_rate}).") from error
        now = time.perf_counter()
        state.count(found, run.trainer.objectives, batch, target_tokens(batch.ids), now - start)
        if number < (epoch + 1) * run.steps and (interrupts.noted or now - saved >= 60 * save_minutes):
            run.save(folder.last)
            saved = now
            stop_if_asked(run, interrupts)
    return rate


def end_epoch(run, learning_rate):
    """Validate, log and save -> the log's row, and whether the epoch is the best so far"""
    state, folder, name = run.state, run.folder, f"epoch {run.state.epoch + 1}"
    val = losses(run.captioner, run.data.val.inputs, run.val_sequences, f"{name} validation")
    if not math.isfinite(val.loss):
        raise TrainingError(f"The validation loss of {name} is {val.loss}. Training stops; {folder.last_good()}")
    row = report.log_row(state, val, learning_rate, len(run.data.train.names), run.trainer.objectives)
    better = state.end_epoch(row, val.loss)
    if better:
        run.save(folder.best, checkpoints.to_caption)
    run.save(folder.last)
    folder.write_log(state.log)
    return row, better


def stop_if_asked(run, interrupts):
    if interrupts.noted:
        raise Stopped(f"Stopped by {signal.Signals(interrupts.noted).name}. {run.folder.last} holds all {run.state.step} steps. "
                      f"Resume with: {resuming_command()}", interrupts.noted)


def finish(run, say):
    """The last lines of a training -> Captioner of the best epoch"""
    t, folder = run.config.training, run.folder
    best = checkpoints.load(folder.best)
    captioner = Captioner.of(best, t.engine, t.threads, run.captioner.encoder)
    if run.data.scenes is not None:
        say(report.judged(captioner, run.data, folder.scenes))
    epoch = best.state["best_epoch"]
    bits = run.state.log[epoch - 1]["val_bits_per_character"]
    image = str(folder.scenes / "0.png") if run.data.scenes else "IMAGE"
    say(f"Best validation loss: {best.state['best']:.4f} nats per token ({bits:.4f} bits per character), in epoch "
        f"{epoch}. Now: " + printable(quoted([*sibling("sample"), image, "--checkpoint", str(folder.best)])))
    return captioner


def resuming_command():
    """The command that began this process, with --resume"""
    command, words = as_called()
    if not command:                                          # Python code called `train`
        return "train(..., resume=True)"
    return quoted([*command, *words, *["--resume"] * ("--resume" not in words)])
