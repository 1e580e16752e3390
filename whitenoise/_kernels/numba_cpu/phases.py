"""The phases of a projection onto a two-level set, each a kernel over a range of tasks.

Matrices lie transposed: entry (j, m) is the j-th order statistic of row m. A task is a block of
rows or some columns of one matrix. `whitenoise.two_level` has the mathematics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .jit import kernel
from .lanes import LANES
from .orders import order_by_value, order_ties
from .sorting import COUNTS, sort_lanes
from .threads import claim, finish

__all__ = [
    "BLOCK",
    "FEW",
    "Work",
    "break_column_ties",
    "break_row_ties",
    "move_rows",
    "rank_columns_by_network",
    "rank_columns_by_radix",
    "reclip_rows",
    "rerank_columns",
    "sort_rows_by_network",
    "sort_rows_by_radix",
]

BLOCK = 8 * LANES
"""Rows of a task."""

FEW = 512
"""Longest sequence for which a network beats the radix sort."""


class Work(NamedTuple):
    """Arrays of B matrices of M rows and D columns."""

    rows: Any  # (B, M, D)
    row_bits: Any
    point: Any
    ranked: Any  # (B, D, M'), as all that are transposed; M' is M rounded up to whole lanes
    ranked_bits: Any
    place: Any
    rank: Any
    tied_rows: Any  # (B, M')
    tied_columns: Any  # (B, D)
    touched: Any  # (B, M')
    stuck: Any
    unit: Any  # (B,)
    sums: Any  # (B, tasks, 2), of squares of numbers times the unit
    lower: Any  # (D, M)
    upper: Any


@kernel
def _space(size: Any) -> Any:
    """Make room to order a sequence: its order, two arrays of words, counts of digits."""
    words, spare = np.empty(size, np.uint64), np.empty(size, np.uint64)
    return np.empty(size, np.uint32), words, spare, np.empty(COUNTS, np.uint32)


@kernel
def sort_rows_by_network(counters: Any, tasks: Any, work: Any, network: Any) -> None:
    """Sort rows, and mark those that hold equal values."""
    n_rows, n_columns = work.rows.shape[1:]
    blocks = -(-n_rows // BLOCK)
    values = np.zeros((n_columns, LANES), work.rows.dtype)
    items = np.zeros((n_columns, LANES), np.uint32)
    ties = np.zeros(LANES, np.uint8)
    task = claim(counters)
    while task < tasks:
        v, block = task // blocks, task % blocks
        rows, tied = work.rows[v], work.tied_rows[v]
        ranked, place = work.ranked[v], work.place[v]
        for start in range(block * BLOCK, min((block + 1) * BLOCK, n_rows), LANES):
            for k in range(LANES):
                m = min(start + k, n_rows - 1)  # lanes to spare repeat the last row
                for j in range(n_columns):
                    values[j, k] = rows[m, j]
            for j in range(n_columns):
                for k in range(LANES):
                    items[j, k] = j
            sort_lanes(values, items, network)
            for k in range(LANES):
                ties[k] = 0
            for j in range(1, n_columns):
                for k in range(LANES):
                    ties[k] |= values[j, k] == values[j - 1, k]
            for k in range(LANES):
                tied[start + k] = ties[k]
            for j in range(n_columns):
                for k in range(LANES):
                    ranked[j, start + k] = values[j, k]
                    place[j, start + k] = items[j, k]
        finish(counters)
        task = claim(counters)


@kernel
def sort_rows_by_radix(counters: Any, tasks: Any, work: Any, top: Any) -> None:
    """Sort rows, and mark those that hold equal values."""
    n_rows, n_columns = work.rows.shape[1:]
    blocks = -(-n_rows // BLOCK)
    order, words, spare, counts = _space(n_columns)
    task = claim(counters)
    while task < tasks:
        v, block = task // blocks, task % blocks
        for m in range(block * BLOCK, min((block + 1) * BLOCK, n_rows)):
            for j in range(n_columns):
                order[j] = j
            order_by_value(work.row_bits[v, m], top, order, words, spare, counts)
            tied = False
            for j in range(n_columns):
                value = work.rows[v, m, order[j]]
                tied |= j > 0 and value == work.ranked[v, j - 1, m]
                work.ranked[v, j, m] = value
                work.place[v, j, m] = order[j]
            work.tied_rows[v, m] = tied
        finish(counters)
        task = claim(counters)


@kernel
def break_row_ties(counters: Any, tasks: Any, work: Any, base: Any, keys: Any) -> None:
    """Put equal values of a row in random order; the first matrix is the `base`-th of the batch."""
    n_rows, n_columns = work.rows.shape[1:]
    values = np.empty(n_columns, work.ranked.dtype)
    order, words, spare, counts = _space(n_columns)
    blocks = -(-n_rows // BLOCK)
    task = claim(counters)
    while task < tasks:
        v, block = task // blocks, task % blocks
        for m in range(block * BLOCK, min((block + 1) * BLOCK, n_rows)):
            if work.tied_rows[v, m]:
                for j in range(n_columns):
                    values[j] = work.ranked[v, j, m]
                    order[j] = work.place[v, j, m]
                offset = ((base + v) * n_rows + m) * n_columns
                order_ties(values, order, offset, keys, words, spare, counts)
                for j in range(n_columns):
                    work.place[v, j, m] = order[j]
                    # Equal values need not be the same: zeros have signs.
                    work.ranked[v, j, m] = work.rows[v, m, order[j]]
        finish(counters)
        task = claim(counters)


@kernel
def _set_rank(v: Any, j: Any, work: Any, order: Any) -> Any:
    """Give column j its ranks and mark the rows that they move; tell whether values are equal."""
    column, rank, touched = work.ranked[v, j], work.rank[v, j], work.touched[v]
    lower, upper = work.lower[j], work.upper[j]
    tied = False
    before = column[order[0]]
    for r in range(order.shape[0]):
        m = order[r]
        rank[m] = r
        value = column[m]
        tied |= r > 0 and value == before
        before = value
        if value < lower[r] or value > upper[r]:
            touched[m] = 1
    return tied


@kernel
def rank_columns_by_network(counters: Any, tasks: Any, work: Any, network: Any) -> None:
    """Rank bundles of `LANES` columns of few rows."""
    n_rows, n_columns = work.rows.shape[1:]
    bundles = -(-n_columns // LANES)
    values = np.zeros((n_rows, LANES), work.ranked.dtype)
    items = np.zeros((n_rows, LANES), np.uint32)
    order = np.empty(n_rows, np.uint32)
    task = claim(counters)
    while task < tasks:
        v, start = task // bundles, task % bundles * LANES
        width = min(LANES, n_columns - start)
        for k in range(width):
            for m in range(n_rows):
                values[m, k] = work.ranked[v, start + k, m]
        for m in range(n_rows):
            for k in range(LANES):
                items[m, k] = m
        sort_lanes(values, items, network)
        for k in range(width):
            for m in range(n_rows):
                order[m] = items[m, k]
            work.tied_columns[v, start + k] = _set_rank(v, start + k, work, order)
        finish(counters)
        task = claim(counters)


@kernel
def rank_columns_by_radix(counters: Any, tasks: Any, work: Any, top: Any) -> None:
    """Rank columns; a task is one of them."""
    n_rows, n_columns = work.rows.shape[1:]
    order, words, spare, counts = _space(n_rows)
    task = claim(counters)
    while task < tasks:
        v, j = task // n_columns, task % n_columns
        for m in range(n_rows):
            order[m] = m
        order_by_value(work.ranked_bits[v, j], top, order, words, spare, counts)
        work.tied_columns[v, j] = _set_rank(v, j, work, order)
        finish(counters)
        task = claim(counters)


@kernel
def break_column_ties(counters: Any, tasks: Any, work: Any, base: Any, keys: Any) -> None:
    """Put equal values of a column in the random order of their rows; a task is a column."""
    n_rows, n_columns = work.rows.shape[1:]
    values = np.empty(n_rows, work.ranked.dtype)
    order, words, spare, counts = _space(n_rows)
    task = claim(counters)
    while task < tasks:
        v, j = task // n_columns, task % n_columns
        if work.tied_columns[v, j]:
            for m in range(n_rows):
                order[work.rank[v, j, m]] = m
            for r in range(n_rows):
                values[r] = work.ranked[v, j, order[r]]
            order_ties(values, order, (base + v) * n_rows, keys, words, spare, counts)
            _set_rank(v, j, work, order)
        finish(counters)
        task = claim(counters)


@kernel
def move_rows(counters: Any, tasks: Any, work: Any, again: Any) -> None:
    """Clip rows between the running bounds of their ranks; all that no bound touches keep bits.

    The two sums of a task are the squared distance, or -1 if some row has no point, and that of the
    plain clip at the natural ranks, which is a lower bound and stays if rows are moved `again`.
    """
    n_rows, n_columns = work.rows.shape[1:]
    blocks = -(-n_rows // BLOCK)
    low = np.empty((n_columns, LANES), work.ranked.dtype)
    high = np.empty((n_columns, LANES), work.ranked.dtype)
    moved, least = np.empty(LANES), np.empty(LANES)
    impossible = np.empty(LANES, np.uint8)
    task = claim(counters)
    while task < tasks:
        v, block = task // blocks, task % blocks
        rows, point, stuck = work.rows[v], work.point[v], work.stuck[v]
        ranked, rank, place = work.ranked[v], work.rank[v], work.place[v]
        distance, bound, feasible = 0.0, 0.0, True
        unit = work.unit[v]
        for start in range(block * BLOCK, min((block + 1) * BLOCK, n_rows), LANES):
            width = min(LANES, n_rows - start)
            busy = False
            for k in range(LANES):
                busy |= work.touched[v, start + k] != 0
                impossible[k] = 0
                moved[k] = 0
                least[k] = 0
                stuck[start + k] = 0
            if not busy:
                for m in range(start, start + width):
                    for j in range(n_columns):
                        point[m, j] = rows[m, j]
                continue
            for j in range(n_columns):
                lower, upper = work.lower[j], work.upper[j]
                for k in range(LANES):
                    r = rank[j, start + k]
                    low[j, k] = lower[r]
                    high[j, k] = upper[r]
            if not again:
                for j in range(n_columns):
                    for k in range(LANES):
                        value = ranked[j, start + k]
                        clipped = min(max(value, low[j, k]), high[j, k])
                        step = (np.float64(value) - clipped) * unit
                        least[k] += step * step
            for j in range(1, n_columns):
                back = n_columns - 1 - j
                for k in range(LANES):
                    low[j, k] = max(low[j, k], low[j - 1, k])
                    high[back, k] = min(high[back, k], high[back + 1, k])
            for j in range(n_columns):
                for k in range(LANES):
                    value = ranked[j, start + k]
                    impossible[k] |= low[j, k] > high[j, k]
                    clipped = min(max(value, low[j, k]), high[j, k])
                    step = (np.float64(value) - clipped) * unit
                    moved[k] += step * step
                    low[j, k] = clipped
            for k in range(width):
                stuck[start + k] = impossible[k]
                feasible &= impossible[k] == 0
                distance += moved[k]
                bound += least[k]
            for j in range(n_columns):
                for k in range(width):
                    point[start + k, place[j, start + k]] = low[j, k]
        sums = work.sums[v, block]
        sums[0] = distance if feasible else -1.0
        if not again:
            sums[1] = bound
        finish(counters)
        task = claim(counters)


@kernel
def reclip_rows(counters: Any, tasks: Any, work: Any, clipped: Any, weight: Any) -> None:
    """Clip at the present ranks and sort again; pull stuck rows to the middle by `weight`.

    For one matrix.
    """
    n_rows, n_columns = work.rows.shape[1:]
    rank, lower, upper = work.rank[0], work.lower, work.upper
    row = np.empty(n_columns, clipped.dtype)
    middle = np.empty(n_columns, clipped.dtype)
    weights = np.empty(2, clipped.dtype)  # in the dtype of the values, as on the generic path
    weights[0], weights[1] = 1 - weight, weight
    block = claim(counters)
    while block < tasks:
        for m in range(block * BLOCK, min((block + 1) * BLOCK, n_rows)):
            for j in range(n_columns):
                low, high = lower[j, rank[j, m]], upper[j, rank[j, m]]
                row[j] = min(max(clipped[j, m], low), high)
                middle[j] = (low + high) / 2
            _insertion_sort(row)
            if weight > 0 and work.stuck[0, m]:
                _insertion_sort(middle)
                for j in range(n_columns):
                    row[j] = weights[0] * row[j] + weights[1] * middle[j]
            for j in range(n_columns):
                clipped[j, m] = row[j]
        finish(counters)
        block = claim(counters)


@kernel
def _insertion_sort(values: Any) -> None:
    """Sort what is nearly sorted: clips by bounds that nearly increase."""
    for k in range(1, len(values)):
        value, place = values[k], k
        while place > 0 and value < values[place - 1]:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


@kernel
def rerank_columns(counters: Any, tasks: Any, work: Any, natural: Any, bits: Any, top: Any) -> None:
    """Rank columns of one matrix by other values, equal ones as they were at first.

    One row of `bits` serves all columns.
    """
    n_rows = work.rows.shape[1]
    order, words, spare, counts = _space(n_rows)
    j = claim(counters)
    while j < tasks:
        source = min(j, len(bits) - 1)
        for m in range(n_rows):
            order[natural[source, m]] = m
        order_by_value(bits[source], top, order, words, spare, counts)
        _set_rank(0, j, work, order)
        finish(counters)
        j = claim(counters)
