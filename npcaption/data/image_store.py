"""The image store: every image decoded once, in one file that training maps into memory."""
import errno
import glob
import hashlib
import json
import math
import mmap
import os
import re
import shutil
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL

from ..errors import DataError, printable, why
from ..support import caches
from ..support.cores import usable_cores
from ..support.images import max_pixels
from ..support.progress import note, progress
from ..support.unreadable import reason
from .images import load_image as decode

try:
    import fcntl
except ImportError:     # Windows
    fcntl = None

VERSION = 3         # raise it when `decode` changes what it returns, or the file its layout
ABANDONED = 7 * 24 * 3600   # seconds after which nobody will go on with a part that was interrupted
NOTE_EVERY = 15     # seconds of work that a killed process can lose
PART = re.compile(r"images-\d+-[0-9a-f]{20}(-\d+)?\.npy\.[0-9a-f]{8}\.part")  # a store that is being built, or was
OWN_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)  # no link to a file that is not ours
SAMPLES = 64        # images of which some bytes are part of a store's name
SAMPLE = 4096       # bytes of each
ADVICE = "Make room there, or set NPCAPTION_CACHE to another folder."


class Store(NamedTuple):
    images: np.memmap           # (N, size, size, 3) uint8, read-only: those that can be read, in their order
    unreadable: dict            # {number of a path: why its image is not among them}


def open_store(paths, size, folder=None, workers=None):
    """The images at paths, as load_image returns them -> Store

    It is built at the first call, by workers threads (one per usable core if None), and found again as long as `fingerprint`
    gives the same name. If that is interrupted, the next call resumes where it stopped. An image that cannot be read is
    skipped, and that is remembered too, unless the fault was the machine's (no permission, no memory): then all are read again.
    folder is by default the first of caches.folders() that has the store, or that can be written to.
    DataError if no image can be read or no folder can hold the store.
    """
    if not len(paths):
        raise DataError("There are no images to put into an image store.")
    name = f"images-{size}-{fingerprint(paths)}.npy"
    for place in caches.folders() if folder is None else [Path(folder)]:
        store, lasting = open_if_whole(place / name, len(paths), size)
        if lasting:
            return store
    folder = Path(folder or caches.folder_to_write() or caches.folders()[0])
    remove_abandoned(folder)
    file = own_name(folder / name)
    store, lasting = open_if_whole(file, len(paths), size)
    if not lasting:
        build(file, paths, size, workers or usable_cores())
        store, _ = open_if_whole(file, len(paths), size)
    if store is None:
        raise DataError(f"The image store {file} was written but cannot be mapped into memory. Set NPCAPTION_CACHE "
                        "to a folder on a local disk.")
    return store


def release(images):
    """Let the process forget the pages of a store, or of a part of one, that it has looked at; the system keeps them.

    Otherwise its resident memory grows to the size of the store in an epoch.
    """
    mapped = getattr(images, "_mmap", None)
    if hasattr(mapped, "madvise") and hasattr(mmap, "MADV_DONTNEED"):        # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)


def fingerprint(paths):
    """A name for these images; a photograph that changed makes another.

    Times alone do not tell: archives and container images set them all alike. So each image counts with its folder, name,
    size and times, that of its last change included, which nobody can set; and some with a part of their content.
    """
    digest, place = hashlib.sha256(f"{VERSION} {PIL.__version__} {max_pixels()}".encode()), cache(os.path.realpath)
    for number, path in enumerate(paths):
        try:
            stat = os.stat(path)
            state = f"{place(os.path.dirname(path))} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        except (OSError, ValueError):
            state = "absent"
        digest.update(f"\0{state} {os.path.basename(str(path))}".encode(errors="surrogatepass"))
        if number * SAMPLES // len(paths) < (number + 1) * SAMPLES // len(paths):  # SAMPLES of them, or all
            digest.update(some_bytes(path))
    return digest.hexdigest()[:20]


def some_bytes(path):
    """A few from the middle of a file, where those of images differ; none if it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - SAMPLE) // 2)
            return file.read(SAMPLE)
    except (OSError, ValueError):
        return b""


def own_name(file):
    """The file, or one with the user's number in its name if another user has put a store there."""
    foreign = file.is_file() and not caches.is_own(os.stat(file))
    return file.with_stem(f"{file.stem}-{os.geteuid()}") if foreign else file


def open_if_whole(file, count, size):
    """The store of `count` images in file -> (Store, whether its faults last), or (None, False) if it is damaged.

    The file is an .npy with JSON behind its pixels: a list of [number of a path, why it is unreadable, if for good].
    One that another user could have written counts as damaged.
    """
    stored = caches.open_own(file)
    if stored is None:
        return None, False
    try:
        with stored:
            np.lib.format.read_magic(stored)
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stored)
            images = np.memmap(stored, np.uint8, "r", stored.tell(), shape)
            stored.seek(images.offset + images.nbytes)
            unreadable = json.loads(stored.read())
        whole = shape == (count - len(unreadable), size, size, 3) and dtype == np.uint8 and not fortran_order
        return ((Store(images, {number: why for number, why, _ in unreadable}), all(lasts for *_, lasts in unreadable))
                if whole else (None, False))
    except Exception:                       # a damaged header can raise nearly anything inside NumPy
        return None, False


