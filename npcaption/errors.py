"""What a user can cause. Each carries one sentence: what was found, where, and what to do about it."""
import sys


class NpcaptionError(Exception):
    """The command line prints it and exits with status 2, without a traceback."""


class DataError(NpcaptionError):
    """Images, captions or splits that cannot be used."""


class ConfigError(NpcaptionError):
    """Settings that cannot be used, alone or together."""


class CheckpointError(NpcaptionError):
    """A checkpoint that cannot be read or written, or that does not fit."""


def command(main):
    """Run a command's main function as a person expects it: a sentence for what they caused, 130 for Ctrl-C."""
    try:
        sys.exit(main())
    except NpcaptionError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nInterrupted. What was saved is whole; a training goes on with --resume.", file=sys.stderr)
        sys.exit(130)
