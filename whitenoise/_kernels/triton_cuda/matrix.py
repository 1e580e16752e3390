# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
"""What one program does to a block of rows or columns in the two-level projection."""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .keys import LAST, index_of_key, packed, random_key

__all__ = [
    "Matrix",
    "Ties",
    "assigned_bounds",
    "block_of_rows",
    "clip_rows",
    "one_matrix",
    "rank_columns",
    "running",
    "sort_rows",
]


class Matrix(NamedTuple):
    """Matrices of shape (M, D) and all that is derived from them; pointers in a kernel.

    The matrices themselves lie in memory row by row, the rest column by column, like the bounds:
    coalesced where blocks are columns, and in runs of a block's height where they are rows.
    """

    x: Any
    point: Any
    row_sorted: Any
    """Entries; the name `values` is taken, tuples of Triton have it."""
    order: Any
    """Column of `x` that each of them came from."""
    natural: Any
    """Their ranks in their columns."""
    rank: Any
    """Room for other ranks."""
    keys: Any
    """Room for the sort keys of one column."""
    lower: Any
    upper: Any
    n_rows: Any
    n_columns: Any


class Ties(NamedTuple):
    """A stream of random numbers, from an index in the whole batch on."""

    origin: Any
    first: Any
    second: Any


@triton.jit
def one_matrix(batch, number):
    """Return matrix `number` of a batch."""
    row = number.to(tl.int64) * batch.n_rows
    entry = row * batch.n_columns
    return Matrix(
        batch.x + entry,
        batch.point + entry,
        batch.row_sorted + entry,
        batch.order + entry,
        batch.natural + entry,
        batch.rank + entry,
        batch.keys + row,
        batch.lower,
        batch.upper,
        batch.n_rows,
        batch.n_columns,
    )


@triton.jit
def block_of_rows(a, row, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Rows and columns of a block, and which of its places are in the matrix."""
    rows = row + tl.arange(0, ROWS)[:, None]
    columns = tl.arange(0, WIDTH)[None, :]
    return rows, columns, (rows < a.n_rows) & (columns < a.n_columns)


@triton.jit
def sort_rows(a, row, ties, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Sort rows, equal entries in random order; store `order` and return the sorted values."""
    rows, columns, inside = block_of_rows(a, row, ROWS, WIDTH)
    entry = rows * a.n_columns + columns
    value = tl.load(a.x + entry, mask=inside, other=0.0)
    tie = random_key(ties.origin + entry.to(tl.uint32), ties.first, ties.second)
    key = tl.sort(tl.where(inside, packed(value, tie), LAST), dim=1)
    index = index_of_key(key.to(tl.uint32), ties.first, ties.second)
    entry = (index - ties.origin).to(tl.int32)
    tl.store(a.order + columns * a.n_rows + rows, entry - rows * a.n_columns, mask=inside)
    return tl.load(a.x + entry, mask=inside, other=0.0)


@triton.jit
def rank_columns(a, column, ties, COLUMNS: tl.constexpr, HEIGHT: tl.constexpr):
    """Rank `row_sorted` within columns, equal ones in a random order common to all columns."""
    columns = column + tl.arange(0, COLUMNS)[:, None]
    rows = tl.arange(0, HEIGHT)[None, :]
    inside = (rows < a.n_rows) & (columns < a.n_columns)
    value = tl.load(a.row_sorted + columns * a.n_rows + rows, mask=inside, other=0.0)
    tie = random_key(ties.origin + rows.to(tl.uint32), ties.first, ties.second)
    key = tl.sort(tl.where(inside, packed(value, tie), LAST), dim=1)
    index = index_of_key(key.to(tl.uint32), ties.first, ties.second)
    row = (index - ties.origin).to(tl.int32)
    tl.store(a.natural + columns * a.n_rows + row, rows, mask=inside)


@triton.jit
def clip_rows(a, rank, row, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Store the nearest `point` with the given ranks; return its distance and its bound, squared.

    The distance is NaN if there is none, since a row has low > high.
    """
    rows, columns, inside = block_of_rows(a, row, ROWS, WIDTH)
    column = tl.load(a.order + columns * a.n_rows + rows, mask=inside, other=0)
    entry = rows * a.n_columns + column
    value = tl.load(a.x + entry, mask=inside, other=0.0)
    low, high = assigned_bounds(a, rank, row, ROWS, WIDTH)
    least = value - tl.minimum(tl.maximum(value, low), high)
    low, high = running(low, high)
    near = tl.minimum(tl.maximum(value, low), high)
    tl.store(a.point + entry, near, mask=inside)
    moved = tl.where(low > high, float("nan"), value - near)
    return _sum_of_squares(tl.where(inside, moved, 0.0)), _sum_of_squares(least)


@triton.jit
def assigned_bounds(a, rank, row, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Bounds of the given ranks in a block of rows; outside the matrix there are none."""
    rows, columns, inside = block_of_rows(a, row, ROWS, WIDTH)
    ranks = tl.load(rank + columns * a.n_rows + rows, mask=inside, other=0)
    low = tl.load(a.lower + columns * a.n_rows + ranks, mask=inside, other=float("-inf"))
    high = tl.load(a.upper + columns * a.n_rows + ranks, mask=inside, other=float("inf"))
    return low, high


@triton.jit
def running(low, high):
    """Tightest bounds of a nondecreasing row between the given ones."""
    low = tl.associative_scan(low, 1, _larger)
    high = tl.associative_scan(high, 1, _smaller, reverse=True)
    return low, high


@triton.jit
def _larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def _smaller(a, b):
    return tl.minimum(a, b)


@triton.jit
def _sum_of_squares(x):
    wide = x.to(tl.float64)  # where no square of a float32 number overflows
    return tl.sum(wide * wide)
