"""Preparation of a training: data, tokenizer, targets and model, from the settings or from the checkpoint to resume."""
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import tokenizers
from ..captioning.captioner import Captioner
from ..config import Config
from ..data.batches import Sequences, encode_captions
from ..data.dataset import Dataset, fingerprint, load_dataset
from ..data.encoders import check_encoder, frozen_encoder, reading
from ..data.features import with_features
from ..data.seen import exchanged, seen_images, seen_in
from ..errors import CheckpointError, ConfigError, DataError
from ..model import checkpoint as checkpoints
from ..model.checkpoint import Checkpoint, Seen
from ..model.engines import compile_engine
from ..model.objectives import OBJECTIVES, Supervision
from ..model.parameters import initialise, table, without_heads
from ..support.settings import shown
from ..tokenizers import PADDING
from ..tokenizers.words import unspaced
from . import report
from .ranks import ALONE, Ranks, check_same_layout
from .run_folder import FILES, RunFolder
from .self_critical import SelfCritical
from .state import TrainingState
from .teacher import Lessons, check_same_teacher, load_teacher, shared_tokenizer
from .trainer import Trainer
from .vectors import put_vectors, vectors_of


@dataclass
class Run:
    """A training run, ready for its next step."""
    config: Config
    folder: RunFolder
    data: Dataset
    sequences: Sequences                                     # training captions as ids, with the objectives' targets
    val_sequences: Sequences
    seen: Seen                                               # fingerprints of the training images
    state: TrainingState
    trainer: Trainer
    captioner: Captioner                                     # with the trainer's parameters
    ranks: Ranks                                             # MPI ranks, or ALONE

    @property
    def steps(self):
        """Steps of an epoch."""
        return math.ceil(len(self.data.train.names) / self.config.training.batch_size)

    def save(self, path, kept=lambda checkpoint: checkpoint):
        if not self.ranks.first:
            return
        checkpoints.save(path, kept(Checkpoint(self.config, self.captioner.tokenizer, self.trainer.parameters,
                                               self.state.to_json(), self.trainer.optimiser, self.seen)))


def prepare(config, folder, resume, say, strict=False, ranks=ALONE):
    """All that comes before the first step.  config Config, folder RunFolder, say(line) prints -> Run"""
    t = config.training
    resumed, state, notes = folder.resumable(config) if resume else (None, None, [])
    if resumed:
        check_same_layout(state.ranks, ranks.layout, folder)
    begun = checkpoints.load(t.begin) if t.begin and not resumed else None
    known = resumed or begun                                 # the checkpoint with model and tokenizer, if any
    if t.begin:
        config = replace(config, model=checkpoints.to_caption(known).config.model)
    compile_engine(t.engine)                                 # runs in the background; the engine waits for it
    if notes:
        say("\n".join(notes))
    encoder = frozen_encoder(t.encoder, t.features, t.activation)
    teacher = load_teacher(config, encoder)
    if not config.reads_features:                            # only the teacher reads features
        encoder = None
    if known:
        check_encoder(known.config.model, encoder)
    data = load_dataset(t.data, config.model.image_size, t.seed, t.scenes, t.limit, strict=strict,
                        say=lambda note: note and say(note))
    told = len(data.notes)
    data = with_features(data, encoder, t.flip, ("train", "val"))
    if data.notes[told:]:
        say("\n".join(data.notes[told:]))
    seen = seen_images(data.train)
    check_data(data, t)
    if resumed:
        check_same_data(data, seen, resumed, state, t, folder)
        check_same_teacher(teacher, state, folder)
    warn_of_copies(seen, data.val, say)

    tokenizer = shared_tokenizer(teacher, config, known and known.tokenizer) or tokenizers.build(
        t.tokenizer, [text.lower() for captions in data.train.captions for text in captions], t.min_count,
        t.vocabulary_size)
    config = replace(config, model=replace(reading(config.model, encoder), vocabulary=tokenizer.size,
                                           unknown=tokenizer.unknown))
    vectors = None if known else vectors_of(t, tokenizer, say)
    if t.word_vectors:
        width = known.config.model.word_width if known else vectors.dimension
        config = replace(config, model=replace(config.model, word_width=width))
    sequences, val_sequences = (encode_captions(split, tokenizer, config.model.max_length)
                                for split in (data.train, data.val))
    state = state or TrainingState(fingerprint(data), teacher=teacher.sha256 if teacher else "", ranks=ranks.layout)
    lessons = teacher and Lessons(teacher, data.train, sequences, t)
    config, sequences = with_targets(config, sequences, Supervision(data.train.captions, state.words, lessons), say)
    if t.objective == "self-critical":
        sequences.targets["image"] = np.arange(len(data.train.names))  # image numbers, for the rewards
    if (t.bag_weight or t.tokenizer in ("word", "space")) and (
            warning := unspaced([text for texts in data.train.captions for text in texts])):
        say(warning)
    say(report.describe(data, sequences, tokenizer, config.model.max_length))
    say("\n" + table(config.model) + "\n")

    parameters = resumed.parameters if resumed else first_parameters(config, sequences, tokenizer, vectors)
    if begun:
        begin_with(parameters, begun, Path(t.begin), state)
    trainer = Trainer(config, parameters, resumed and resumed.optimiser, ranks)
    if t.engine == "numba":
        say(workers_line(sum(ranks.layout) or trainer.engine.threads, t.batch_size))
    if t.objective == "self-critical":
        trainer.sampler = SelfCritical(trainer.engine, tokenizer, data.train.captions, t, ranks)
    captioner = Captioner(config.model, tokenizer, trainer.parameters, ranks.over_all(trainer.engine), encoder)
    return Run(config, folder, data, sequences, val_sequences, seen, state, trainer, captioner, ranks)


