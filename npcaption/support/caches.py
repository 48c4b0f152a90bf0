"""Where caches live, and which of them are trusted: a cache is a file that nobody but this user or root can write.

A cache may hold machine code, so what another user could have written is never read: the file itself is looked at, once it
is open. A folder is looked at where anybody could have made it first, in the system's temporary one.
"""
import os
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..errors import printable, why
from .progress import note

NAME = "npcaption"


def folders():
    """Where caches may lie, the best place first.

    $NPCAPTION_CACHE, or else the user's cache folder; then one of the system's temporary folder, for users without a home
    and for homes that are read-only.
    """
    named, base, found = os.environ.get("NPCAPTION_CACHE"), os.environ.get("XDG_CACHE_HOME", ""), []
    with suppress(RuntimeError, OSError):                    # a user whom the system does not know has no home
        if named:
            found.append(Path(os.path.abspath(Path(named).expanduser())))
        elif os.path.isabs(base):
            found.append(Path(base) / NAME)
        elif os.path.isdir(Path.home()):                     # nobody's is /nonexistent, and should stay so
            found.append(Path.home() / ".cache" / NAME)
    with suppress(OSError):                                  # where not even a temporary file can be written
        temporary = Path(tempfile.gettempdir()) / (f"{NAME}-{os.geteuid()}" if hasattr(os, "geteuid") else NAME)
        if not os.path.lexists(temporary) or _is_own_folder(temporary):
            found.append(temporary)
    return found


def folder_to_write():
    """The first of the folders that can be written to, made if need be; or None. Another one than the first is told."""
    first, reason = None, ""
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            first, reason = first or folder, reason or why(error)
            continue
        if first:
            tell(f"{printable(first)} cannot hold caches ({reason}), so they go to {printable(folder)}. Set NPCAPTION_CACHE "
                 "to a folder that keeps them.")
        return folder
    return None


@cache
def tell(sentence):
    """On stderr, once in a process."""
    note(sentence)


def is_own(found):
    """Whether nobody but this user or root can have written a file or folder.  found: its os.stat_result"""
    if not hasattr(os, "geteuid"):                           # Windows, where a user's folders are closed to others
        return True
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_own_folder(path):
    found = os.lstat(path)                                   # a link is somebody's, whatever it leads to
    return stat.S_ISDIR(found.st_mode) and is_own(found)


def open_own(path):
    """A regular file that is_own, open for reading, or None if there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):                            # a name with a null character
        return None
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and is_own(found):
        return open(handle, "rb")
    os.close(handle)
    return None
