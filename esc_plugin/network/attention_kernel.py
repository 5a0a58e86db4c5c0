"""A kernel for processors: softmax(q k^T / sqrt(d) + bias) v in windows.

It is written for LLVM, which llvmlite brings along, so that nobody needs a compiler, and one wheel serves every machine.
In this file a Python ``for`` is unrolled, and `_Code.loop` is a loop of the machine.

What makes it fast: a few queries share each load of a key; their scores stay in the innermost cache, from the products to
the weighted sum; and the bias is never a matrix of w^4 values a head, which no cache holds. It is read from the table of
relative positions, where the keys of a row are w consecutive values, or it is a product of its factors, a few more
channels of queries and keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import e, log2
from typing import Any, TypeAlias

from llvmlite import ir

#: A value of the program, which has no number yet.
Value: TypeAlias = Any
F32, I16, I32, I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
#: 2^x for x in -1/2..1/2 with a relative error of 1.6e-7 in float32: factors of x^5 to x^0, the minimax ones with 2^0 = 1.
EXP2 = (1.32746334e-3, 9.67196168e-3, 5.55067837e-2, 2.40222353e-1, 6.93147062e-1, 1.0)
#: Adding and subtracting it rounds a float32 to a whole number, which is then in its last bits.
ROUND = 1.5 * 2**23
#: Lower powers of two are 0 beside the largest weight, which is 1.
LEAST_POWER = -126.0


@dataclass(frozen=True)
class Shape:
    """What a kernel is made for.

    Attributes
    ----------
    heads, window_size, depth : int
        Heads, pixels along a window, channels a head.
    rank : int
        Of the factors of the bias; 0 for a table.
    half : bool
        Whether queries, keys, values and results are bfloat16 and not float32. Arithmetic is in float32.
    lanes : int
        Values in a register of the machine, a divisor of `window_size` and `depth`.
    queries : int
        That are worked on at once, a divisor of `window_size`.
    """

    heads: int
    window_size: int
    depth: int
    rank: int
    half: bool
    lanes: int
    queries: int

    @property
    def length(self) -> int:
        """Pixels of a window."""
        return self.window_size**2

    @property
    def channels(self) -> int:
        """Of a query and a key, with the factors of the bias."""
        return self.depth + self.rank

    @property
    def scratch(self) -> int:
        """Values of float32 that a thread needs beside its arguments."""
        return self.length * (2 * self.channels + self.depth + self.queries)


def kernel_code(shape: Shape) -> str:
    """Return the kernel for LLVM.

    It is ``attend(qkv, bias, factors, out, scratch, windows)``: pointers to (windows, w w, 3, n, d); to float32 values
    (n, 2 w - 1, 2 w - 1), the table, and anything, or to (n, w w, r) and (n, w w, r), factors for queries and for keys; to
    (windows, w w, n, d); and to `Shape.scratch` float32 values; and how many windows, from 1 on.
    """
    return str(_Code(shape).module)


class _Code:
    """The kernel, and what it is written with."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.module = ir.Module("attention")
        value, real = (I16 if shape.half else F32).as_pointer(), F32.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [value, real, real, value, real, I64])
        function = ir.Function(self.module, kind, "attend")
        for pointer in (function.args[3], function.args[4]):
            pointer.add_attribute("noalias")
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.vector = ir.VectorType(F32, shape.lanes)
        self._kernel(*function.args)
        self.builder.ret_void()

    def _kernel(self, qkv: Value, bias: Value, factors: Value, out: Value, scratch: Value, windows: Value) -> None:
        """All windows, head by head: what is read stays in the caches."""
        shape, b, length = self.shape, self.builder, self.shape.length
        queries, keys, values, scores = (
            self.at(scratch, length * n) for n in (0, shape.channels, 2 * shape.channels, 2 * shape.channels + shape.depth)
        )
        with self.loop(windows) as window, self.loop(shape.heads) as head:
            self._gather(qkv, window, head, queries, keys, values)
            if shape.rank:
                here = b.mul(head, I64(length * shape.rank))
                self._gather_factors(self.at(bias, here), self.at(factors, here), queries, keys)
            table = self.at(bias, b.mul(head, I64((2 * shape.window_size - 1) ** 2)))
            result = self.at(out, self.place(window, length * shape.heads * shape.depth, head, shape.depth))
            with self.loop(length, shape.queries) as first:
                sums = self._powers(scores, self._scores(queries, keys, table, first, scores))
                self._weighted(values, scores, sums, first, result)

    def _gather(self, qkv: Value, window: Value, head: Value, queries: Value, keys: Value, values: Value) -> None:
        """Copy a head's queries (w w, d + r), its keys (d + r, w w), so that they fill registers, and values (w w, d)."""
        shape, b = self.shape, self.builder
        width = shape.heads * shape.depth
        # The machine has powers of two, so the logarithm's base goes into the keys, with 1 / sqrt(d).
        scale = F32(log2(e) * shape.depth**-0.5)
        first = self.place(window, shape.length * 3 * width, head, shape.depth)
        with self.loop(shape.length) as pixel:
            source = b.add(first, b.mul(pixel, I64(3 * width)))
            for c in range(shape.depth):
                q, k, v = (self.read(qkv, self.offset(source, n * width + c)) for n in range(3))
                b.store(q, self.at(queries, self.place(pixel, shape.channels, c)))
                b.store(b.fmul(k, scale), self.at(keys, self.offset(pixel, c * shape.length)))
                b.store(v, self.at(values, self.place(pixel, shape.depth, c)))

    def _gather_factors(self, query: Value, key: Value, queries: Value, keys: Value) -> None:
        """Copy a head's factors of the bias, each (w w, r), behind its queries and keys."""
        shape, b = self.shape, self.builder
        with self.loop(shape.length) as pixel:
            for c in range(shape.rank):
                q, k = (b.load(self.at(factor, self.place(pixel, shape.rank, c))) for factor in (query, key))
                b.store(q, self.at(queries, self.place(pixel, shape.channels, shape.depth + c)))
                k = b.fmul(k, F32(log2(e)))
                b.store(k, self.at(keys, self.offset(pixel, (shape.depth + c) * shape.length)))

    def _scores(self, queries: Value, keys: Value, table: Value, first: Value, scores: Value) -> list[Value]:
        """Write the scores of some queries with all keys, times log2(e); return the largest of each."""
        shape, b, w = self.shape, self.builder, self.shape.window_size
        together = 2 if w % (2 * shape.lanes) == 0 else 1
        vectors = range(0, together * shape.lanes, shape.lanes)
        largest = [self.variable(float("-inf")) for _ in range(shape.queries)]
        # bias[q, k] = table[row_k - row_q + w - 1, column_k - column_q + w - 1]
        side, row, column = 2 * w - 1, b.udiv(first, I64(w)), b.urem(first, I64(w))
        corner = b.sub(b.mul(b.sub(I64(w - 1), row), I64(side)), b.sub(column, I64(w - 1)))
        with self.loop(w) as key_row, self.loop(w, together * shape.lanes) as key_column:
            key = self.place(key_row, w, key_column)
            bias = b.add(corner, self.place(key_row, side, key_column))
            sums = [[self._bias(table, self.offset(bias, x - r)) for x in vectors] for r in range(shape.queries)]
            for c in range(shape.channels):
                loaded = [self.load(keys, self.offset(key, c * shape.length + x)) for x in vectors]
                for r in range(shape.queries):
                    q = self.broadcast(queries, self.place(first, shape.channels, r * shape.channels + c))
                    sums[r] = [self.fma(q, k, s) for k, s in zip(loaded, sums[r], strict=True)]
            for r in range(shape.queries):
                for x, s in zip(vectors, sums[r], strict=True):
                    self.save(s, scores, self.offset(key, r * shape.length + x))
                    b.store(self.larger(b.load(largest[r]), s), largest[r])
        return [self.reduce("fmax", b.load(one)) for one in largest]

    def _bias(self, table: Value, index: Value) -> Value:
        if self.shape.rank:
            return self.splat(0.0)
        return self.builder.fmul(self.load(table, index), self.splat(log2(e)))

    def _powers(self, scores: Value, largest: Sequence[Value]) -> list[Value]:
        """Replace scores by 2^(score - largest); return the sum for each query."""
        b, length = self.builder, self.shape.length
        sums = [self.variable(0.0) for _ in largest]
        with self.loop(length, self.shape.lanes) as key:
            for r, (top, total) in enumerate(zip(largest, sums, strict=True)):
                place = self.offset(key, r * length)
                power = self.exp2(b.fsub(self.load(scores, place), self.splat(top)))
                self.save(power, scores, place)
                b.store(b.fadd(b.load(total), power), total)
        return [self.reduce("fadd", b.load(total)) for total in sums]

    def _weighted(self, values: Value, weights: Value, sums: Sequence[Value], first: Value, out: Value) -> None:
        """Write the mean of the values by these weights, for each query."""
        shape, b = self.shape, self.builder
        vectors = range(0, shape.depth, shape.lanes)
        # Two sums of each, as one would wait for itself.
        means = [[[self.variable(0.0) for _ in vectors] for _ in sums] for _ in range(2)]
        with self.loop(shape.length, 2) as key:
            for odd in range(2):
                loaded = [self.load(values, self.place(key, shape.depth, odd * shape.depth + x)) for x in vectors]
                for r in range(shape.queries):
                    weight = self.broadcast(weights, self.offset(key, r * shape.length + odd))
                    for mean, v in zip(means[odd][r], loaded, strict=True):
                        b.store(self.fma(weight, v, b.load(mean)), mean)
        for r, total in enumerate(sums):
            place = b.mul(self.offset(first, r), I64(shape.heads * shape.depth))
            for x, even, odd in zip(vectors, means[0][r], means[1][r], strict=True):
                mean = b.fdiv(b.fadd(b.load(even), b.load(odd)), self.splat(total))
                self.write(mean, out, self.offset(place, x))

    def exp2(self, x: Value) -> Value:
        """2^x for x <= 0: a polynomial of what is left after rounding, with the whole number added to its exponent."""
        b = self.builder
        x = self.larger(self.splat(LEAST_POWER), x)
        rounded = b.fadd(x, self.splat(ROUND))
        left = b.fsub(x, b.fsub(rounded, self.splat(ROUND)))
        power = self.splat(EXP2[0])
        for factor in EXP2[1:]:
            power = self.fma(power, left, self.splat(factor))
        whole = ir.VectorType(I32, self.shape.lanes)
        exponent = b.shl(b.bitcast(rounded, whole), ir.Constant(whole, [23] * self.shape.lanes))
        return b.bitcast(b.add(b.bitcast(power, whole), exponent), self.vector)

    @contextmanager
    def loop(self, stop: Value | int, step: int = 1) -> Iterator[Value]:
        """Run what is written inside for 0, `step`, ... below `stop`, which is a multiple of it and not 0."""
        b = self.builder
        before, inside = b.block, b.append_basic_block()
        b.branch(inside)
        b.position_at_end(inside)
        counter = b.phi(I64)
        counter.add_incoming(I64(0), before)
        yield counter
        following = b.add(counter, I64(step))
        counter.add_incoming(following, b.block)
        after = b.append_basic_block()
        b.cbranch(b.icmp_unsigned("<", following, stop if not isinstance(stop, int) else I64(stop)), inside, after)
        b.position_at_end(after)

    def variable(self, value: float) -> Value:
        """Return a place for a vector that changes in a loop; LLVM makes it a register."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(self.vector)
        self.builder.store(self.splat(value), place)
        return place

    def place(self, index: Value, size: int, inner: Value | int, step: int = 1) -> Value:
        """Return where `inner`, of things of `step` values, is within number `index` of things of `size` values."""
        outer = self.builder.mul(index, I64(size))
        if isinstance(inner, int):
            return self.offset(outer, inner)
        return self.builder.add(outer, self.builder.mul(inner, I64(step)))

    def offset(self, index: Value, by: int) -> Value:
        return self.builder.add(index, I64(by)) if by else index

    def at(self, pointer: Value, index: Value | int) -> Value:
        return self.builder.gep(pointer, [I64(index) if isinstance(index, int) else index])

    def load(self, pointer: Value, index: Value) -> Value:
        place = self.builder.bitcast(self.at(pointer, index), self.vector.as_pointer())
        return self.builder.load(place, align=4)

    def save(self, vector: Value, pointer: Value, index: Value) -> None:
        place = self.builder.bitcast(self.at(pointer, index), self.vector.as_pointer())
        self.builder.store(vector, place, align=4)

    def read(self, pointer: Value, index: Value) -> Value:
        """Return one value of an argument as float32."""
        value = self.builder.load(self.at(pointer, index))
        if not self.shape.half:
            return value
        return self.builder.bitcast(self.builder.shl(self.builder.zext(value, I32), I32(16)), F32)

    def write(self, vector: Value, pointer: Value, index: Value) -> None:
        """Write a vector to an argument; to bfloat16 by rounding to the nearest, to even between two."""
        if not self.shape.half:
            self.save(vector, pointer, index)
            return
        b, lanes = self.builder, self.shape.lanes
        whole, short = ir.VectorType(I32, lanes), ir.VectorType(I16, lanes)
        bits = b.bitcast(vector, whole)
        shift, one, most = (ir.Constant(whole, [n] * lanes) for n in (16, 1, 0x7FFF))
        rounded = b.add(b.add(bits, most), b.and_(b.lshr(bits, shift), one))
        place = b.bitcast(self.at(pointer, index), short.as_pointer())
        b.store(b.trunc(b.lshr(rounded, shift), short), place, align=2)

    def splat(self, value: Value | float) -> Value:
        if isinstance(value, float):
            return ir.Constant(self.vector, [F32(value)] * self.shape.lanes)
        b = self.builder
        empty = ir.Constant(self.vector, ir.Undefined)
        first = ir.Constant(ir.VectorType(I32, self.shape.lanes), [0] * self.shape.lanes)
        return b.shuffle_vector(b.insert_element(empty, value, I32(0)), empty, first)

    def broadcast(self, pointer: Value, index: Value) -> Value:
        return self.splat(self.builder.load(self.at(pointer, index)))

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a b + c, as one operation where the machine has it."""
        flags = ("contract",)
        return self.builder.fadd(self.builder.fmul(a, b, flags=flags), c, flags=flags)

    def larger(self, a: Value, b: Value) -> Value:
        """Return the larger of two, and `b` if that isn't a number."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def reduce(self, operation: str, vector: Value) -> Value:
        """Return the largest value of a vector, or their sum."""
        kinds: list[Any] = [F32, self.vector] if operation == "fadd" else [self.vector]
        name = f"llvm.vector.reduce.{operation}.v{self.shape.lanes}f32"
        function = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(F32, kinds), name)
        arguments = [F32(0.0), vector] if operation == "fadd" else [vector]
        return self.builder.call(function, arguments, fastmath=("reassoc",))
