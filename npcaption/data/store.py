"""The image store: every image decoded once, in one file that training maps into memory."""
import hashlib
import json
import math
import os
import shutil
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL

from .images import decode, pil_warnings_ignored, reason
from .text import printable
from ..errors import DataError
from ..progress import progress

VERSION = 2         # raise it when `decode` changes what it returns, or the file its layout
ABANDONED = 3600    # seconds after which a part that nobody writes to any more is a dead process's
ADVICE = "Make room there, or set NPCAPTION_CACHE to another folder."


class Store(NamedTuple):
    images: np.memmap           # (N, size, size, 3) uint8, read-only: those that can be read, in their order
    unreadable: dict            # {number of a path: why its image is not among them}


def open_store(paths, size, folder=None, workers=None):
    """The images at paths, as load_image returns them -> Store

    It is built at the first call, by workers threads (one per core if None), and found again as long as the
    images' names, lengths and times and the version of Pillow stay. An image that cannot be read is left out, and
    that is remembered too, unless the fault was the machine's (no permission, no memory): then all are read again.
    folder is by default $NPCAPTION_CACHE, or else ~/.cache/npcaption.
    DataError if no image can be read or the folder cannot hold the store.
    """
    folder = Path(folder or os.environ.get("NPCAPTION_CACHE") or Path.home() / ".cache" / "npcaption")
    if not len(paths):
        raise DataError("There are no images to put into an image store.")
    file = folder / f"images-{size}-{fingerprint(paths)}.npy"
    remove_abandoned(folder)
    store, lasting = open_if_whole(file, len(paths), size)
    if store is None or not lasting:
        build(file, paths, size, workers or os.cpu_count() or 1)
        store, _ = open_if_whole(file, len(paths), size)
    if store is None:
        raise DataError(f"The image store {file} was written but cannot be mapped into memory. Set NPCAPTION_CACHE "
                        "to a folder on a local disk.")
    return store


def fingerprint(paths):
    """A name for these images; a photograph that changed makes another."""
    digest = hashlib.sha256(f"{VERSION} {PIL.__version__}".encode())
    for path in paths:
        try:
            stat = os.stat(path)
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except (OSError, ValueError):
            state = "absent"
        digest.update(f"\0{state} {os.path.basename(path)}".encode(errors="surrogatepass"))
    return digest.hexdigest()[:20]


def open_if_whole(file, count, size):
    """The store of `count` images in file -> (Store, whether its faults last), or (None, False) if it is damaged.

    The file is an .npy with JSON behind its pixels: a list of [number of a path, why it is unreadable, if for good].
    """
    try:
        images = np.lib.format.open_memmap(file, mode="r")
        with open(file, "rb") as stored:
            stored.seek(images.offset + images.nbytes)
            unreadable = json.loads(stored.read())
        whole = images.shape == (count - len(unreadable), size, size, 3) and images.dtype == np.uint8
        return ((Store(images, {number: why for number, why, _ in unreadable}), all(lasts for *_, lasts in unreadable))
                if whole and images.flags.c_contiguous else (None, False))
    except Exception:                       # a damaged header can raise nearly anything inside NumPy
        return None, False


def build(file, paths, size, workers):
    """Write the store under a name of its own and rename it at the end: a crash leaves no half store, and of two
    processes that build the same one both succeed."""
    shape = len(paths), size, size, 3
    needed = math.prod(shape)               # bytes
    part = file.with_name(f"{file.name}.{os.urandom(4).hex()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(file.parent).free
        if free < needed:
            raise DataError(f"The image store needs {needed:,} bytes in {file.parent}, where {free:,} are "
                            f"free. {ADVICE}")
        try:
            with open(part, "wb") as out, pil_warnings_ignored(), ThreadPoolExecutor(workers) as pool:
                write(out, paths, shape, decode_in_order(pool, paths, size, 4 * workers))
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The image store {file} of {needed:,} bytes cannot be written: "
                        f"{error.strerror}. {ADVICE}") from error


def write(out, paths, shape, images):
    """Header, pixels and faults into the file `out`; images holds an array or an error for each path."""
    write_header(out, shape)
    unreadable = []
    for number, image in enumerate(progress(images, len(paths), "image store", "images")):
        if isinstance(image, Exception):
            unreadable.append((number, reason(image), not of_the_machine(image)))
        else:
            out.write(image)                # not through a memory map, where a full disk kills the process
    if len(unreadable) == len(paths):
        raise DataError(f"None of {len(paths):,} images can be read, the first {printable(paths[0])}: "
                        f"{unreadable[0][1]}. Give JPEGs, PNGs or other images that Pillow reads.")
    out.write(json.dumps(unreadable).encode())
    out.seek(0)
    write_header(out, (len(paths) - len(unreadable), *shape[1:]))
    out.flush()
    os.fsync(out.fileno())                  # or a power failure may leave the name without the bytes


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
    """Parts of stores that processes left behind which were killed. Time tells, not a process number: others on other
    machines may write here too."""
    for part in folder.glob("images-*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()
