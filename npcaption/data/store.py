"""Stores: one array per image, of equal shape and type, computed once, in a memory-mapped file.

The image store holds decoded images, the feature store a frozen encoder's features, the stores of soft targets and of
pooled features a teacher's.
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

SAVE_EVERY = 15     # seconds between saved states: the most work lost with a killed process
SAMPLES = 64        # images with sampled bytes in the fingerprint
SAMPLE = 4096       # bytes of each sample
REMEDY = "Free disk space there, or set NPCAPTION_CACHE to another folder."


class Contents(NamedTuple):
    """Description of a store's arrays, one per image or other item."""
    noun: str                   # "image store"
    prefix: str                 # prefix of the file's name: "images-128"
    key: str                    # settings that the arrays depend on, besides the images
    shape: tuple                # shape of one array
    dtype: np.dtype
    make: Callable              # function: paths, or items -> an iterator of their arrays, or errors, in order
    items: str = "images"


class Store(NamedTuple):
    rows: np.memmap             # (N, ...), read-only: arrays of the readable images, in order
    unreadable: dict            # {index of a path: reason}


def open_store(paths, contents, folder=None):
    """Open the arrays of the images at paths -> Store

    The first call builds the store; later calls reuse it while `fingerprint` gives the same name. An interrupted build
    is resumed by the next call. Unreadable images are skipped, and remembered; after a temporary error (no permission,
    no memory) the store is built again.
    folder: by default the first of caches.folders() that has the store, or that is writable.
    DataError if no image is readable or no folder can hold the store.
    """
    if not len(paths):
        raise DataError(f"There are no images for the {contents.noun}. Check the data.")
    return open_named(fingerprint(paths, contents.key), paths, contents, folder)


def open_named(digest, paths, contents, folder=None):
    """Like open_store, under the caller's digest of the items and all that decides their arrays: 20 hexadecimal digits.

    paths: the items for `contents.make`, of any kind
    """
    name = f"{contents.prefix}-{digest}.npy"
    for place in caches.folders() if folder is None else [Path(folder)]:
        store, final = open_if_complete(place / name, len(paths), contents)
        if final:
            return store
    folder = Path(folder or caches.folder_to_write() or caches.folders()[0])
    remove_abandoned(folder)
    file = own_name(folder / name)
    store, final = open_if_complete(file, len(paths), contents)
    if not final:
        build(file, paths, contents)
        store, _ = open_if_complete(file, len(paths), contents)
    if store is None:
        raise DataError(f"The {contents.noun} {file} cannot be mapped into memory. Set NPCAPTION_CACHE to a folder on "
                        "a local disk.")
    return store


def release(images):
    """Release the process's mapped pages of a store, or of a part of it; the system's cache keeps them.

    Without this, resident memory grows to the size of the store within an epoch.
    """
    mapped = getattr(getattr(images, "array", images), "_mmap", None)
    if hasattr(mapped, "madvise") and hasattr(mmap, "MADV_DONTNEED"):        # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)


def fingerprint(paths, key):
    """Identity of images and contents, for the store's name; a changed image changes it.

    Modification times alone are not enough: archives and container images set them. So the hash has the folder, name,
    size, modification time and change time (cannot be set) of each image, and some bytes of a sample of images.
    """
    digest, place = hashlib.sha256(key.encode()), cache(os.path.realpath)
    for number, path in enumerate(paths):
        try:
            stat = os.stat(path)
            state = f"{place(os.path.dirname(path))} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        except (OSError, ValueError):
            state = "absent"
        digest.update(f"\0{state} {os.path.basename(str(path))}".encode(errors="surrogatepass"))
        if number * SAMPLES // len(paths) < (number + 1) * SAMPLES // len(paths):  # for SAMPLES paths, or all
            digest.update(sample_bytes(path))
    return digest.hexdigest()[:20]


