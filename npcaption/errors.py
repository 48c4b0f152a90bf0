"""Errors that a user can cause. Each carries one sentence: what was found, where, and what to do about it."""


class NpcaptionError(Exception):
    """The command line prints it and exits with status 2, without a traceback."""


class DataError(NpcaptionError):
    """Images, captions or splits that cannot be used."""


class ConfigError(NpcaptionError):
    """Settings that cannot be used, alone or together."""


class CheckpointError(NpcaptionError):
    """A checkpoint that cannot be read or written, or that does not fit."""


class PretrainedError(NpcaptionError):
    """Pretrained weights or word vectors that cannot be read, or that do not fit."""


class TrainingError(NpcaptionError):
    """Numbers that went bad in training."""


class GradientError(NpcaptionError):
    """A forward or backward that breaks the contract of a pair."""


class WorkerError(NpcaptionError):
    """A worker process that ended, or failed, before its work was done."""


class Stopped(NpcaptionError):
    """Training was asked to stop by a signal, and has saved what it had."""

    def __init__(self, sentence, signal):
        super().__init__(sentence)
        self.status = 128 + signal                           # as a shell has it


def printable(text):
    r"""Text as it may stand in a sentence: what cannot be seen as \x1b and the like."""
    text = str(text)
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def why(error):
    """Text of an OSError: not all of them have a number, and only those with one have its text."""
    return printable(getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__)
