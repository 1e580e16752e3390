"""Vector instructions on rows of sixteen numbers.

The compiler cannot know that two rows of an array do not overlap, and would go through them one
number at a time; so these few operations are written as vectors. A row is ``array[i]`` of an array
of shape (n, LANES); `i`, `j`, `k` are row numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = [
    "LANES",
    "add",
    "compare_exchange",
    "divide",
    "larger",
    "larger_modulus",
    "multiply",
    "smaller",
    "subtract",
    "sum_and_difference",
]

LANES = 16
"""One AVX-512 register of float32."""


class _Row:
    """One row of an array, as a vector in memory."""

    def __init__(self, context: Any, builder: Any, kind: Any, array: Any, row: Any) -> None:
        start = context.make_array(kind)(context, builder, array).data
        self.vector = ir.VectorType(context.get_data_type(kind.dtype), LANES)
        self._align = kind.dtype.bitwidth // 8
        self._builder = builder
        offset = builder.mul(row, ir.Constant(row.type, LANES))
        self._place = builder.bitcast(builder.gep(start, [offset]), self.vector.as_pointer())

    def load(self) -> Any:
        value = self._builder.load(self._place)
        value.align = self._align
        return value

    def store(self, value: Any) -> None:
        self._builder.store(value, self._place, align=self._align)


def _operation(build: Callable[[Any, Any, Any], Any], doc: str) -> Any:
    """Make the operation ``out[i] = build(a[j], b[k])``."""

    def operate(typingctx: Any, out: Any, i: Any, a: Any, j: Any, b: Any, k: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, first, second = (
                _Row(context, builder, signature.args[n], arguments[n], arguments[n + 1])
                for n in (0, 2, 4)
            )
            target.store(build(builder, first.load(), second.load()))
            return context.get_dummy_value()

        return types.void(out, i, a, j, b, k), generate

    operate.__doc__ = doc
    return intrinsic(operate)


def _select(builder: Any, relation: str, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(relation, a, b), a, b)


def _modulus(builder: Any, a: Any) -> Any:
    negative = builder.fcmp_ordered("<", a, ir.Constant(a.type, [0.0] * LANES))
    return builder.select(negative, builder.fneg(a), a)


add = _operation(lambda builder, a, b: builder.fadd(a, b), "``out[i] = a[j] + b[k]``.")
subtract = _operation(lambda builder, a, b: builder.fsub(a, b), "``out[i] = a[j] - b[k]``.")
multiply = _operation(lambda builder, a, b: builder.fmul(a, b), "``out[i] = a[j] * b[k]``.")
divide = _operation(lambda builder, a, b: builder.fdiv(a, b), "``out[i] = a[j] / b[k]``.")
larger = _operation(
    lambda builder, a, b: _select(builder, ">", a, b), "``out[i] = max(a[j], b[k])``."
)
smaller = _operation(
    lambda builder, a, b: _select(builder, "<", a, b), "``out[i] = min(a[j], b[k])``."
)
larger_modulus = _operation(
    lambda builder, a, b: _select(builder, ">", a, _modulus(builder, b)),
    "``out[i] = max(a[j], abs(b[k]))``.",
)


@intrinsic
def compare_exchange(typingctx: Any, values: Any, items: Any, i: Any, j: Any) -> Any:
    """Order rows i and j of `values`, lane by lane, and take `items` along."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        swap = None
        for kind, array in zip(signature.args[:2], arguments[:2], strict=True):
            rows = [_Row(context, builder, kind, array, row) for row in arguments[2:]]
            first, second = (row.load() for row in rows)
            if swap is None:
                swap = builder.fcmp_ordered("<", second, first)
            rows[0].store(builder.select(swap, second, first))
            rows[1].store(builder.select(swap, first, second))
        return context.get_dummy_value()

    return types.void(values, items, i, j), generate


@intrinsic
def sum_and_difference(typingctx: Any, values: Any, i: Any, j: Any, root: Any) -> Any:
    """Turn rows a, b into ``root * (a + b)``, ``root * (a - b)``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *numbers, root = arguments
        rows = [_Row(context, builder, signature.args[0], array, row) for row in numbers]
        first, second = (row.load() for row in rows)
        lane = builder.insert_element(
            ir.Constant(first.type, ir.Undefined), root, ir.Constant(ir.IntType(32), 0)
        )
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        factor = builder.shuffle_vector(lane, lane, everywhere)
        rows[0].store(builder.fmul(factor, builder.fadd(first, second)))
        rows[1].store(builder.fmul(factor, builder.fsub(first, second)))
        return context.get_dummy_value()

    return types.void(values, i, j, root), generate
