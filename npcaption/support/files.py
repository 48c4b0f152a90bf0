"""Writing files so that nothing already made is lost."""
import errno
import glob
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from ..errors import DataError, why

UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part")             # behind the name of a file that is being written
WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2) if os.name == "nt" else ()  # seconds, see rename
LONGEST = 128       # bytes of that name: with the ending it must not be longer than the 143 that some file systems take


def replace(path, content, mode=0o666):
    """Bytes into a file, all or nothing: after any failure, crash or power cut it is the new one or the earlier, whole.

    They are written to a new file beside it, and renamed when they are on the disk.  OSError if that fails; then nothing is
    left.  mode: the permissions of the file, of which the umask takes away.
    """
    path, rest = Path(path), memoryview(content)
    unfinished = path.with_name(f"{beginning(path.name)}.{os.urandom(4).hex()}.part")  # as nobody else names files
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with open(handle, "wb", buffering=0) as file:        # a buffer's flush could fail again when the file is closed
            while rest:
                rest = rest[file.write(rest):]
            os.fsync(file.fileno())
        rename(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    with suppress(OSError):                                  # not every file system can; the file is in its place anyway
        sync_folder(path.parent)


def rename(unfinished, path):
    """os.replace. Windows refuses it while another program has the file open, as virus scanners do for a moment."""
    for seconds in WAITS:
        with suppress(PermissionError):
            return os.replace(unfinished, path)
        time.sleep(seconds)
    os.replace(unfinished, path)


def clear_unfinished(path):
    """Remove what processes that were killed while they wrote `path` left of it; nothing else ends like that."""
    name = beginning(path.name)
    for unfinished in path.parent.glob(f"{glob.escape(name)}.*.part"):
        if UNFINISHED.fullmatch(unfinished.name.removeprefix(name)) and unfinished.is_file():
            unfinished.unlink()


def beginning(name):
    """As much of a file's name as leaves room for an ending."""
    while len(os.fsencode(name)) > LONGEST:
        name = name[:-1]
    return name


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
        elif target.exists() and not may_write(target):
            raise PermissionError(errno.EACCES, "it is read-only")
        else:
            replace(target, content)
    except (OSError, RuntimeError) as error:                 # RuntimeError: a link to itself
        raise DataError(f"{path} could not be written ({why(error)}). Name a file in a folder that exists and is "
                        "writable, and see that the disk is not full.") from error


def check_writable(path, taken=()):
    """Before work of minutes: DataError if `write_whole` could not succeed in the end, or would destroy one of `taken`.

    taken: paths that are read, or written too, by whatever names.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder. Name a file.")
    if not path.parent.is_dir():
        raise DataError(f"There is no folder {path.parent} for {path.name}. Make it, or name another.")
    if path.exists() and not path.is_file():
        return                                               # a pipe or a device
    if not may_write(path if path.exists() else path.parent):
        raise DataError(f"{path} cannot be written: no permission. Name another file.")
    if identity(path) in set(map(identity, taken)):
        raise DataError(f"{path} would be written over. Choose another name for the output.")


def may_write(path):
    """Whether this process has the permission; not that of the user who started it, where they differ."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def identity(path):
    """Identity of a file, the same by all of its names and links."""
    try:
        found = os.stat(path)
        if found.st_ino:                                     # 0 where the file system has no such numbers
            return found.st_dev, found.st_ino
    except OSError:                                          # none yet
        pass
    return os.path.realpath(path)
