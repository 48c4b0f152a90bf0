"""Writing files so that nothing already made is lost."""
import os
from contextlib import suppress
from pathlib import Path

from .errors import DataError


def write_whole(path, content):
    """Bytes into a file, written beside it and renamed, so that an earlier one stays whole.  DataError if it fails."""
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError as error:
        raise DataError(f"{path} could not be written ({error.strerror}). Name a file in a folder that exists and is "
                        "writable, and see that the disk is not full.") from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
