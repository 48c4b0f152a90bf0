"""Matrix products: one small product in registers, and loops around it.

A core multiplies faster than it reads: in each cycle it starts two fused multiply-adds of whole vectors but reads at
most two vectors, and a product computed entry by entry reads two numbers for each multiplication. So a *tile* of the
result, ROWS x COLUMNS, stays in registers while the loop runs over the depth k:

    for k:  read COLUMNS numbers of b's row k        VECTORS vectors
            for each of ROWS rows: read a[row, k]    one number, copied into all lanes
                tile[row] += a[row, k] * b[k]        VECTORS multiply-adds

With AVX-512 the tile is 8 x 32: 16 of the 32 registers hold sums, and a step of k reads 2 vectors and 8 numbers for 16
multiply-adds. Sixteen independent sums also hide the multiply-add's latency (4 cycles with two starts each: 8 would
do). AVX2 has 16 registers of 8 numbers, hence 6 x 16: 12 sums, 2 vectors of b, one number of a.

b is read along its rows. Every image uses a weight matrix, so it is *packed* once a step: into panels of COLUMNS
columns, each panel's rows one after another, the last panel padded with zeros. Then a panel, 16 KiB at depth 128, stays
in the nearest cache for all rows of a. A matrix with a single use (the gradient dY in X^T dY, or the values in
attention) is read in place: packing it would cost more than it saves.

The three products of a linear layer are this one product: x W reads panels of W, dY W^T panels of W^T, and in X^T dY
the rows of a are columns of X, by the choice of strides.
"""
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compilation import compiled, kernel
from .simd import F1, F2, address
from .target import COLUMNS, LANES, ROWS, VECTORS

NUMBER, INT, VECTOR = ir.FloatType(), ir.IntType(64), ir.VectorType(ir.FloatType(), LANES)
BYTES = 4  # bytes of a number


def write_tile(module, rows):
    """The LLVM function for a tile of `rows` rows; see `tile`. One copy in a module, never inlined: it is large."""
    name = f"tile_{rows}x{COLUMNS}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT] * 11), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    a, a_row, a_k, b, b_k, depth, c, c_row, bias, residual, columns = function.args
    build = ir.IRBuilder(function.append_basic_block("entry"))
    every = [(i, v) for i in range(rows) for v in range(VECTORS)]

    def constant(n):
        return ir.Constant(INT, n)

    def at(start, *offsets, kind=VECTOR):                    # pointer to start + offsets, all in bytes
        for offset in offsets:
            start = build.add(start, offset)
        return build.inttoptr(start, kind.as_pointer())

    def call(name, result, *values):
        kind = ir.FunctionType(result, [value.type for value in values])
        return build.call(cgutils.get_or_insert_function(module, kind, name), values)

    def copied(number, kind):                                # a number in all lanes
        nothing, first = ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), LANES)
        one = build.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
        return build.shuffle_vector(one, nothing, ir.Constant(first, [0] * LANES))

    def sums_down_the_depth(read):
        before, loop, done = build.block, build.append_basic_block("loop"), build.append_basic_block("done")
        build.branch(loop)
        build.position_at_end(loop)
        k = build.phi(INT)
        sums = {place: build.phi(VECTOR) for place in every}
        row_of_b = [read(v, at(b, build.mul(k, b_k), constant(v * LANES * BYTES))) for v in range(VECTORS)]
        new = {}
        for i in range(rows):
            number = build.load(at(a, build.mul(a_row, constant(i)), build.mul(k, a_k), kind=NUMBER))
            number = copied(number, VECTOR)
            for v in range(VECTORS):
                new[i, v] = call(f"llvm.fmuladd.v{LANES}f32", VECTOR, number, row_of_b[v], sums[i, v])
        following = build.add(k, constant(1))
        build.cbranch(build.icmp_signed("<", following, depth), loop, done)
        for value, first, next in [(k, constant(0), following),
                                   *((sums[place], ir.Constant(VECTOR, [0.0] * LANES), new[place]) for place in every)]:
            value.add_incoming(first, before)
            value.add_incoming(next, loop)
        build.position_at_end(done)
        return new

    def plus(sums, addend, stride, read):                    # sums + addend if there is one
        here, there, after = build.block, build.append_basic_block("add"), build.append_basic_block("added")
        build.cbranch(build.icmp_signed("!=", addend, constant(0)), there, after)
        build.position_at_end(there)
        added = {(i, v): build.fadd(sums[i, v], read(v, at(addend, build.mul(stride, constant(i)),
                                                           constant(v * LANES * BYTES)))) for i, v in every}
        build.branch(after)
        build.position_at_end(after)
        either = {place: build.phi(VECTOR) for place in every}
        for place in every:
            either[place].add_incoming(sums[place], here)
            either[place].add_incoming(added[place], there)
        return either

    def write_program(read, write):
        for i, v in every:                                   # prefetch the residual: it may be far away
            line = at(residual, build.mul(c_row, constant(i)), constant(v * LANES * BYTES), kind=ir.IntType(8))
            call("llvm.prefetch.p0", ir.VoidType(), line, *(ir.Constant(ir.IntType(32), n) for n in (0, 3, 1)))
        sums = sums_down_the_depth(read)
        sums = plus(sums, bias, constant(0), read)
        sums = plus(sums, residual, c_row, read)
        for i, v in every:
            write(v, sums[i, v], at(c, build.mul(c_row, constant(i)), constant(v * LANES * BYTES)))
        build.ret_void()

    def read_whole(v, pointer):
        loaded = build.load(pointer)
        loaded.align = BYTES
        return loaded

    def write_whole(v, value, pointer):
        build.store(value, pointer).align = BYTES

    def within(v):                                           # mask of vector v's lanes within the columns
        numbers = ir.VectorType(INT, LANES)
        lanes = ir.Constant(numbers, [v * LANES + lane for lane in range(LANES)])
        return build.icmp_signed("<", lanes, copied(columns, numbers))

    def read_part(v, pointer):
        return call(f"llvm.masked.load.v{LANES}f32.p0", VECTOR, pointer, ir.Constant(ir.IntType(32), BYTES), within(v),
                    ir.Constant(VECTOR, [0.0] * LANES))

    def write_part(v, value, pointer):
        call(f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), value, pointer, ir.Constant(ir.IntType(32), BYTES),
             within(v))

    whole, part = build.append_basic_block("whole"), build.append_basic_block("part")
    build.cbranch(build.icmp_signed(">=", columns, constant(COLUMNS)), whole, part)
    build.position_at_end(whole)
    write_program(read_whole, write_whole)
    build.position_at_end(part)
    write_program(read_part, write_part)
    return function


