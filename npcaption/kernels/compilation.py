"""Compilation: kernels compiled by numba, and the cache file that keeps them.

A kernel is a function that numba compiles to machine code: single-threaded, and without the interpreter's lock, so that
Python threads run kernels in parallel. One file in a cache folder keeps all of them: a checksum, then numba's result
for each. Its name has a hash of everything that the code depends on, so that no stale code runs, and the owner; the
place of the sources does not matter. Machine code is read only from files that nobody but this user or root can have
written.
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

# Flags that let LLVM vectorise a sum and fuse a product into it, without the assumption that no number is infinite or
# NaN (ninf, nnan): a NaN must be seen. error_model: a division by zero need not raise.
OPTIONS = dict(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz", "afn"})
FUNCTIONS = []  # all compiled functions: kernels and their callees
KERNELS = []  # (kernel, signature), in the order of definition

# numba's settings that change its machine code; NUMBA_ENABLE_AVX and the like show in the target.
SETTINGS = ("OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "EXTEND_VARIABLE_LIFETIMES", "LOOP_VECTORIZE", "SLP_VECTORIZE",
            "LLVM_REFPRUNE_PASS", "LLVM_REFPRUNE_FLAGS", "USING_SVML", "DEBUG_NRT", "JIT_COVERAGE")

DIGEST = 32  # bytes of the checksum


def compiled(function):
    """Decorator: a compiled function for use by kernels."""
    dispatcher = njit(**OPTIONS)(function)
    FUNCTIONS.append(dispatcher)
    return dispatcher


def kernel(function):
    """Decorator: a compiled function for use from Python, compiled only for the types that annotate its arguments."""
    dispatcher = compiled(function)
    arguments = function.__code__.co_varnames[:function.__code__.co_argcount]
    KERNELS.append((dispatcher, tuple(function.__annotations__[name] for name in arguments)))
    return dispatcher


compiling = threading.RLock()
if hasattr(os, "register_at_fork"):                          # a child has no thread to release the lock
    os.register_at_fork(before=compiling.acquire, after_in_parent=compiling.release, after_in_child=compiling.release)


def compile_kernels(watch=iter):
    """Compile all kernels, or load them from disk.

    watch: function from the kernels still to compile to an iterator of them, which may show progress; not called if
    there are none.
    """
    with compiling:
        if all(dispatcher.signatures for dispatcher, _ in KERNELS):
            return
        functions = {(number, f.__module__, f.__qualname__): f for number, f in enumerate(FUNCTIONS)
                     if f.__module__.startswith(f"{__package__}.")}  # the file's hash covers only these
        names, shelf = file_names(), []
        load(read_kept(names), functions, shelf)
        loaded, missing = len(shelf), [k for k in KERNELS if not k[0].signatures]
        for dispatcher in {k[0] for k in KERNELS} - {k[0] for k in missing}:
            dispatcher.disable_compile()
        for name, function in functions.items():
            function._cache = Place(name, shelf)
        for dispatcher, signature in watch(missing) if missing else []:
            dispatcher.compile(signature)
            dispatcher.disable_compile()                     # else a call with a constant compiles it again
        if names and len(shelf) > loaded:
            keep(names[0], shelf)
        shelf.clear()                                        # frees megabytes; the places keep a reference


class Place:
    """A function's numba cache that puts each compiled version on the shelf, as (function's name, pickle)."""
    cache_path = None

    def __init__(self, name, shelf):
        self.name, self.shelf = name, shelf

    def save_overload(self, signature, result):
        self.shelf.append((self.name, serialize.dumps(result._reduce())))

    def load_overload(self, signature, context):
        """Does nothing: see `load`."""

    def flush(self):
        """Does nothing: a new version never replaces an old one."""


def load(kept, functions, shelf):
    """Load the kept versions into the functions, in the order of their compilation, and put them on the shelf again.

    The order matters: each kernel has its own copy of shared code, the copies round differently, and the linker takes
    the first. So the start that compiles and all later starts give the same bits.
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
    except Exception as error:                               # perhaps a changed numba with the same version
        caches.tell(f"Kept kernels cannot be used ({printable(error)}). Compiling them again.")


def file_names():
    """Names of the file that keeps the kernels: this user's, then root's, as the build of a container leaves it.

    [] without sources, as in a frozen program: without their hash the kernels could be stale.
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
    """Kernels written by `keep`, from the first intact file of these names; [] without one."""
    for path in (folder / name for folder in caches.folders() for name in names):
        file = caches.open_own(path)
        if file:
            with file, suppress(Exception):                  # an unreadable disk, or foreign content
                content = file.read()
                if len(content) > DIGEST and hashlib.sha256(content[DIGEST:]).digest() == content[:DIGEST]:
                    return pickle.loads(content[DIGEST:])
            caches.tell(f"{printable(path)} is damaged. Compiling the kernels again.")
    return []


def keep(name, shelf):
    """Write the compiled functions for the next start; if that fails, print the reason."""
    folder, content, reason = caches.folder_to_write(), pickle.dumps(shelf), "no folder for caches can be written to"
    if folder:
        try:
            files.replace(folder / name, hashlib.sha256(content).digest() + content, 0o644)
            file = caches.open_own(folder / name)            # like the next start
            if file:
                return file.close()
            reason = f"other users can change the files in {folder}"
        except OSError as error:
            reason = f"{folder}: {why(error)}"
    caches.tell(f"The compiled kernels cannot be kept ({printable(reason)}), so every start compiles them again. "
                "Free disk space, or set NPCAPTION_CACHE to a folder of your own.")
