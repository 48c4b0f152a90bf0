"""The teacher of a distillation: a checkpoint, its soft targets and pooled features for the training data.

Soft targets are the teacher's distributions over every next token, truncated to the MOST likeliest tokens. Pooled
features are its encoder's tokens of an image, averaged and standardised. Both are computed once, without augmentation.
"""
import hashlib
from typing import NamedTuple

import numpy as np

from ..config import SHAPES
from ..data import store
from ..data.dataset import load_dataset
from ..data.encoders import check_encoder
from ..data.features import features_of
from ..data.image_store import open_images
from ..errors import CheckpointError, ConfigError, DataError, printable
from ..model import checkpoint as checkpoints
from ..model.batch import trim
from ..model.checkpoint import Checkpoint
from ..model.engines import make_engine
from ..model.objectives.soft_targets import UNIT, likeliest
from ..pretrained.encoders import sha256_of
from ..support.progress import note
from ..tokenizers import PADDING

VERSION = 1         # to be raised when the same teacher's output changes
MOST = 32           # tokens kept of each distribution
GROUP = 16          # images in one pass
LEAST = 1e-4        # added to deviations: a channel may be equal in all images


class Teacher(NamedTuple):
    checkpoint: Checkpoint      # without the heads used only in training
    sha256: str                 # hash of its file
    encoder: object | None      # frozen encoder, if the teacher reads features

    @property
    def model(self):
        return self.checkpoint.config.model


def load_teacher(config, encoder):
    """Load the Teacher named in a Config, if any -> Teacher or None.  encoder: frozen encoder of the flags, or None

    CheckpointError for an unusable checkpoint, ConfigError for an encoder that does not fit.
    """
    path = config.training.teacher
    if not path:
        return None
    found = checkpoints.to_caption(checkpoints.load(path))
    own = None if config.reads_features and not found.config.model.encoder_name else encoder
    check_encoder(found.config.model, own, "The teacher")
    return Teacher(found, sha256_of(path), own)


def check_same_teacher(teacher, state, folder):
    """CheckpointError if a resumed run began with another teacher.  state TrainingState"""
    if state.teacher != (teacher.sha256 if teacher else ""):
        raise CheckpointError(f"{folder.path} began with another teacher. Pass the same checkpoint as --teacher, "
                              f"or choose another --out.")


def shared_tokenizer(teacher, config, known):
    """The teacher's tokenizer for soft targets; without them the known one, or None.

    known: tokenizer of the resumed run or initial checkpoint, or None.  ConfigError if the tokenizers differ, or the
    teacher cannot read the student's captions.
    """
    t = config.training
    if not teacher or not t.soft_weight:
        return known
    found, settings = teacher.checkpoint.tokenizer, teacher.checkpoint.config.training
    names = ["tokenizer", *["vocabulary_size"] * (found.kind == "bpe")]
    flags = " ".join(f"--{name.replace('_', '-')} {getattr(settings, name)}" for name in names)
    if known and known.to_json() != found.to_json():
        raise ConfigError(f"The tokenizers differ: the teacher's is {described(found)}, the student's "
                          f"{described(known)}. Choose a teacher with the student's "
                          f"tokenizer, or pass --soft-weight 0.")
    if not known and any(getattr(settings, name) != getattr(t, name) for name in names):
        size = f" of {t.vocabulary_size:,} ids" * (t.tokenizer == "bpe")
        raise ConfigError(f"The teacher's tokenizer is {described(found)}, the student's {t.tokenizer}{size}. "
                          f"Pass {flags}, or --soft-weight 0.")
    if teacher.model.max_length < config.model.max_length:
        raise ConfigError(f"max_length is {config.model.max_length}; the teacher reads at most "
                          f"{teacher.model.max_length} ids. Pass --max-length {teacher.model.max_length}, or "
                          f"--soft-weight 0.")
    if found.size > UNIT:
        raise ConfigError(f"The teacher's tokenizer has {found.size:,} ids; soft targets allow {UNIT:,}. Choose "
                          f"another teacher, or pass --soft-weight 0.")
    return found


def described(tokenizer):
    return f"{tokenizer.kind} of {tokenizer.size:,} ids"