def build(file, paths, size, workers):
    """Write the store under another name and rename it at the end: a crash leaves no half store.

    A part that an interrupted process left is resumed; one that a living process writes is not touched, so of two
    processes that build the same store both succeed.
    """
    shape = len(paths), size, size, 3
    needed = math.prod(shape)               # bytes
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with claim(file) as part:
            try:
                with open(part, "r+b") as out, ThreadPoolExecutor(workers) as pool:
                    write(out, paths, shape, lambda rest: decode_in_order(pool, rest, size, 4 * workers))
                os.replace(part, file)
            except Exception:               # an interrupt is none: then the part stays
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise DataError(f"The image store {file} of {needed:,} bytes cannot be written: "
                        f"{why(error)}. {ADVICE}") from error


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


def write(out, paths, shape, decoded):
    """Header, pixels and faults into the file `out`, which may hold the first of them already.

    decoded: function: paths -> their images, each an array or an error. Until the end a note of how far it is lies where
    the faults would be if there were none, behind all pixels.
    """
    out.seek(0)
    write_header(out, shape)
    start, length = out.tell(), math.prod(shape[1:])
    end = start + len(paths) * length
    done, unreadable = read_note(out, end, len(paths))
    check_room(out.name, (len(paths) - done) * length)
    if done:
        note(f"Resuming the image store: {done:,} of {len(paths):,} images are in it.")
    noted = time.monotonic()
    out.seek(start + (done - len(unreadable)) * length)
    try:
        for image in progress(decoded(islice(paths, done, None)), len(paths) - done, "image store", "images"):
            if isinstance(image, Exception):
                unreadable.append((done, reason(image), not of_the_machine(image)))
            else:
                out.write(image)            # not through a memory map, where a full disk kills the process
            done += 1
            if time.monotonic() - noted > NOTE_EVERY:
                write_note(out, end, done, unreadable)
                out.seek(start + (done - len(unreadable)) * length)
                noted = time.monotonic()
    except (KeyboardInterrupt, SystemExit):
        write_note(out, end, done, unreadable)
        raise
    if len(unreadable) == len(paths):
        raise DataError(f"None of {len(paths):,} images can be read, the first {printable(paths[0])}: "
                        f"{unreadable[0][1]}. Give JPEGs, PNGs or other images that Pillow reads.")
    out.write(json.dumps(unreadable).encode())
    out.truncate()
    out.seek(0)
    write_header(out, (len(paths) - len(unreadable), *shape[1:]))
    out.flush()
    os.fsync(out.fileno())                  # or a power failure may leave the name without the bytes


def write_note(out, end, done, unreadable):
    """Say behind the pixels that those of `done` images are there, once they are on the disk."""
    out.flush()
    os.fsync(out.fileno())
    out.seek(end)
    out.write(json.dumps([done, unreadable]).encode())
    out.truncate()
    out.flush()


def read_note(out, end, count):
    """How many of `count` images are done, and which of them are unreadable; none if the note is not there or torn."""
    out.seek(end)
    try:
        done, unreadable = json.loads(out.read())
        return (done, unreadable) if 0 < done <= count else (0, [])
    except (ValueError, TypeError):
        return 0, []


def check_room(file, needed):
    """DataError if the disk cannot hold so many bytes more."""
    folder = os.path.dirname(file)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"The image store needs {needed:,} bytes in {folder}, where {free:,} are free. {ADVICE}")


def write_header(out, shape):
    """Of an .npy file; NumPy pads it to the same length for every number of images."""
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})


def of_the_machine(error):
    """Whether an image may be read at another time, though its file stays as it is."""
    return isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno is not None


def decode_in_order(pool, paths, size, ahead):
    """The images of paths one after another; the pool runs no more than `ahead` ahead, to bound memory."""
    waiting = deque()
    for path in paths:
        waiting.append(pool.submit(attempt, path, size))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def attempt(path, size):
    """The image at path, (size, size, 3) uint8, or the error that reading it gave"""
    try:
        return decode(path, size)
    except DataError as error:
        return error.__cause__


def remove_abandoned(folder):
    """Parts of stores that were interrupted and never gone on with; where a clock was set, one in use may look as old."""
    for part in filter(lambda part: PART.fullmatch(part.name), folder.glob("images-*.part")):
        with suppress(OSError), open(part, "r+b") as opened:
            old = time.time() - os.fstat(opened.fileno()).st_mtime > ABANDONED
            if not fcntl:
                opened.close()              # or Windows would not remove it, as it does none that a process has open
            if old and (not fcntl or may_write(opened.fileno(), part, new=False)):
                part.unlink()
