"""Atomic file writes, and checks that an output path is writable and not an input."""
import errno
import glob
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from ..errors import DataError, why

UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part")             # suffix of a file during the write
WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2) if os.name == "nt" else ()  # seconds, see rename
LONGEST = 128       # bytes of the name before that suffix: some file systems allow 143 bytes in all


def replace(path, content, mode=0o666):
    """Write bytes to a file atomically: after a failure, crash or power cut the file is either the new or the old one.

    The bytes go to a new file beside it, which is renamed once they are on the disk.  OSError if that fails; then the
    new file is removed.  mode: permissions of the file, before the umask.
    """
    path, rest = Path(path), memoryview(content)
    unfinished = path.with_name(f"{beginning(path.name)}.{os.urandom(4).hex()}.part")  # a unique name
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with open(handle, "wb", buffering=0) as file:        # the flush of a buffer could fail again on closing
            while rest:
                rest = rest[file.write(rest):]
            os.fsync(file.fileno())
        rename(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    with suppress(OSError):                                  # some file systems cannot; the file is in place anyway
        sync_folder(path.parent)


def rename(unfinished, path):
    """os.replace, repeated on Windows, which refuses it while another program (a virus scanner) reads the file."""
    for seconds in WAITS:
        with suppress(PermissionError):
            return os.replace(unfinished, path)
        time.sleep(seconds)
    os.replace(unfinished, path)


def clear_unfinished(path):
    """Remove the unfinished files of processes that were killed while writing `path`, recognised by their suffix."""
    name = beginning(path.name)
    for unfinished in path.parent.glob(f"{glob.escape(name)}.*.part"):
        if UNFINISHED.fullmatch(unfinished.name.removeprefix(name)) and unfinished.is_file():
            unfinished.unlink()


def beginning(name):
    """A file's name, truncated so that the suffix fits."""
    while len(os.fsencode(name)) > LONGEST:
        name = name[:-1]
    return name


def sync_folder(folder):
    """Write a folder's names to the disk: before that, a power cut may undo a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path, content):
    """`replace` for a user's output: DataError if it fails. Links are followed; pipes and devices are written to."""
    try:
        target = Path(path).resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        elif target.exists() and not may_write(target):
            raise PermissionError(errno.EACCES, "it is read-only")
        else:
            replace(target, content)
    except (OSError, RuntimeError) as error:                 # RuntimeError: a link to itself
        raise DataError(f"{path} could not be written ({why(error)}). Choose a file in an existing, writable folder, "
                        "and make sure that the disk is not full.") from error


def check_writable(path, taken=()):
    """Check before long work: DataError if `write_whole` would fail, or would overwrite one of `taken`.

    taken: paths of inputs and other outputs, under any of their names.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder. Choose a file.")
    if not path.parent.is_dir():
        raise DataError(f"There is no folder {path.parent} for {path.name}. Create it, or choose another folder.")
    if path.exists() and not path.is_file():
        return                                               # a pipe or a device
    if not may_write(path if path.exists() else path.parent):
        raise DataError(f"{path} cannot be written: no permission. Choose another file.")
    if identity(path) in set(map(identity, taken)):
        raise DataError(f"{path} would be overwritten. Choose another name for the output.")


def may_write(path):
    """Whether this process may write a path, by its effective user."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def identity(path):
    """Identity of a file, the same for all of its names and links."""
    try:
        found = os.stat(path)
        if found.st_ino:                                     # 0 on file systems without inodes
            return found.st_dev, found.st_ino
    except OSError:                                          # no such file yet
        pass
    return os.path.realpath(path)
