"""How a kernel is compiled, and where what was compiled is kept.

A kernel is a function that numba compiles to machine code: single-threaded, and without the interpreter's lock, so that
Python threads run kernels side by side. All of them together are kept in one file, a checksum and then what numba makes
of each, in a folder of caches. It is named after a hash of everything that the code depends on, so that nothing stale
is ever run, and after its owner; where the sources lie does not matter. Machine code is read only from a file that
nobody but this user or root can have written.
"""
import hashlib
import os
import pickle
import sys
import threading
from contextlib import suppress
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import serialize
from numba.core.compiler import CompileResult

from ..errors import printable, why
from ..support import caches, files
from .target import ISA, TARGET

# Freedoms that let LLVM vectorise a sum and fuse a product into it. Not among them: to assume that no number is
# infinite or NaN (ninf, nnan), as a NaN must be seen. error_model: a division by zero need not raise.
OPTIONS = dict(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz", "afn"})
FUNCTIONS = []  # all that are compiled, kernels and what they call
KERNELS = []  # (kernel, signature), in the order of definition

# numba's settings that change what it compiles; NUMBA_ENABLE_AVX and the like show in the target.
SETTINGS = ("OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "EXTEND_VARIABLE_LIFETIMES", "LOOP_VECTORIZE", "SLP_VECTORIZE",
            "LLVM_REFPRUNE_PASS", "LLVM_REFPRUNE_FLAGS", "USING_SVML", "DEBUG_NRT", "JIT_COVERAGE")

DIGEST = 32  # bytes of the checksum


def compiled(function):
    """A function to be called from kernels."""
    dispatcher = njit(**OPTIONS)(function)
    FUNCTIONS.append(dispatcher)
    return dispatcher


def kernel(function):
    """A function to be called from Python, compiled for the types that annotate its arguments and for no others."""
    dispatcher = compiled(function)
    arguments = function.__code__.co_varnames[:function.__code__.co_argcount]
    KERNELS.append((dispatcher, tuple(function.__annotations__[name] for name in arguments)))
    return dispatcher


compiling = threading.RLock()
if hasattr(os, "register_at_fork"):                          # a child has no thread that would go on, or give this back
    os.register_at_fork(before=compiling.acquire, after_in_parent=compiling.release, after_in_child=compiling.release)


def compile_kernels(watch=iter):
    """Compile all kernels, or find them on disk.

    watch: is given those that must be compiled, if any must; gives them back one by one, and may tell of it.
    """
    with compiling:
        if all(dispatcher.signatures for dispatcher, _ in KERNELS):
            return
        functions = {(number, f.__module__, f.__qualname__): f for number, f in enumerate(FUNCTIONS)
                     if f.__module__.startswith(f"{__package__}.")}  # of others the file's name knows no source
        names, shelf = file_names(), []
        load(read_kept(names), functions, shelf)
        loaded, missing = len(shelf), [k for k in KERNELS if not k[0].signatures]
        for dispatcher in {k[0] for k in KERNELS} - {k[0] for k in missing}:
            dispatcher.disable_compile()
        for name, function in functions.items():
            function._cache = Place(name, shelf)
        for dispatcher, signature in watch(missing) if missing else []:
            dispatcher.compile(signature)
            dispatcher.disable_compile()                     # or a kernel that calls it with a constant compiles anew
        if names and len(shelf) > loaded:
            keep(names[0], shelf)
        shelf.clear()                                        # megabytes, which the places hold on to


class Place:
    """In the place of a function's numba cache: puts what is compiled on the shelf, as (function's name, pickle)."""
    cache_path = None

    def __init__(self, name, shelf):
        self.name, self.shelf = name, shelf

    def save_overload(self, signature, result):
        self.shelf.append((self.name, serialize.dumps(result._reduce())))

    def load_overload(self, signature, context):
        """Nothing: see `load`."""

    def flush(self):
        """Nothing: what is compiled anew is another."""


def load(kept, functions, shelf):
    """Give the functions what was kept of them, in the order in which it was compiled, and put it on the shelf again.

    The order matters: code that several kernels share is in each one's, in versions that round differently, and the
    linker takes the first. So the start that compiles and those that follow give the same bits.
    """
    try:
        for name, content in kept:
            if name in functions:
                function, parts = functions[name], pickle.loads(content)
                function.targetctx.refresh()
                result = CompileResult._rebuild(function.targetctx, *parts)
                function.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
                function.add_overload(result)
                shelf.append((name, content))
    except Exception as error:                               # a numba that was changed without a new version, perhaps
        caches.tell(f"Kept kernels cannot be used ({printable(error)}), so they are compiled anew.")


def file_names():
    """The file that keeps the kernels: this user's, and then root's, as who builds a container leaves it.

    [] where there are no sources, as in a frozen program: what was compiled from others could be taken for theirs.
    """
    settings = {name: getattr(numba.config, name, None) for name in SETTINGS}
    python = sys.implementation.cache_tag, getattr(sys, "abiflags", "")
    versions = *python, *(m.__version__ for m in (np, numba, llvmlite))
    digest = hashlib.sha256(repr((versions, ISA, TARGET, settings)).encode())
    sources = sorted(Path(__file__).parent.glob("*.py"))
    for path in sources:
        digest.update(path.read_bytes())
    owners = [f"-{user}" for user in dict.fromkeys([os.geteuid(), 0])] if hasattr(os, "geteuid") else [""]
    return [f"kernels-{digest.hexdigest()[:16]}{owner}" for owner in owners] if sources else []


def read_kept(names):
    """Kernels kept by `keep`, from the first whole file of these names; [] without one."""
    for path in (folder / name for folder in caches.folders() for name in names):
        file = caches.open_own(path)
        if file:
            with file, suppress(Exception):                  # an unreadable disk, or a file of foreign content
                content = file.read()
                if len(content) > DIGEST and hashlib.sha256(content[DIGEST:]).digest() == content[:DIGEST]:
                    return pickle.loads(content[DIGEST:])
            caches.tell(f"{printable(path)} is damaged, so the kernels are compiled anew.")
    return []


def keep(name, shelf):
    """Write the functions for the next start; where that cannot be, say why."""
    folder, content, reason = caches.folder_to_write(), pickle.dumps(shelf), "no folder for caches can be written to"
    if folder:
        try:
            files.replace(folder / name, hashlib.sha256(content).digest() + content, 0o644)
            file = caches.open_own(folder / name)            # as the next start does
            if file:
                return file.close()
            reason = f"other users can change the files in {folder}"
        except OSError as error:
            reason = f"{folder}: {why(error)}"
    caches.tell(f"The compiled kernels cannot be kept ({printable(reason)}), so every start compiles them again. "
                "Make room, or set NPCAPTION_CACHE to a folder of your own.")
