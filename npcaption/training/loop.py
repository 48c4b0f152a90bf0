"""The training loop: prepare, fit, finish."""
import math
import signal
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from .. import config as configs
from ..captioning import decoding
from ..captioning.captioner import Captioner
from ..data.batches import Views, epoch_batches
from ..errors import Stopped, TrainingError, WorkerError, printable
from ..evaluate import metrics
from ..evaluate.losses import losses
from ..evaluate.scores import decode_all
from ..model import checkpoint as checkpoints
from ..report.samples import add_samples
from ..support.command import as_called, quoted, sibling
from ..support.cores import usable_cores
from ..support.progress import progress
from . import report, schedule
from .interrupts import Interrupts
from .preparation import prepare
from .ranks import ALONE
from .run_folder import FILES, SCENES, RunFolder


def train(config, out, resume=False, say=print, save_minutes=configs.RunOptions.save_minutes, debug_nan=False,
          strict=False, ranks=ALONE):
    """Train as configured; leave checkpoints, log.csv and report.html in the folder `out` -> the best epoch's Captioner

    resume: continue from last.npz, to the same bits as without the break. save_minutes: between checkpoints within
    an epoch. debug_nan: check every sublayer's output in every step. strict: fail instead of skipping unusable images.
    ranks: see launcher.ranks_of_training; only the first writes.
    """
    configs.check(config)
    configs.check_setting("save_minutes", save_minutes)
    how = dict(say=say, save_minutes=save_minutes, debug_nan=debug_nan, strict=strict, ranks=ranks)
    captioner = train_stage(config, RunFolder(out), resume, **how)
    if not config.training.self_critical_epochs:
        return captioner
    folder = RunFolder(Path(out) / "self-critical")
    say(f"\nSelf-critical training, in {folder.path}:")
    again = ranks.told(resume and folder.last.exists())      # and the first stage's best.npz is written
    return train_stage(configs.second_stage(config, str(RunFolder(out).best)), folder, again, **how)


def train_stage(config, folder, resume, say, save_minutes, debug_nan, strict, ranks=ALONE):
    """One run in one folder -> Captioner of the best epoch"""
    if config.training.objective == "self-critical":
        config = configs.for_rewards(config)
    scenes = [SCENES] * (config.training.data == configs.SHAPES)
    ranks.settle(config.training)
    with ranks.leading(folder.use(resume, [*FILES, *scenes])):
        if ranks.about:
            say(ranks.about)
        run = ranks.in_turn(partial(prepare, config, folder, resume, say, strict, ranks))
        ranks.check_alike("settings or data", (run.config.to_json(), run.state.data))
        ranks.check_alike("first parameters", run.trainer.parameters.flat)
        if debug_nan:
            run.trainer.engine.watch(run.trainer.gradients)
        if not resume:
            if config.training.objective == "self-critical":  # a best epoch must beat the initial model
                run.state.best = -cider_d_of(run, "before")
                say(f"Before self-critical training: CIDEr-D {-100 * run.state.best:.1f} (validation images, greedy).")
                run.save(folder.best, checkpoints.to_caption)
            run.save(folder.last)                            # a run killed in its first epoch can be resumed, too
        if run.state.epoch < run.config.training.epochs:
            say(f"Curves and samples: {printable(folder.report)}, rewritten after each epoch.")
        fit(run, say, save_minutes)
        return finish(run, say)


def fit(run, say, save_minutes):
    """The remaining epochs, each validated, logged and saved."""
    state, epochs, began, first = run.state, run.config.training.epochs, time.perf_counter(), run.state.step
    with Interrupts() as interrupts:
        for epoch in range(state.epoch, epochs):
            learning_rate = train_epoch(run, epoch, interrupts, save_minutes)
            row, better, drawn = end_epoch(run, learning_rate)
            left = (time.perf_counter() - began) / (state.step - first) * (epochs * run.steps - state.step)
            say(report.epoch_line(row, epochs, better, left))
            say(report.sample_lines(run.data.val, drawn))
            stop_if_asked(run, run.ranks.most(interrupts.noted or 0))