def with_targets(config, sequences, supervision, say):
    """Add the objectives' targets to the training captions -> the config with the model's sizes, Sequences"""
    of_images, of_captions = {}, {}
    for objective in OBJECTIVES:
        config, found = objective.targets(config, supervision, say)
        if found is not None:
            (of_captions if objective.of_captions else of_images)[objective.name] = found
    return config, sequences._replace(targets=of_images, of_captions=of_captions)


def first_parameters(config, sequences, tokenizer, vectors):
    """Initial parameters.  sequences: the training captions; vectors: WordVectors or None"""
    parameters = initialise(config.model, config.training.seed)
    if vectors is not None:
        put_vectors(parameters.named["token_embed.weight"], tokenizer, vectors)
    if config.training.frequencies:                          # the output bias starts at the log token frequencies
        counts = 1 + np.bincount(sequences.ids[:, 1:].reshape(-1), minlength=config.model.vocabulary)
        counts[PADDING] = 1
        parameters.named["output.linear.bias"][...] = np.log(counts / counts.sum())
    return parameters


def begin_with(parameters, begun, path, state):
    """Copy the parameters of a Checkpoint with its training heads, which a best.npz has in the last.npz beside it.

    A head begins anew if there is none of its size, or if it was trained on other data, whose words may differ.
    """
    known, (best, last, *_) = checkpoints.to_caption(begun).parameters.named, FILES
    for name, view in known.items():
        parameters.named[name][...] = view
    heads = parameters.named.keys() - known.keys()
    if not heads:
        return
    headless = begun.config.model == without_heads(begun.config.model)
    beside = headless and path.name == best and path.with_name(last).exists()
    whole = checkpoints.load(path.with_name(last)) if beside else begun
    if whole.state.get("data") == state.data:
        for name in heads:
            view, found = parameters.named[name], whole.parameters.named.get(name)
            if found is not None and found.shape == view.shape:
                view[...] = found


def check_data(data, t):
    """DataError for an empty split, ConfigError for a batch larger than the data."""
    if not data.train.names or not data.val.names:
        raise DataError(" ".join([f"{shown(t.data)} leaves {len(data.train.names)} images to train on and "
                                  f"{len(data.val.names)} to validate: add some to the empty split.", *data.notes]))
    for name in ["batch_size", *["self_critical_batch_size"] * bool(t.self_critical_epochs)]:
        if getattr(t, name) > len(data.train.names):
            raise ConfigError(f"{name} is {getattr(t, name)}, more than the {len(data.train.names)} training images. "
                              f"Choose a smaller --{name.replace('_', '-')}.")


def workers_line(workers, batch_size):
    """Line on the number of workers, and on the batch size that would use all of them."""
    if batch_size >= workers:
        return f"Workers: {workers}, {batch_size / workers:.3g} images each per batch."
    return (f"Workers: {workers}, but a batch of {batch_size} images uses only {batch_size}. Pass --batch-size "
            f"{workers} to use all.")


def check_same_data(data, seen, resumed, state, t, folder):
    """CheckpointError if the data are not those of the run's beginning."""
    if state.data != fingerprint(data):
        raise CheckpointError(f"{folder.path} was trained on other images or captions than {shown(t.data)} now holds. "
                              f"Resume with the original data, or choose another --out.")
    if resumed.seen and len(others := exchanged(resumed.seen, seen)):
        raise CheckpointError(f"{len(others)} images of {shown(t.data)} changed since {folder.path} was trained, first "
                              f"{data.train.names[others[0]]}. Restore them, or choose another --out.")


def warn_of_copies(seen, val, say):
    if twice := np.flatnonzero(seen_in(seen, val)).tolist():
        say(f"WARNING: {len(twice):,} of {len(val.names):,} validation images are also training images, perhaps under "
            f"another name, first {val.names[twice[0]]}. The validation loss, which selects best.npz, is too low. "
            f"Remove the copies, or put all copies of an image into one split.")
