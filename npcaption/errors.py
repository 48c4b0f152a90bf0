"""Errors that a user can cause. Each message names the finding, its place, and the remedy."""


class NpcaptionError(Exception):
    """Base class. The command line prints the message and exits with status 2, without a traceback."""


class DataError(NpcaptionError):
    """Unusable images, captions or splits."""


class ConfigError(NpcaptionError):
    """An invalid setting, or an invalid combination of settings."""


class CheckpointError(NpcaptionError):
    """A checkpoint that cannot be read or written, or does not match the model or data."""


class PretrainedError(NpcaptionError):
    """Pretrained weights or word vectors that cannot be read, or do not match the model."""


class TrainingError(NpcaptionError):
    """A NaN or infinity in training."""


class GradientError(NpcaptionError):
    """A forward or backward that breaks the contract of a pair."""


class WorkerError(NpcaptionError):
    """A worker process that ended, or failed, before its work was done."""


class Stopped(NpcaptionError):
    """Training was stopped by a signal, and its state is saved."""

    def __init__(self, sentence, signal):
        super().__init__(sentence)
        self.status = 128 + signal                           # the shell's convention


def printable(text):
    r"""Text with its unprintable characters escaped, such as \x1b."""
    text = str(text)
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def why(error):
    """Text of an OSError: strerror, or else the message, as not every OSError has an error number."""
    return printable(getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__)
