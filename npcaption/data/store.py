"""Stores: an array of equal shape and type for each image, computed once, in one file that is mapped into memory.

The image store holds decoded images, the feature store the features of a frozen encoder, the stores of soft targets and of
pooled features what a teacher says of captions and images.
"""
import hashlib
import json
import math
import mmap
import os
import shutil
import time
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError, printable, why
from ..support import caches
from ..support.progress import note, progress
from ..support.unreadable import reason
from .store_parts import claim, own_name, remove_abandoned

NOTE_EVERY = 15     # seconds of work that a killed process can lose
SAMPLES = 64        # images of which some bytes are part of a store's name
SAMPLE = 4096       # bytes of each
ADVICE = "Make room there, or set NPCAPTION_CACHE to another folder."


class Contents(NamedTuple):
    """Contents of a store: an array for each image, or for each of other items."""
    noun: str                   # "image store"
    prefix: str                 # of the file's name: "images-128"
    key: str                    # all that the arrays depend on beside the images
    shape: tuple                # of an image's array
    dtype: np.dtype
    make: Callable              # function: paths, or items -> an iterator of their arrays, or errors, in order
    items: str = "images"


class Store(NamedTuple):
    rows: np.memmap             # (N, ...), read-only: of the images that can be read, in their order
    unreadable: dict            # {number of a path: why its image is not among them}


def open_store(paths, contents, folder=None):
    """The arrays of the images at paths -> Store

    It is built at the first call, and found again as long as `fingerprint` gives the same name. If that is interrupted, the
    next call resumes where it stopped. An image that cannot be read is skipped, and that is remembered too, unless the fault
    was the machine's (no permission, no memory): then all are read again.
    folder is by default the first of caches.folders() that has the store, or that can be written to.
    DataError if no image can be read or no folder can hold the store.
    """
    if not len(paths):
        raise DataError(f"There are no images to put into the {contents.noun}.")
    return open_named(fingerprint(paths, contents.key), paths, contents, folder)


def open_named(digest, paths, contents, folder=None):
    """As open_store, but the name, 20 hexadecimal digits for the items and all that their arrays depend on, is the caller's.

    paths: the items that `contents.make` is given, of any kind
    """
    name = f"{contents.prefix}-{digest}.npy"
    for place in caches.folders() if folder is None else [Path(folder)]:
        store, lasting = open_if_whole(place / name, len(paths), contents)
        if lasting:
            return store
    folder = Path(folder or caches.folder_to_write() or caches.folders()[0])
    remove_abandoned(folder)
    file = own_name(folder / name)
    store, lasting = open_if_whole(file, len(paths), contents)
    if not lasting:
        build(file, paths, contents)
        store, _ = open_if_whole(file, len(paths), contents)
    if store is None:
        raise DataError(f"The {contents.noun} {file} was written but cannot be mapped into memory. Set NPCAPTION_CACHE "
                        "to a folder on a local disk.")
    return store


def release(images):
    """Let the process forget the pages of a store, or of a part of one, that it has looked at; the system keeps them.

    Otherwise its resident memory grows to the size of the store in an epoch.
    """
    mapped = getattr(getattr(images, "array", images), "_mmap", None)
    if hasattr(mapped, "madvise") and hasattr(mmap, "MADV_DONTNEED"):        # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)


def fingerprint(paths, key):
    """A name for these images and what is kept of them; a photograph that changed makes another.

    Times alone do not tell: archives and container images set them all alike. So each image counts with its folder, name,
    size and times, that of its last change included, which nobody can set; and some with a part of their content.
    """
    digest, place = hashlib.sha256(key.encode()), cache(os.path.realpath)
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


def open_if_whole(file, count, contents):
    """The store of `count` images in file -> (Store, whether its faults last), or (None, False) if it is damaged.

    The file is an .npy with JSON behind its numbers: a list of [number of a path, why it is unreadable, if for good].
    One that another user could have written counts as damaged.
    """
    stored = caches.open_own(file)
    if stored is None:
        return None, False
    try:
        with stored:
            np.lib.format.read_magic(stored)
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stored)
            rows = np.memmap(stored, contents.dtype, "r", stored.tell(), shape)
            stored.seek(rows.offset + rows.nbytes)
            unreadable = json.loads(stored.read())
        whole = shape == (count - len(unreadable), *contents.shape) and dtype == contents.dtype and not fortran_order
        return ((Store(rows, {number: why for number, why, _ in unreadable}), all(lasts for *_, lasts in unreadable))
                if whole else (None, False))
    except Exception:                       # a damaged header can raise nearly anything inside NumPy
        return None, False


def build(file, paths, contents):
    """Write the store under another name and rename it at the end: a crash leaves no half store.

    A part that an interrupted process left is resumed; one that a living process writes is not touched, so of two
    processes that build the same store both succeed.
    """
    needed = len(paths) * row_bytes(contents)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with claim(file) as part:
            try:
                with open(part, "r+b") as out:
                    write(out, paths, contents)
                os.replace(part, file)
            except Exception:               # an interrupt is none: then the part stays
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise DataError(f"The {contents.noun} {file} of {needed:,} bytes cannot be written: "
                        f"{why(error)}. {ADVICE}") from error


def write(out, paths, contents):
    """Header, arrays and faults into the file `out`, which may hold the first of them already.

    Until the end a note of how far it is lies where the faults would be if there were none, behind all arrays.
    """
    out.seek(0)
    write_header(out, len(paths), contents)
    start, length = out.tell(), row_bytes(contents)
    end = start + len(paths) * length
    done, unreadable = read_note(out, end, len(paths))
    check_room(out.name, (len(paths) - done) * length, contents.noun)
    if done:
        note(f"Resuming the {contents.noun}: {done:,} of {len(paths):,} {contents.items} are in it.")
    noted = time.monotonic()
    out.seek(start + (done - len(unreadable)) * length)
    try:
        for row in progress(contents.make(islice(paths, done, None)), len(paths) - done, contents.noun, contents.items):
            if isinstance(row, Exception):
                unreadable.append((done, reason(row), not of_the_machine(row)))
            else:
                out.write(row)              # not through a memory map, where a full disk kills the process
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
    write_header(out, len(paths) - len(unreadable), contents)
    out.flush()
    os.fsync(out.fileno())                  # or a power failure may leave the name without the bytes


def write_note(out, end, done, unreadable):
    """Say behind the arrays that those of `done` images are there, once they are on the disk."""
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


def check_room(file, needed, noun):
    """DataError if the disk cannot hold so many bytes more."""
    folder = os.path.dirname(file)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"The {noun} needs {needed:,} bytes in {folder}, where {free:,} are free. {ADVICE}")


def write_header(out, count, contents):
    """Of an .npy file; NumPy pads it to the same length for every number of images."""
    np.lib.format.write_array_header_1_0(out, {"descr": np.dtype(contents.dtype).str, "fortran_order": False,
                                               "shape": (count, *contents.shape)})


def row_bytes(contents):
    return math.prod(contents.shape) * np.dtype(contents.dtype).itemsize


def of_the_machine(error):
    """Whether an image may be read at another time, though its file stays as it is."""
    return isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno is not None
