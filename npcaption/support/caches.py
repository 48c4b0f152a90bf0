"""Cache folders, and the check that only this user or root can write a cache file.

A cache may hold machine code, so a file that another user can write is never read; the open file itself is checked. The
folder is checked too if it is in the system's temporary folder, where anybody could have created it first.
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
    """Candidate cache folders, the preferred one first.

    $NPCAPTION_CACHE, or else the user's cache folder; then a folder in the system's temporary folder, for users without
    a home and for read-only homes.
    """
    named, base, found = os.environ.get("NPCAPTION_CACHE"), os.environ.get("XDG_CACHE_HOME", ""), []
    with suppress(RuntimeError, OSError):                    # an unknown user has no home
        if named:
            found.append(Path(os.path.abspath(Path(named).expanduser())))
        elif os.path.isabs(base):
            found.append(Path(base) / NAME)
        elif os.path.isdir(Path.home()):                     # the home of nobody, /nonexistent, must not be created
            found.append(Path.home() / ".cache" / NAME)
    with suppress(OSError):                                  # no writable temporary folder
        temporary = Path(tempfile.gettempdir()) / (f"{NAME}-{os.geteuid()}" if hasattr(os, "geteuid") else NAME)
        if not os.path.lexists(temporary) or _is_own_folder(temporary):
            found.append(temporary)
    return found


def folder_to_write():
    """The first writable cache folder, created if necessary, or None. A note on stderr tells if it is not the first."""
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
            tell(f"{printable(first)} cannot hold caches ({reason}); using {printable(folder)}. Set NPCAPTION_CACHE to "
                 "a permanent folder.")
        return folder
    return None


@cache
def tell(sentence):
    """Print a sentence on stderr, once per process."""
    note(sentence)


def is_own(found):
    """Whether only this user or root can have written a file or folder.  found: its os.stat_result"""
    if not hasattr(os, "geteuid"):                           # on Windows other users cannot write a user's folders
        return True
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_own_folder(path):
    found = os.lstat(path)                                   # the link's owner counts, not its target's
    return stat.S_ISDIR(found.st_mode) and is_own(found)


def open_own(path):
    """A regular file that is_own, opened for reading, or None."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):                            # a name with a null character
        return None
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and is_own(found):
        return open(handle, "rb")
    os.close(handle)
    return None
