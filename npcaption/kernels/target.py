"""The target: whether numba can be used, for which processor it compiles, and how wide its vectors are."""
import os
import re

from ..errors import ConfigError, printable

OLDEST = 0, 62  # of numba: the LLVM of those before aborts at `maximum`
OTHERWISE = "or choose the engine numpy"

try:
    import llvmlite.binding as llvm
    import numba
    from numba.core.registry import cpu_target
except Exception as error:                                   # any kind: a foreign NumPy, a library that does not load
    reason = printable(" ".join(str(error).split()).rstrip(".")) or type(error).__name__
    raise ConfigError(f"numba cannot be imported ({reason}). Install it anew (pip install --upgrade numba), "
                      f"{OTHERWISE}.") from error

# Registers of float32: how many numbers one holds, and the tile of a matrix product kept in them, in rows and registers
# a row; matmul.py says why these.
INSTRUCTION_SETS = {"avx512": (16, 8, 2), "avx2": (8, 6, 2), "neon": (4, 8, 2), "plain": (4, 4, 2)}

# How a fused multiply-add of a whole register looks in each one's assembly, the widest first.
MULTIPLY_ADDS = {"avx512": r"vfmadd\w+\s.*zmm", "avx2": r"vfmadd\w+\s.*ymm", "neon": r"fmla\s"}


def check_numba(version, disabled):
    """ConfigError for a numba that cannot compile the kernels.  version "0.62.1", disabled: its setting DISABLE_JIT"""
    if disabled:
        raise ConfigError(f"NUMBA_DISABLE_JIT is set, so numba compiles nothing. Unset it, {OTHERWISE}.")
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise ConfigError(f"numba {version} is too old: it must be at least {'.'.join(map(str, OLDEST))}. "
                          f"Install a newer one (pip install --upgrade numba), {OTHERWISE}.")


def instruction_set(target):
    """The widest that numba's target has, or the one that NPCAPTION_SIMD names.

    target: what numba really compiles for, (triple, processor, features): NUMBA_CPU_NAME and others may make it another
    than the machine. LLVM is asked for a multiply-add of each width, and its answer read.
    """
    named = os.environ.get("NPCAPTION_SIMD")
    if named:
        if named not in INSTRUCTION_SETS:
            raise ConfigError(f"NPCAPTION_SIMD is '{printable(named)}'; it must be one of: "
                              f"{', '.join(INSTRUCTION_SETS)}.")
        return named
    triple, processor, features = target
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, features=features)
    for name, instruction in MULTIPLY_ADDS.items():
        vector, fma = f"<{INSTRUCTION_SETS[name][0]} x float>", f"@llvm.fma.v{INSTRUCTION_SETS[name][0]}f32"
        module = llvm.parse_assembly(f"""
            declare {vector} {fma}({vector}, {vector}, {vector})
            define {vector} @probe({vector} %a, {vector} %b, {vector} %c) {{
                %sum = call {vector} {fma}({vector} %a, {vector} %b, {vector} %c)
                ret {vector} %sum
            }}""")
        if re.search(instruction, machine.emit_assembly(module)):
            return name
    return "plain"


check_numba(numba.__version__, numba.config.DISABLE_JIT)
TARGET = cpu_target.target_context.codegen().magic_tuple()   # (triple, processor, features)
ISA = instruction_set(TARGET)
LANES, ROWS, VECTORS = INSTRUCTION_SETS[ISA]
COLUMNS = LANES * VECTORS
