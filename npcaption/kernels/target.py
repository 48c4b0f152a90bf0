"""The target: the check of numba, the processor it compiles for, and the width of its vectors."""
import os
import re

from ..errors import ConfigError, printable

OLDEST = 0, 62  # numba's version: the LLVM of earlier ones aborts at `maximum`
OTHERWISE = "or choose the engine numpy"

try:
    import llvmlite.binding as llvm
    import numba
    from numba.core.registry import cpu_target
except Exception as error:                                   # any error: incompatible NumPy, library that fails to load
    reason = printable(" ".join(str(error).split()).rstrip(".")) or type(error).__name__
    raise ConfigError(f"numba cannot be imported ({reason}). Reinstall it (pip install --upgrade numba), "
                      f"{OTHERWISE}.") from error

# Registers of float32: numbers in one, and the tile of a matrix product in rows and registers per row; reasons in
# matmul.py.
INSTRUCTION_SETS = {"avx512": (16, 8, 2), "avx2": (8, 6, 2), "neon": (4, 8, 2), "plain": (4, 4, 2)}

# Patterns of a fused multiply-add of a whole register in assembly, the widest first.
MULTIPLY_ADDS = {"avx512": r"vfmadd\w+\s.*zmm", "avx2": r"vfmadd\w+\s.*ymm", "neon": r"fmla\s"}


def check_numba(version, disabled):
    """ConfigError if numba cannot compile the kernels.  version "0.62.1", disabled: its setting DISABLE_JIT"""
    if disabled:
        raise ConfigError(f"NUMBA_DISABLE_JIT is set, so numba compiles nothing. Unset it, {OTHERWISE}.")
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise ConfigError(f"numba {version} is too old; it must be at least {'.'.join(map(str, OLDEST))}. "
                          f"Upgrade it (pip install --upgrade numba), {OTHERWISE}.")


def instruction_set(target):
    """The widest instruction set of numba's target, or the one in NPCAPTION_SIMD.

    target: numba's actual target (triple, processor, features); NUMBA_CPU_NAME and others can make it differ from the
    machine. The test: LLVM compiles a multiply-add of each width, and its assembly is searched.
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
