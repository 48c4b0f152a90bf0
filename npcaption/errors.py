"""What a user can cause. Each carries one sentence: what was found, where, and what to do about it."""


class NpcaptionError(Exception):
    """The command line prints it and exits with status 2, without a traceback."""


class DataError(NpcaptionError):
    """Images, captions or splits that cannot be used."""


class ConfigError(NpcaptionError):
    """Settings that cannot be used, alone or together."""


class CheckpointError(NpcaptionError):
    """A checkpoint that cannot be read, or that does not fit."""
