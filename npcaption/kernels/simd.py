"""Single instructions for kernels, and the types of their arguments."""
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

F1, F2, F3 = (types.Array(types.float32, axes, "C") for axes in (1, 2, 3))
IDS, IDS2, U8 = types.Array(types.int64, 1, "C"), types.Array(types.int64, 2, "C"), types.Array(types.uint8, 3, "C")
F, I, U32 = types.float32, types.int64, types.uint32


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
minimum = _float_function("minimum", 2)


@intrinsic
def power_of_two(context, n):
    """2^n for a whole n from -126 to 127, by writing n into the exponent's bits."""
    def generate(context, builder, signature, values):
        bits = ir.IntType(32)
        exponent = builder.add(builder.fptosi(values[0], bits), ir.Constant(bits, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(bits, 23)), ir.FloatType())
    return types.float32(types.float32), generate


@intrinsic
def address(context, array, offset):
    """Memory address of an array's element number `offset` -> int64"""
    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(builder.gep(data, [values[1]]), ir.IntType(64))
    return types.int64(array, types.int64), generate
