# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
"""Other ranks for a matrix whose natural ones leave some row without a point.

Step 2 of `whitenoise.two_level`, in one program that passes over the matrix until every row has a
point, so that nobody waits to hear whether or how often. A column of any height is ranked in
chunks that are sorted in registers: the rank of an entry is the number of smaller ones, summed over
the chunks.

The threads of the program speak through global memory here, so each phase ends with a barrier.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ... import two_level as generic
from .keys import LAST, packed
from .matrix import assigned_bounds, block_of_rows, clip_rows, running

__all__ = ["repaired"]

_LAST_RESORT = tl.constexpr(generic.MAX_PASSES)
_GOLDEN = tl.constexpr(generic.GOLDEN)


@triton.jit
def repaired(a, ROWS: tl.constexpr, WIDTH: tl.constexpr, CHUNK: tl.constexpr):
    """Replace `point` by a feasible one and return its squared distance."""
    for row in range(0, a.n_rows, ROWS):
        rows, columns, inside = block_of_rows(a, row, ROWS, WIDTH)
        at = columns * a.n_rows + rows
        tl.store(a.rank + at, tl.load(a.natural + at, mask=inside), mask=inside)
        entry = rows * a.n_columns + tl.load(a.order + at, mask=inside, other=0)
        tl.store(a.row_sorted + at, tl.load(a.x + entry, mask=inside), mask=inside)
    tl.debug_barrier()
    attempt = 0
    moved = tl.full((), float("nan"), tl.float64)
    while (moved != moved) & (attempt <= _LAST_RESORT):
        for row in range(0, a.n_rows, ROWS):
            _move_into_bounds(a, row, attempt, ROWS, WIDTH)
        tl.debug_barrier()
        for column in range(a.n_columns):
            _rank_column(a, column, attempt, CHUNK)
        moved = tl.zeros((), tl.float64)
        for row in range(0, a.n_rows, ROWS):
            part, _ = clip_rows(a, a.rank, row, ROWS, WIDTH)
            moved += part
        tl.debug_barrier()
        attempt += 1
    return moved


@triton.jit
def _move_into_bounds(a, row, attempt, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Clip the values to the bounds of their ranks and sort rows; later, pull those in trouble.

    The last resort is the mean of a row in place of each of its values.
    """
    rows, columns, inside = block_of_rows(a, row, ROWS, WIDTH)
    at = columns * a.n_rows + rows
    low, high = assigned_bounds(a, a.rank, row, ROWS, WIDTH)
    value = tl.load(a.row_sorted + at, mask=inside, other=float("inf"))
    value = tl.sort(tl.minimum(tl.maximum(value, low), high), dim=1)
    if attempt >= 2:
        turns = attempt.to(tl.float64) * _GOLDEN
        weight = turns - tl.floor(turns)
        middle = tl.sort(tl.where(inside, (low + high) * 0.5, float("inf")), dim=1)
        pulled = (1 - weight).to(tl.float32) * value + weight.to(tl.float32) * middle
        low, high = running(low, high)
        stuck = tl.max((low > high).to(tl.int32), axis=1, keep_dims=True)
        value = tl.where(stuck != 0, pulled, value)
    if attempt == _LAST_RESORT:
        value = tl.zeros_like(value) + _mean_of_rows(a, rows)
    tl.store(a.row_sorted + at, value, mask=inside)


@triton.jit
def _mean_of_rows(a, rows):
    """Means of the sorted entries, summed one after the other: the rounding of the generic path."""
    mean = tl.zeros_like(rows).to(tl.float32)
    size = mean + a.n_columns
    for column in range(a.n_columns):
        source = tl.load(a.order + column * a.n_rows + rows, mask=rows < a.n_rows, other=0)
        entry = tl.load(a.x + rows * a.n_columns + source, mask=rows < a.n_rows, other=0.0)
        mean += tl.div_rn(entry, size)
    return mean


@triton.jit
def _rank_column(a, column, attempt, CHUNK: tl.constexpr):
    """Store the `rank` of the values of a column, equal ones in the order of the natural ranks."""
    value = a.row_sorted + column * a.n_rows
    # In the last resort the first column's, to rank all columns alike.
    tie = a.natural + tl.where(attempt == _LAST_RESORT, 0, column) * a.n_rows
    for row in range(0, a.n_rows, CHUNK):
        key, rows = _keys_of_chunk(value, tie, row, a.n_rows, CHUNK)
        tl.store(a.keys + rows, tl.sort(key), mask=rows < a.n_rows)
    tl.debug_barrier()
    for row in range(0, a.n_rows, CHUNK):
        key, rows = _keys_of_chunk(value, tie, row, a.n_rows, CHUNK)
        smaller = tl.zeros((CHUNK,), tl.int32)
        for other in range(0, a.n_rows, CHUNK):
            length = tl.minimum(a.n_rows - other, CHUNK)
            smaller += _number_below(key, a.keys + other, length, CHUNK)
        tl.store(a.rank + column * a.n_rows + rows, smaller, mask=rows < a.n_rows)
    tl.debug_barrier()


@triton.jit
def _keys_of_chunk(value, tie, row, n_rows, CHUNK: tl.constexpr):
    rows = row + tl.arange(0, CHUNK)
    values = tl.load(value + rows, mask=rows < n_rows, other=0.0)
    ties = tl.load(tie + rows, mask=rows < n_rows, other=0)
    return tl.where(rows < n_rows, packed(values, ties), LAST), rows


@triton.jit
def _number_below(key, increasing, length, CHUNK: tl.constexpr):
    """How many of the `length` increasing keys in memory are smaller than each `key`: bisection."""
    number = tl.zeros((CHUNK,), tl.int32)
    step = tl.full((), CHUNK, tl.int32)
    while step > 0:
        probe = number + step
        found = tl.load(increasing + probe - 1, mask=probe <= length, other=LAST)
        number = tl.where(found < key, probe, number)
        step = step // 2
    return number