class Lessons:
    """A teacher's soft targets and pooled features for the training data: see model.objectives.Supervision."""

    def __init__(self, teacher, split, sequences, settings):
        """split: training images; sequences: their captions in the teacher's tokens; settings: TrainingConfig"""
        self.teacher, self.split, self.sequences, self.settings = teacher, split, sequences, settings
        self._engine = self._inputs = None                   # made on first use: the stores may be complete

    def soft_targets(self, say):
        """Soft targets of each caption -> (M, L - 1, 2, J) uint16, on disk: see objectives.soft_targets"""
        count, ids = min(MOST, self.teacher.model.vocabulary), self.sequences.ids
        shape = ids.shape[1] - 1, 2, count
        digest = hashlib.sha256(ids.tobytes() + self.sequences.first.tobytes()).hexdigest()
        contents = store.Contents("soft-target store", f"soft-{shape[0]}x{count}", "", shape, np.uint16,
                                  self._of_captions, "captions")
        rows = store.open_named(self._digest(f"{self.teacher.sha256} {count} {digest}"), range(len(ids)), contents).rows
        mass, entropy, tokens = measured(rows)
        say(f"Soft targets: {count} ids for each of {tokens:,} tokens keep {mass:.2%} of the teacher's probability. "
            f"Their entropy, the minimum of their loss, is {entropy:.4f} nats per token.")
        return rows

    def features(self, say):
        """Pooled features of each image -> (N, Z) float32, standardised on access"""
        model = self.teacher.model
        width = model.feature_width or model.channels
        contents = store.Contents("store of pooled features", f"pooled-{width}", "", (width,), np.float32,
                                  self._of_images)
        own = "" if self.teacher.encoder else self.teacher.sha256  # a frozen encoder's features: equal for all teachers
        return Standardised(store.open_named(self._digest(own), range(len(self.split.names)), contents).rows)

    def _digest(self, key):
        """Digest for a store's name, of images, encoder, engine and key."""
        encoder, split = self.teacher.encoder, self.split
        of_encoder = encoder and (encoder.sha256, encoder.preprocessing)
        key = f"{VERSION} {key} {self.settings.engine} {of_encoder} {split.names}"
        if split.files is not None:
            return store.fingerprint(split.files, key)
        return hashlib.sha256(key.encode() + np.ascontiguousarray(split.images).tobytes()).hexdigest()[:20]

    def _of_captions(self, captions):
        """Soft targets (L - 1, 2, J) for each caption's number, in order.

        Images go in groups that begin at multiples of GROUP: so a resumed store gets the same bits.
        """
        captions, s = list(captions), self.sequences
        count, start = min(MOST, self.teacher.model.vocabulary), captions[0] if captions else len(s.ids)
        if captions:
            size = len(s.ids) * (s.ids.shape[1] - 1) * 4 * count
            note(f"Computing the teacher's soft targets: {len(s.ids):,} captions, {size:,} bytes.")
        for images in self._groups(int(np.searchsorted(s.first, start, "right")) - 1):
            first, last = s.first[images[0]], s.first[images[-1] + 1]
            ids = trim(s.ids[first:last])                    # (m, T)
            source = self.engine.encode(self._looked_at(images))
            logits = self.engine.decode_logits(source, np.repeat(images - images[0], np.diff(s.first)[images]), ids)
            counts = ids[:, 1:] != PADDING                   # (m, T - 1)
            found = np.zeros((len(ids), s.ids.shape[1] - 1, 2, count), np.uint16)
            found[:, :counts.shape[1]][counts] = likeliest(logits[counts], count)
            yield from found[max(0, start - first):]

    def _of_images(self, images):
        """Mean (Z,) over the features' tokens for each image's number, in order."""
        images = list(images)
        start = images[0] if images else len(self.split.names)
        for group in self._groups(start):
            found = self._looked_at(group)                   # (b, P, D) or (b, A, A, 3)
            tokens = found if self.teacher.encoder else self.engine.encode(found)
            yield from tokens.mean(1, dtype=np.float32)[max(0, start - group[0]):]

    def _groups(self, image):
        """Groups of image numbers, from the group of `image` on."""
        count = len(self.split.names)
        return [np.arange(first, min(first + GROUP, count)) for first in range(image // GROUP * GROUP, count, GROUP)]

    def _looked_at(self, images):
        """The teacher's inputs for these image numbers."""
        found = np.asarray(self.inputs[images])
        store.release(self.inputs)
        return found

    @property
    def engine(self):
        if self._engine is None:
            t = self.settings
            self._engine = make_engine(t.engine, self.teacher.model, self.teacher.checkpoint.parameters, t.threads)
        return self._engine

    @property
    def inputs(self):
        """The training images as the teacher's inputs: features, or images of its own size."""
        if self._inputs is None:
            self._inputs = self._find_inputs(self.teacher.model.image_size)
        return self._inputs

    def _find_inputs(self, size):
        split, t = self.split, self.settings
        if self.teacher.encoder:
            return features_of(split, self.teacher.encoder)
        if split.images.shape[1] == size:
            return split.images
        if t.data == SHAPES:
            return load_dataset(SHAPES, size, t.seed, t.scenes, t.limit).train.images
        found = open_images(split.files, size)
        for number, reason in found.unreadable.items():
            raise DataError(f"{printable(split.names[number])} has become unreadable ({reason}). Train again.")
        return found.rows


class Standardised:
    """Rows on disk, standardised on access: minus the mean, divided by the standard deviation, for each channel."""

    def __init__(self, rows):
        """rows (N, Z)"""
        self.array, self.shape = rows, rows.shape
        self.mean = rows.mean(0, dtype=np.float64)
        self.deviation = np.sqrt(sum(((part - self.mean) ** 2).sum(0) for part in parts_of(rows)) / len(rows)) + LEAST

    def __getitem__(self, numbers):
        return ((self.array[numbers] - self.mean) / self.deviation).astype(np.float32)


def measured(rows):
    """Soft targets (M, L - 1, 2, J) -> share of probability kept, entropy once normalised, number of distributions"""
    mass = entropy = tokens = 0
    for part in parts_of(rows):
        found = part[..., 1, :].astype(np.float64)           # (m, L - 1, J)
        found = found[found.any(-1)]                         # (tokens, J)
        sums = found.sum(-1, keepdims=True)
        q = found / sums
        mass += sums.sum() / UNIT
        entropy -= (q * np.log(np.where(q > 0, q, 1))).sum()
        tokens += len(found)
        store.release(rows)
    return mass / tokens, entropy / tokens, tokens


def parts_of(rows, size=4096):
    return (rows[first:first + size] for first in range(0, len(rows), size))