def train_epoch(run, epoch, interrupts, save_minutes):
    """The remaining steps of an epoch, counted from 0 -> learning rate of the last step"""
    t, state, folder = run.config.training, run.state, run.folder
    saved = time.perf_counter()
    start, done = saved - state.seconds, state.step - epoch * run.steps  # before a break
    batches = epoch_batches(run.data.train.inputs, run.sequences, t.batch_size, t.captions, t.seed, epoch, done,
                            Views(t.flip, t.crop, t.colour, run.data.train.mirrored),
                            threads=1 + usable_cores() // 8, share=run.ranks.mine)
    for batch in progress(batches, run.steps - done, f"epoch {epoch + 1}", "steps"):
        number = state.step + 1
        rate = schedule.learning_rate_at(number, run.steps * t.epochs, t.learning_rate, t.warmup_steps, t.schedule)
        try:
            found = run.trainer.step(batch, number, rate)
        except TrainingError as error:
            raise TrainingError(f"{error} Training stops; {folder.last_good()} Train again with a lower "
                                f"--learning-rate (it was {t.learning_rate}).") from error
        except WorkerError as error:
            raise WorkerError(f"{error} Training stops; {folder.last_good()} Resume with: "
                              f"{resuming_command(run.ranks)}") from error
        now = time.perf_counter()
        state.count(found, run.trainer.objectives, batch, now - start)
        asked = run.ranks.most(interrupts.noted or 0)
        if number < (epoch + 1) * run.steps and (asked or now - saved >= 60 * save_minutes):
            run.save(folder.last)
            saved = now
            stop_if_asked(run, asked)
    return rate


def end_epoch(run, learning_rate):
    """Validate, sample, log and save -> log row, whether the epoch is the best so far, captions of a few images

    Both the weights and their average are validated; the better of the two are saved.
    """
    state, folder, weights = run.state, run.folder, nullcontext
    run.ranks.check_alike("parameters", run.trainer.parameters.flat)
    val, lowest, more = validated(run, "validation")
    row = report.log_row(state, val, learning_rate, len(run.data.train.names), run.trainer.objectives) | more
    if run.trainer.average is not None:
        with run.trainer.averaged():
            of_average, low, more = validated(run, "validation of the average")
        row |= {"val_average": of_average.loss} | {f"{name}_average": value for name, value in more.items()}
        if low < lowest:
            lowest, weights = low, run.trainer.averaged
    better = state.end_epoch(row, lowest)
    if better:
        with weights():
            run.save(folder.best, checkpoints.to_caption)
    same, others = report.sample(run.captioner, run.data.val, state.epoch - 1)
    try:                                                     # first: a kill leaves no completed epoch without samples
        if run.ranks.first:
            add_samples(folder.samples, run.data.val, state.epoch, same, others)
    finally:
        run.save(folder.last)
    if run.ranks.first:
        folder.write_log(state.log)
        folder.write_report(run.config)
    return row, better, others


def validated(run, label):
    """Losses on the validation images, the validation criterion (lower is better), and more columns of the log

    The criterion is the loss; in self-critical training minus CIDEr-D, because the loss rises while captions improve.
    """
    name = f"epoch {run.state.epoch + 1} {label}"
    found = losses(run.captioner, run.data.val.inputs, run.val_sequences, name)
    if not math.isfinite(found.loss):
        raise TrainingError(f"The loss of {name} is {found.loss}. Training stops; {run.folder.last_good()} Train again "
                            f"with a lower --learning-rate.")
    if run.config.training.objective == "likelihood":
        return found, found.loss, {}
    score = cider_d_of(run, name)
    return found, -score, {"val_cider_d": score}


def cider_d_of(run, label):
    """CIDEr-D of greedy captions of the validation images."""
    sentences = decode_all(run.captioner, run.data.val.inputs, decoding.greedy, label)
    references = [[metrics.tokenize(text) for text in texts] for texts in run.data.val.captions]
    return float(metrics.cider_d([metrics.tokenize(sentence.text) for sentence in sentences], references).corpus)


def stop_if_asked(run, number):
    """Raise Stopped if a rank has received a signal.  number: the signal's, or 0"""
    if number:
        run.ranks.told(None)                                 # the first has written its checkpoint
        raise Stopped(f"Stopped by {signal.Signals(number).name}. {run.folder.last} holds all {run.state.step} steps. "
                      f"Resume with: {resuming_command(run.ranks)}", number)


def finish(run, say):
    """Print the last lines of training -> Captioner of the best epoch"""
    t, folder = run.config.training, run.folder
    if not run.ranks.first:                                  # only the first prints and draws
        return run.captioner
    best = checkpoints.load(folder.best)
    captioner = Captioner.of(best, t.engine, t.threads, run.captioner.encoder)
    if run.data.scenes is not None:
        say(report.judged(captioner, run.data, folder.scenes))
    epoch = best.state["best_epoch"]
    if t.objective == "likelihood":
        bits = run.state.log[epoch - 1]["val_bits_per_character"]
        told = f"Best validation loss: {best.state['best']:.4f} nats per token ({bits:.4f} bits per character)"
    else:
        told = f"Best validation CIDEr-D: {-100 * best.state['best']:.1f}, greedy"
    image = str(folder.scenes / "0.png") if run.data.scenes else "IMAGE"
    caption_it = quoted([*sibling("sample"), image, "--checkpoint", str(folder.best)])
    say(f"{told}, in epoch {epoch}. Now: {printable(caption_it)}")
    return captioner


def resuming_command(ranks=ALONE):
    """The command that began this process, with --resume"""
    command, words = as_called()
    if not command:                                          # called from Python
        return "train(..., resume=True)"
    return quoted(ranks.command([*command, *words, *["--resume"] * ("--resume" not in words)]))