def sample_bytes(path):
    """Bytes from the middle of a file, because images differ there; none if it is unreadable."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - SAMPLE) // 2)
            return file.read(SAMPLE)
    except (OSError, ValueError):
        return b""


def open_if_complete(file, count, contents):
    """Open a store of `count` images -> (Store, whether all its errors are permanent), or (None, False) if damaged.

    The file is an .npy with JSON after its numbers: a list of [index of a path, reason, whether permanent]. A file
    writable for another user counts as damaged.
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
        expected = count - len(unreadable), *contents.shape
        if shape != expected or dtype != contents.dtype or fortran_order:
            return None, False
        return (Store(rows, {number: why for number, why, _ in unreadable}),
                all(permanent for *_, permanent in unreadable))
    except Exception:                       # a damaged header can raise nearly any exception in NumPy
        return None, False


def build(file, paths, contents):
    """Write the store under a temporary name and rename it at the end: a crash leaves no incomplete store.

    An interrupted process's part is resumed; a running process's part is not touched, so two processes can build the
    same store.
    """
    needed = len(paths) * row_bytes(contents)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with claim(file) as part:
            try:
                with open(part, "r+b") as out:
                    write(out, paths, contents)
                os.replace(part, file)
            except Exception:               # not after an interrupt: that part is resumed
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise DataError(f"The {contents.noun} {file} of {needed:,} bytes cannot be written: "
                        f"{why(error)}. {REMEDY}") from error


def write(out, paths, contents):
    """Write header, arrays and errors into the file `out`, after any arrays from an interrupted build.

    During the build a saved state follows the space of all arrays; at the end the list of errors replaces it.
    """
    out.seek(0)
    write_header(out, len(paths), contents)
    start, length = out.tell(), row_bytes(contents)
    end = start + len(paths) * length
    done, unreadable = read_state(out, end, len(paths))
    check_disk_space(out.name, (len(paths) - done) * length, contents.noun)
    if done:
        note(f"Resuming the {contents.noun}: {done:,} of {len(paths):,} {contents.items} already in it.")
    saved = time.monotonic()
    out.seek(start + (done - len(unreadable)) * length)
    try:
        for row in progress(contents.make(islice(paths, done, None)), len(paths) - done, contents.noun, contents.items):
            if isinstance(row, Exception):
                unreadable.append((done, reason(row), not is_temporary(row)))
            else:
                out.write(row)              # not through a memory map: there a full disk kills the process
            done += 1
            if time.monotonic() - saved > SAVE_EVERY:
                write_state(out, end, done, unreadable)
                out.seek(start + (done - len(unreadable)) * length)
                saved = time.monotonic()
    except (KeyboardInterrupt, SystemExit):
        write_state(out, end, done, unreadable)
        raise
    if len(unreadable) == len(paths):
        raise DataError(f"All {len(paths):,} images are unreadable, first {printable(paths[0])}: {unreadable[0][1]}. "
                        "Use JPEGs, PNGs or other formats that Pillow reads.")
    out.write(json.dumps(unreadable).encode())
    out.truncate()
    out.seek(0)
    write_header(out, len(paths) - len(unreadable), contents)
    out.flush()
    os.fsync(out.fileno())                  # or a power failure can leave the name without the bytes


def write_state(out, end, done, unreadable):
    """Save the state after the arrays, once the arrays are on disk.  done: number of images"""
    out.flush()
    os.fsync(out.fileno())
    out.seek(end)
    out.write(json.dumps([done, unreadable]).encode())
    out.truncate()
    out.flush()


def read_state(out, end, count):
    """Saved state -> number of images done, list of errors; (0, []) if it is missing or damaged"""
    out.seek(end)
    try:
        done, unreadable = json.loads(out.read())
        return (done, unreadable) if 0 < done <= count else (0, [])
    except (ValueError, TypeError):
        return 0, []


def check_disk_space(file, needed, noun):
    """DataError if the disk has fewer free bytes than needed"""
    folder = os.path.dirname(file)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"The {noun} needs {needed:,} bytes in {folder}, but {free:,} are free. {REMEDY}")


def write_header(out, count, contents):
    """Write the header of an .npy file; NumPy pads it to the same length for every number of images."""
    np.lib.format.write_array_header_1_0(out, {"descr": np.dtype(contents.dtype).str, "fortran_order": False,
                                               "shape": (count, *contents.shape)})


def row_bytes(contents):
    return math.prod(contents.shape) * np.dtype(contents.dtype).itemsize


def is_temporary(error):
    """Whether an unchanged image can become readable later: the error is the machine's, not the file's."""
    return isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno is not None
