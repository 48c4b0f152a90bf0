"""Writing files so that nothing already made is lost."""
import glob
import os
import re
from contextlib import suppress
from pathlib import Path

from .errors import DataError, why


UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part")             # behind the name of a file that is being written


def replace(path, content, mode=0o666):
    """Bytes into a file, all or nothing: after any failure, crash or power cut it is the new one or the earlier, whole.

    They are written to a new file beside it, and renamed when they are on the disk.  OSError if that fails; then nothing is
    left.  mode: the permissions of the file, of which the umask takes away.
    """
    path, rest = Path(path), memoryview(content)
    unfinished = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")  # a name that nobody else's file has
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with open(handle, "wb", buffering=0) as file:        # a buffer's flush could fail again when the file is closed
            while rest:
                rest = rest[file.write(rest):]
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    with suppress(OSError):                                  # not every file system can; the file is in its place anyway
        sync_folder(path.parent)


def clear_unfinished(path):
    """Remove what processes that were killed while they wrote `path` left of it; nothing else ends like that."""
    for unfinished in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        if UNFINISHED.fullmatch(unfinished.name.removeprefix(path.name)):
            unfinished.unlink()


def sync_folder(folder):
    """The names in a folder to the disk: a renamed file may have its old name after a power cut until they are."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path, content):
    """`replace` for what a person asked for: DataError if it fails. A link is followed, a pipe or device written into."""
    try:
        target = Path(path).resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            replace(target, content)
    except OSError as error:
        raise DataError(f"{path} could not be written ({why(error)}). Name a file in a folder that exists and is "
                        "writable, and see that the disk is not full.") from error


def check_writable(path):
    """Before work of minutes: DataError if `write_whole` could not succeed in the end."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder. Name a file.")
    if not path.parent.is_dir():
        raise DataError(f"There is no folder {path.parent} for {path.name}. Make it, or name another.")
