# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
"""The nearest doubly sorted matrix: sort rows, rank columns, clip, and repair what is left."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

from ... import two_level as generic
from ..._namespace import array_namespace
from ..._random import RandomSource, Stream
from .. import generic_path
from .keys import packed, random_key, word, words
from .launch import block, launch
from .matrix import Matrix, Ties, block_of_rows, clip_rows, one_matrix, rank_columns, sort_rows
from .repair import repaired

__all__ = ["two_level"]

_WIDEST = 4096  # entries of a row that are sorted in registers
_HIGHEST = 16384  # the same of a column: more spill
_ONE_LAUNCH = 4096  # entries of a padded matrix that one program handles alone
_BLOCK = 1024  # entries that a program holds unless one row or column has more
_CHUNK = 1024  # entries of a column that the repair sorts at once
_WORDS = ("row_first", "row_second", "column_first", "column_second")  # see `words`

Result = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def two_level(
    vectors: torch.Tensor,
    lower: torch.Tensor,
    upper: torch.Tensor,
    row_ties: Stream,
    column_ties: Stream,
) -> Result:
    """Nearest point, its distance and the lower bound, see `whitenoise._kernels`."""
    n_rows, n_columns = lower.shape
    if vectors.dtype != torch.float32 or n_columns > _WIDEST:
        return _generic(vectors, lower, upper, row_ties, column_ties)
    x = vectors.reshape(-1, n_rows * n_columns).contiguous()
    batch = Matrix(
        x=x,
        point=torch.empty_like(x),
        row_sorted=torch.empty_like(x),
        order=torch.empty_like(x, dtype=torch.int32),
        natural=torch.empty_like(x, dtype=torch.int32),
        rank=torch.empty_like(x, dtype=torch.int32),
        keys=x.new_empty(len(x), n_rows, dtype=torch.int64),
        lower=lower.T.contiguous(),
        upper=upper.T.contiguous(),
        n_rows=n_rows,
        n_columns=n_columns,
    )
    small = block(n_rows) * block(n_columns) <= _ONE_LAUNCH
    norms = (_one_launch if small else _launches)(batch, words(row_ties), words(column_ties))
    distance, bound = (n.reshape(vectors.shape[:-1]) for n in norms)
    return batch.point.reshape(vectors.shape), distance, bound


Words = tuple[Any, Any]
Norms = tuple[torch.Tensor, torch.Tensor]


def _one_launch(a: Matrix, row_ties: Words, column_ties: Words) -> Norms:
    distance, bound = _empty_norms(a)
    height, width = block(a.n_rows), block(a.n_columns)
    launch(
        _small_matrix,
        (len(a.x),),
        height * width,
        *(a, distance, bound, *row_ties, *column_ties),
        HEIGHT=height,
        WIDTH=width,
        CHUNK=min(height, _CHUNK),
    )
    return distance, bound


def _launches(a: Matrix, row_ties: Words, column_ties: Words) -> Norms:
    height, width = block(a.n_rows), block(a.n_columns)
    rows = min(height, max(_BLOCK // width, 1))
    n_blocks = triton.cdiv(a.n_rows, rows)
    by_rows = (len(a.x), n_blocks)
    if height <= _highest(a.x.device):
        launch(_sort_rows, by_rows, rows * width, a, *row_ties, ROWS=rows, WIDTH=width)
        columns = min(width, max(_BLOCK // height, 1))
        launch(
            _rank_columns,
            (len(a.x), triton.cdiv(a.n_columns, columns)),
            columns * height,
            *(a, *column_ties),
            COLUMNS=columns,
            HEIGHT=height,
        )
    else:
        keys = a.x.new_empty(len(a.x) * a.n_columns, a.n_rows, dtype=torch.int64)
        launch(
            _sort_rows_to_keys,
            by_rows,
            rows * width,
            *(a, keys, *row_ties, *column_ties),
            ROWS=rows,
            WIDTH=width,
        )
        launch(
            _invert,
            (len(keys), triton.cdiv(a.n_rows, _BLOCK)),
            _BLOCK,
            *(torch.sort(keys, dim=-1).indices, a.natural, a.n_rows),
            BLOCK=_BLOCK,
        )
    moved, least = (a.x.new_empty(by_rows, dtype=torch.float64) for _ in range(2))
    launch(_clip_rows, by_rows, rows * width, a, moved, least, ROWS=rows, WIDTH=width)
    distance, bound = _empty_norms(a)
    launch(
        _settle,
        (len(a.x),),
        4 * _BLOCK,  # more threads than the block needs: one program may repair the whole matrix
        *(a, distance, bound, moved, least, n_blocks),
        ROWS=rows,
        WIDTH=width,
        CHUNK=min(height, _CHUNK),
    )
    return distance, bound


def _empty_norms(a: Matrix) -> Norms:
    return tuple(a.x.new_empty(len(a.x), dtype=torch.float64) for _ in range(2))


@cache
def _highest(device: torch.device) -> int:
    """How many entries of a column a program can sort: their keys pass through shared memory."""
    if device.type != "cuda":  # Triton's interpreter
        return _HIGHEST
    properties = triton.runtime.driver.active.utils.get_device_properties(device.index)
    return min(_HIGHEST, int(properties["max_shared_mem"]) // 8)


def _generic(
    vectors: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, *ties: Stream
) -> Result:
    with generic_path():
        return generic.nearest_doubly_sorted(
            vectors, lower, upper, array_namespace(vectors), _Drawn(*ties), exchanges=0
        )


class _Drawn(RandomSource):
    """A source of streams that are already drawn."""

    def __init__(self, *streams: Stream) -> None:
        self._streams = iter(streams)

    def stream(self) -> Stream:
        return next(self._streams)


@triton.jit(do_not_specialize=_WORDS)
def _small_matrix(
    batch,
    distance,
    bound,
    row_first,
    row_second,
    column_first,
    column_second,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
):
    number = tl.program_id(0)
    a = one_matrix(batch, number)
    value = sort_rows(a, 0, _row_ties(a, number, row_first, row_second), HEIGHT, WIDTH)
    rows, columns, inside = block_of_rows(a, 0, HEIGHT, WIDTH)
    tl.store(a.row_sorted + columns * a.n_rows + rows, value, mask=inside)
    tl.debug_barrier()
    rank_columns(a, 0, _column_ties(a, number, column_first, column_second), WIDTH, HEIGHT)
    tl.debug_barrier()
    moved, least = clip_rows(a, a.natural, 0, HEIGHT, WIDTH)
    if moved != moved:  # NaN
        moved = repaired(a, HEIGHT, WIDTH, CHUNK)
    _store_norms(distance + number, bound + number, moved, least)


@triton.jit(do_not_specialize=_WORDS)
def _sort_rows(batch, row_first, row_second, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    number, row = tl.program_id(0), tl.program_id(1) * ROWS
    a = one_matrix(batch, number)
    value = sort_rows(a, row, _row_ties(a, number, row_first, row_second), ROWS, WIDTH)
    rows, columns, inside = block_of_rows(a, row, ROWS, WIDTH)
    tl.store(a.row_sorted + columns * a.n_rows + rows, value, mask=inside)


@triton.jit(do_not_specialize=_WORDS)
def _sort_rows_to_keys(
    batch,
    keys,
    row_first,
    row_second,
    column_first,
    column_second,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Sort rows and store, in place of the values, the keys that sort the columns."""
    number, row = tl.program_id(0), tl.program_id(1) * ROWS
    a = one_matrix(batch, number)
    value = sort_rows(a, row, _row_ties(a, number, row_first, row_second), ROWS, WIDTH)
    rows, columns, inside = block_of_rows(a, row, ROWS, WIDTH)
    ties = _column_ties(a, number, column_first, column_second)
    tie = random_key(ties.origin + rows.to(tl.uint32), ties.first, ties.second)
    keys += number.to(tl.int64) * a.n_rows * a.n_columns
    tl.store(keys + columns * a.n_rows + rows, packed(value, tie), mask=inside)


