"""The machine's vectors, and how a kernel is compiled.

A kernel is a function that numba compiles to machine code: single-threaded, and without the interpreter's lock, so that
Python threads run kernels side by side. Compiled kernels are kept on disk, in a folder named after a hash of all sources
of this package, numba's version and the instruction set: editing any kernel, even one that another only calls, makes
another folder, so that nothing stale is ever run.
"""
import hashlib
import os
import platform
import tempfile
from pathlib import Path

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# Registers of float32: how many numbers one holds, and the tile of a matrix product kept in them, in rows and registers
# a row; matmul.py says why these.
INSTRUCTION_SETS = {"avx512": (16, 8, 2), "avx2": (8, 6, 2), "neon": (4, 8, 2), "plain": (4, 4, 2)}


def instruction_set():
    """The widest that the machine has, or the one that NPCAPTION_SIMD names."""
    named = os.environ.get("NPCAPTION_SIMD")
    if named:
        if named not in INSTRUCTION_SETS:
            raise ValueError(f"NPCAPTION_SIMD is '{named}'; it must be one of: {', '.join(INSTRUCTION_SETS)}.")
        return named
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return "avx512"
    if features.get("avx2") and features.get("fma"):
        return "avx2"
    return "neon" if platform.machine().lower() in ("aarch64", "arm64") else "plain"


ISA = instruction_set()
LANES, ROWS, VECTORS = INSTRUCTION_SETS[ISA]
COLUMNS = LANES * VECTORS

# Freedoms that let LLVM vectorise a sum and fuse a product into it. Not among them: to assume that no number is infinite
# or NaN (ninf, nnan), as a NaN must be seen. error_model: a division by zero need not raise.
OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz", "afn"})
KERNELS = []  # (kernel, signature), in the order of definition


def cache_folder():
    target = numba.config.CPU_NAME or llvm.get_host_cpu_name(), numba.config.CPU_FEATURES
    digest = hashlib.sha256(f"{numba.__version__} {ISA} {target}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    root = Path(os.environ.get("NPCAPTION_CACHE") or Path.home() / ".cache" / "npcaption")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:                                          # a home that is read-only; numba insists on a folder
        root = Path(tempfile.gettempdir()) / "npcaption"
    return root / f"kernels-{digest.hexdigest()[:16]}"


CACHE = cache_folder()


def compiled(function):
    """A function to be called from kernels."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(CACHE)
    try:
        return njit(**OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before


def kernel(*signature):
    """A function to be called from Python, with the types of its arguments: nothing else is ever compiled for it."""
    def decorate(function):
        dispatcher = compiled(function)
        KERNELS.append((dispatcher, tuple(signature)))
        return dispatcher
    return decorate


F1, F2, F3 = (types.Array(types.float32, axes, "C") for axes in (1, 2, 3))
IDS, U8 = types.Array(types.int64, 1, "C"), types.Array(types.uint8, 3, "C")
F, I, U32 = types.float32, types.int64, types.uint32


def compile_kernels(watch=lambda kernels, cold: kernels):
    """Compile all kernels, or find them on disk.

    watch: is given the list of them, and whether they must be compiled; gives them back one by one, and may tell of it.
    """
    cold = not any(CACHE.rglob("*.nbi"))                     # numba's indices of what it has compiled
    for dispatcher, signature in watch([k for k in KERNELS if not k[0].signatures], cold):
        dispatcher.compile(signature)
        dispatcher.disable_compile()


# ------------------------------------------------------------------------------------------- single instructions

def _float_function(name, arguments):
    """An LLVM intrinsic on float32 that LLVM can vectorise, as a function for kernels."""
    @intrinsic
    def unary(context, x):
        def generate(context, builder, signature, values):
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * arguments)
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.f32"), values)
        return types.float32(types.float32), generate

    @intrinsic
    def binary(context, x, y):
        def generate(context, builder, signature, values):
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * arguments)
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.f32"), values)
        return types.float32(types.float32, types.float32), generate

    return unary if arguments == 1 else binary


round_even = _float_function("rint", 1)
absolute = _float_function("fabs", 1)
maximum = _float_function("maximum", 2)                      # NaN if either is; `max` and `if` do not vectorise


@intrinsic
def power_of_two(context, n):
    """2^n for a whole n from -126 to 127, made by writing n into the exponent's bits."""
    def generate(context, builder, signature, values):
        bits = ir.IntType(32)
        exponent = builder.add(builder.fptosi(values[0], bits), ir.Constant(bits, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(bits, 23)), ir.FloatType())
    return types.float32(types.float32), generate


@intrinsic
def address(context, array, offset):
    """Where in memory the element lies that stands `offset` elements behind an array's first.  -> int64"""
    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(builder.gep(data, [values[1]]), ir.IntType(64))
    return types.int64(array, types.int64), generate
