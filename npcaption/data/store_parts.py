"""Files of stores that are being built: claimed by one process, resumed by another, removed when abandoned."""
import errno
import glob
import os
import re
import time
from contextlib import contextmanager, suppress
from itertools import chain, repeat

from ..support import caches

try:
    import fcntl
except ImportError:     # Windows
    fcntl = None

ABANDONED = 7 * 24 * 3600   # seconds after which nobody will resume a part that was interrupted
PART = re.compile(r"(images|features|soft|pooled)-\w+-[0-9a-f]{20}(-\d+)?\.npy\.[0-9a-f]{8}\.part")
OWN_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)  # no link to a file that is not ours


def own_name(file):
    """The file, or one with the user's number in its name if another user has put a store there."""
    foreign = file.is_file() and not caches.is_own(os.stat(file))
    return file.with_stem(f"{file.stem}-{os.geteuid()}") if foreign else file


@contextmanager
def claim(file):
    """A part of this store that no other process writes, as long as the context lasts: one left behind, or a new one"""
    left = ((part, 0) for part in file.parent.glob(f"{glob.escape(file.name)}.*.part"))
    new = ((file.with_name(f"{file.name}.{os.urandom(4).hex()}.part"), os.O_CREAT | os.O_EXCL) for _ in repeat(None))
    for part, flags in chain(left, new):
        try:
            handle = os.open(part, os.O_RDWR | flags | OWN_FLAGS, 0o644)
        except OSError:
            if flags:
                raise
            continue                        # gone, or another user's
        if caches.is_own(os.fstat(handle)) and may_write(handle, part, new=bool(flags)):
            break
        os.close(handle)
    if not fcntl:
        os.close(handle)                    # or Windows would not rename the file
    try:
        yield part
    finally:
        if fcntl:
            os.close(handle)


def may_write(handle, part, new):
    """Lock an open part until its handle is closed or its process killed -> whether it is ours

    Where there are no locks a part that was left behind is nobody's: its writer may be alive.
    """
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return new or bool(fcntl) and os.path.samestat(os.fstat(handle), os.stat(part))  # or it was renamed just now
    except OSError as error:
        return new and error.errno not in (errno.EWOULDBLOCK, errno.ENOENT)


def remove_abandoned(folder):
    """Parts of stores that were interrupted and never resumed; where a clock was set, one in use may look as old."""
    for part in filter(lambda part: PART.fullmatch(part.name), folder.glob("*.part")):
        with suppress(OSError), open(part, "r+b") as opened:
            old = time.time() - os.fstat(opened.fileno()).st_mtime > ABANDONED
            if not fcntl:
                opened.close()              # or Windows would not remove it, as it does none that a process has open
            if old and (not fcntl or may_write(opened.fileno(), part, new=False)):
                part.unlink()
