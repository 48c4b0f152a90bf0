"""What a user can cause. Each carries one sentence: what was found, where, and what to do about it."""
import os
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
    sys.stdout.reconfigure(errors="backslashreplace")        # a caption may hold what the terminal cannot show
    try:
        status = main()
        sys.stdout.flush()
    except NpcaptionError as error:
        print(error, file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        status = 130
    except BrokenPipeError:                                  # whoever read the output has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    sys.exit(status)
