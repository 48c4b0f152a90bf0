"""The image store: every image decoded once, in one file that training maps into memory."""
import hashlib
import math
import os
import shutil
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .images import decode, pil_warnings_ignored
from ..errors import DataError
from ..progress import progress

VERSION = 1         # raise it when `decode` changes what it returns
ADVICE = "Make room there, or set NPCAPTION_CACHE to another folder."


def open_store(paths, size, folder=None, workers=None):
    """The images at paths, as load_image returns them -> read-only memmap (N, size, size, 3) uint8

    It is built at the first call, by workers threads (one per core if None), and found again as long as the
    images' names, lengths and times stay. folder is by default $NPCAPTION_CACHE, or else ~/.cache/npcaption.
    DataError if an image cannot be read or the folder cannot hold the store.
    """
    folder = Path(folder or os.environ.get("NPCAPTION_CACHE") or Path.home() / ".cache" / "npcaption")
    shape = len(paths), size, size, 3
    if not len(paths):
        raise DataError("There are no images to put into an image store.")
    file = folder / f"images-{size}-{fingerprint(paths)}.npy"
    store = open_if_whole(file, shape)
    if store is None:
        build(file, paths, shape, workers or os.cpu_count() or 1)
        store = open_if_whole(file, shape)
    return store


def fingerprint(paths):
    """A name for these images; a photograph that changed makes another."""
    digest = hashlib.sha256(f"{VERSION}".encode())
    for path in paths:
        try:
            stat = os.stat(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
        digest.update(f"\0{stat.st_size} {stat.st_mtime_ns} ".encode() + os.fsencode(os.path.basename(path)))
    return digest.hexdigest()[:20]


def open_if_whole(file, shape):
    """The store in file, or None if there is none or it is not of that shape to the last byte."""
    try:
        store = np.lib.format.open_memmap(file, mode="r")
        length = os.path.getsize(file)
    except (OSError, ValueError):
        return None
    whole = store.shape == shape and store.dtype == np.uint8 and length == store.offset + store.nbytes
    return store if whole and store.flags.c_contiguous else None


def build(file, paths, shape, workers):
    """Write the store under another name and rename it at the end: a crash leaves no half store."""
    needed = math.prod(shape)               # bytes
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(file.parent).free
        if free < needed:
            raise DataError(f"The image store needs {needed:,} bytes in {file.parent}, where {free:,} are "
                            f"free. {ADVICE}")
        try:
            with open(part, "wb") as out, pil_warnings_ignored(), ThreadPoolExecutor(workers) as pool:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(out, header)
                images = decode_in_order(pool, paths, shape[1], 4 * workers)
                for image in progress(images, len(paths), "image store", "images"):
                    out.write(image)        # not through a memory map, where a full disk kills the process
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The image store, {needed:,} bytes, cannot be written in {file.parent}: "
                        f"{error.strerror}. {ADVICE}") from error


def decode_in_order(pool, paths, size, ahead):
    """The images of paths one after another; the pool runs no more than `ahead` ahead, to bound memory."""
    waiting = deque()
    for path in paths:
        waiting.append(pool.submit(decode, path, size))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