@triton.jit(do_not_specialize=_WORDS)
def _rank_columns(batch, column_first, column_second, COLUMNS: tl.constexpr, HEIGHT: tl.constexpr):
    number, column = tl.program_id(0), tl.program_id(1) * COLUMNS
    a = one_matrix(batch, number)
    ties = _column_ties(a, number, column_first, column_second)
    rank_columns(a, column, ties, COLUMNS, HEIGHT)


@triton.jit
def _invert(order, rank, length, BLOCK: tl.constexpr):
    """Ranks from the order that sorts a column."""
    column = tl.program_id(0).to(tl.int64) * length
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(order + column + place, mask=place < length, other=0)
    tl.store(rank + column + row, place, mask=place < length)


@triton.jit
def _clip_rows(batch, moved, least, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    number, part = tl.program_id(0), tl.program_id(1)
    a = one_matrix(batch, number)
    squares = clip_rows(a, a.natural, part * ROWS, ROWS, WIDTH)
    at = number.to(tl.int64) * tl.num_programs(1) + part
    tl.store(moved + at, squares[0])
    tl.store(least + at, squares[1])


@triton.jit
def _settle(
    batch,
    distance,
    bound,
    moved,
    least,
    n_parts,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Add up the squares of one matrix, and repair it if some row has no point."""
    number = tl.program_id(0)
    a = one_matrix(batch, number)
    total = _sum(moved + number.to(tl.int64) * n_parts, n_parts, CHUNK)
    if total != total:  # NaN
        total = repaired(a, ROWS, WIDTH, CHUNK)
    smallest = _sum(least + number.to(tl.int64) * n_parts, n_parts, CHUNK)
    _store_norms(distance + number, bound + number, total, smallest)


@triton.jit
def _sum(parts, length, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, length, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(parts + at, mask=at < length, other=0.0)
    return tl.sum(total)


@triton.jit
def _store_norms(distance, bound, moved, least):
    # The bound is proved, so a distance below it is rounding.
    tl.store(distance, tl.sqrt(tl.maximum(moved, least)))
    tl.store(bound, tl.sqrt(least))


@triton.jit
def _row_ties(a, number, first, second):
    entry = number.to(tl.int64) * a.n_rows * a.n_columns
    return Ties(entry.to(tl.uint32), word(first), word(second))


@triton.jit
def _column_ties(a, number, first, second):
    return Ties((number.to(tl.int64) * a.n_rows).to(tl.uint32), word(first), word(second))
