"""Parts: files of incomplete stores, claimed by one process, resumed by another, removed when abandoned."""
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

ABANDONED = 7 * 24 * 3600   # seconds without a change after which a part is removed
PART = re.compile(r"(images|features|soft|pooled)-\w+-[0-9a-f]{20}(-\d+)?\.npy\.[0-9a-f]{8}\.part")
OWN_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)  # follow no link to another user's file


def own_name(file):
    """The file's path, or one with the user id in its name if another user owns the file."""
    foreign = file.is_file() and not caches.is_own(os.stat(file))
    return file.with_stem(f"{file.stem}-{os.geteuid()}") if foreign else file


@contextmanager
def claim(file):
    """Claim an interrupted or new part of this store for this process, for the duration of the context -> its path"""
    old = ((part, 0) for part in file.parent.glob(f"{glob.escape(file.name)}.*.part"))
    new = ((file.with_name(f"{file.name}.{os.urandom(4).hex()}.part"), os.O_CREAT | os.O_EXCL) for _ in repeat(None))
    for part, flags in chain(old, new):
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
        os.close(handle)                    # Windows does not rename an open file
    try:
        yield part
    finally:
        if fcntl:
            os.close(handle)


def may_write(handle, part, new):
    """Lock an open part until its handle is closed or its process ends -> whether this process may write it

    Without locks an old part must not be used: its writer can be running.
    """
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return new or bool(fcntl) and os.path.samestat(os.fstat(handle), os.stat(part))  # False if renamed just now
    except OSError as error:
        return new and error.errno not in (errno.EWOULDBLOCK, errno.ENOENT)


def remove_abandoned(folder):
    """Remove old parts of stores, except those in use: after a change of the clock, a used part can look old."""
    for part in filter(lambda part: PART.fullmatch(part.name), folder.glob("*.part")):
        with suppress(OSError), open(part, "r+b") as opened:
            old = time.time() - os.fstat(opened.fileno()).st_mtime > ABANDONED
            if not fcntl:
                opened.close()              # Windows does not remove an open file
            if old and (not fcntl or may_write(opened.fileno(), part, new=False)):
                part.unlink()