@intrinsic
def tile(context, rows, a, a_row, a_k, b, b_k, depth, c, c_row, bias, residual, columns):
    """c[i, j] = sum_k a[i, k] b[k, j] + bias[j] + residual[i, j] for min(rows, ROWS) i and min(columns, COLUMNS) j.

    a, b, c, bias, residual are addresses, 0 for no bias and no residual; a_row, a_k, b_k, c_row are strides in bytes;
    residual has the stride of c. No row or column beyond is read or written: each number of rows has its own program.
    """
    def generate(context, builder, signature, values):
        rows, *arguments = values
        full, done = builder.append_basic_block("full"), builder.append_basic_block("tiled")
        choose = builder.switch(rows, full)
        for n in range(1, ROWS + 1):
            block = full if n == ROWS else builder.append_basic_block(f"rows{n}")
            if n < ROWS:
                choose.add_case(ir.Constant(INT, n), block)
            builder.position_at_end(block)
            builder.call(write_tile(builder.module, n), arguments)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 12), generate


@compiled
def product(a, a_row, a_k, b, b_k, b_panel, depth, c, c_row, rows, columns, bias, residual):
    """c = a b + bias + residual, as in `tile`; each next COLUMNS columns of b begin `b_panel` bytes further on."""
    for j in range(0, columns, COLUMNS):
        b_j = b + j // COLUMNS * b_panel
        bias_j = bias + BYTES * j if bias != 0 else 0
        for i in range(0, rows, ROWS):
            residual_ij = residual + i * c_row + BYTES * j if residual != 0 else 0
            tile(rows - i, a + i * a_row, a_row, a_k, b_j, b_k, depth, c + i * c_row + BYTES * j, c_row,
                 bias_j, residual_ij, columns - j)


@compiled
def pack(w, start, row, panels, depth, columns):
    """Write the panels of the matrix (depth, columns) with row k at w[start + row * k:]."""
    into = 0
    for j in range(0, columns, COLUMNS):
        width = min(COLUMNS, columns - j)
        for k in range(depth):
            source, line = w[start + row * k + j:][:width], panels[into:into + COLUMNS]
            for lane in range(width):
                line[lane] = source[lane]
            for lane in range(width, COLUMNS):
                line[lane] = 0
            into += COLUMNS


@compiled
def pack_transposed(w, start, row, panels, depth, columns):
    """Write the panels of the matrix (depth, columns) with column j at w[start + row * j:]."""
    for first in range(0, depth, 64):                        # 64 rows of a panel stay in the nearest cache
        rows = min(64, depth - first)
        for j in range(0, -(-columns // COLUMNS) * COLUMNS):
            into = panels[(j // COLUMNS * depth + first) * COLUMNS + j % COLUMNS:]
            if j < columns:
                source = w[start + row * j + first:][:rows]
                for k in range(rows):
                    into[k * COLUMNS] = source[k]
            else:
                for k in range(rows):
                    into[k * COLUMNS] = 0


def panels_size(depth, columns):
    return depth * -(-columns // COLUMNS) * COLUMNS


@kernel
def pack_weight(w: F2, panels: F1, transposed: F1):
    """Write the panels of w (K, N) for x w, and of its transpose for dy w^T."""
    depth, columns = w.shape
    flat = w.reshape(-1)
    pack(flat, 0, columns, panels, depth, columns)
    pack_transposed(flat, 0, columns, transposed, columns, depth)


@kernel
def multiply(x: F2, panels: F1, bias: F1, residual: F2, out: F2):
    """out = x w + bias + residual.  x (M, K), panels of w (K, N), bias (N,) or (0,), residual (M, N) or (0, 0)"""
    rows, depth = x.shape
    columns = out.shape[1]
    product(address(x, 0), BYTES * depth, BYTES, address(panels, 0), BYTES * COLUMNS, BYTES * COLUMNS * depth, depth,
            address(out, 0), BYTES * columns, rows, columns, address(bias, 0) if bias.size else 0,
            address(residual, 0) if residual.size else 0)


@kernel
def accumulate(x: F2, dy: F2, dw: F2, db: F1):
    """dw += x^T dy and db += the sum of dy's rows.  x (M, K), dy (M, N), dw (K, N), db (N,) or (0,)"""
    depth, rows = x.shape
    columns = dy.shape[1]
    product(address(x, 0), BYTES, BYTES * rows, address(dy, 0), BYTES * columns, BYTES * COLUMNS, depth,
            address(dw, 0), BYTES * columns, rows, columns, 0, address(dw, 0))
    if db.size:
        for i in range(depth):
            row = dy[i]
            for j in range(columns):
                db[j] += row[j]
