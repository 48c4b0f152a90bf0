"""Where caches live, and which of them are trusted: a cache is a file that nobody but this user or root can write.

A cache may hold machine code, so what another user could have written is never read: the file itself is looked at, once it
is open, not the folders on the way to it.
"""
import os
import stat
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..errors import printable, why

NAME = "npcaption"


def folders():
    """Where caches may lie, the best place first.

    $NPCAPTION_CACHE, or else the user's cache folder; then one of the system's temporary folder, for users without a home
    and for homes that are read-only.
    """
    named = os.environ.get("NPCAPTION_CACHE")
    found = [Path(named)] if named else []
    if not named:
        with suppress(RuntimeError):                         # a user whom the system does not know has no home
            base = os.environ.get("XDG_CACHE_HOME", "")
            found.append((Path(base) if os.path.isabs(base) else Path.home() / ".cache") / NAME)
    with suppress(OSError):                                  # where not even a temporary file can be written
        found.append(Path(tempfile.gettempdir()) / (f"{NAME}-{os.geteuid()}" if hasattr(os, "geteuid") else NAME))
    return found


@cache
def folder_to_write():
    """The first of the folders that can be written to, made if need be; or None. Another one than the first is told."""
    first, reason = None, ""
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            refuse_foreign(folder)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            first, reason = first or folder, reason or why(error)
            continue
        if first:
            print(f"{printable(first)} cannot hold caches ({reason}), so they go to {printable(folder)}. Set NPCAPTION_CACHE to "
                  "a folder that keeps them.", file=sys.stderr, flush=True)
        return folder
    return None


def refuse_foreign(folder):
    """PermissionError for a folder of the temporary one that another user made, who was there first."""
    found = os.lstat(folder)
    if folder.parent == Path(tempfile.gettempdir()) and not (stat.S_ISDIR(found.st_mode) and is_own(found)):
        raise PermissionError(f"{folder} belongs to another user")


def is_own(found):
    """Whether nobody but this user or root can have written a file or folder.  found: its os.stat_result"""
    if not hasattr(os, "geteuid"):                           # Windows, where a user's folders are closed to others
        return True
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def open_own(path):
    """A regular file that is_own, open for reading, or None if there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and is_own(found):
        return open(handle, "rb")
    os.close(handle)
    return None
