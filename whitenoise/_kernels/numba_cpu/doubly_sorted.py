"""The nearest doubly sorted matrix within bounds: the algorithm of `whitenoise.two_level`, fused.

Rows are sorted, columns are ranked, and the rows that some bound touches are moved; all others keep
their bits. Equal values, and rows that are left without a point, are rare and treated afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...two_level import GOLDEN, MAX_PASSES
from .lanes import LANES
from .phases import (
    BLOCK,
    FEW,
    Work,
    break_column_ties,
    break_row_ties,
    move_rows,
    rank_columns_by_network,
    rank_columns_by_radix,
    reclip_rows,
    rerank_columns,
    sort_rows_by_network,
    sort_rows_by_radix,
)
from .sorting import sorting_network
from .threads import Phase, run

__all__ = ["make_work", "nearest_doubly_sorted"]

Floats = np.ndarray[Any, Any]
Keys = tuple[int, int]

_GROUP = 2**18  # entries of the matrices worked on together: what caches hold


def nearest_doubly_sorted(
    rows: Floats, lower: Floats, upper: Floats, row_keys: Keys, column_keys: Keys
) -> tuple[Floats, Floats, Floats]:
    """Nearest known matrices; rows (B, M, D), bounds (D, M); distances (B,)."""
    point = np.empty_like(rows)
    distances = np.empty((len(rows), 2))
    group = max(1, _GROUP // rows[0].size)
    for first in range(0, len(rows), group):
        part = slice(first, first + group)
        work = make_work(rows[part], point[part], lower, upper)
        tiles, columns = work.sums[..., 0].size, work.tied_columns.size
        run(_sort_and_rank(work), work.rows.size)
        rest: list[Phase] = []
        if work.tied_rows.any():
            rest.append((break_row_ties, tiles, (work, first, row_keys)))
        if work.tied_columns.any():
            rest.append((break_column_ties, columns, (work, first, column_keys)))
        rest.append((move_rows, tiles, (work, False)))
        run(rest, work.rows.size)
        for v in np.flatnonzero(work.sums[:, :, 0].min(axis=1) < 0):
            _repair(work, int(v))
        distances[part] = np.sqrt(work.sums.sum(axis=1)) / work.unit[:, None]
    distance, bound = distances.T
    return point, np.maximum(distance, bound), bound


def make_work(rows: Floats, point: Floats, lower: Floats, upper: Floats) -> Work:
    """Make the arrays for a group of matrices."""
    size, n_rows, n_columns = rows.shape
    unsigned = f"u{rows.itemsize}"
    padded = -(-n_rows // LANES) * LANES
    if padded % 256 == 0:  # columns at a distance of a power of two would share cache lines
        padded += LANES
    transposed = (size, n_columns, padded)
    ranked = np.empty(transposed, rows.dtype)
    return Work(
        rows=rows,
        row_bits=rows.view(unsigned),
        point=point,
        ranked=ranked,
        ranked_bits=ranked.view(unsigned),
        # In two bytes, but for chunks so long that the kernels are compiled for them then.
        place=np.empty(transposed, np.uint16 if n_columns <= 2**16 else np.uint32),
        rank=np.zeros(transposed, np.uint32),
        tied_rows=np.empty((size, padded), np.uint8),
        tied_columns=np.empty((size, n_columns), np.uint8),
        touched=np.zeros((size, padded), np.uint8),
        stuck=np.empty((size, padded), np.uint8),
        unit=_unit(rows),
        sums=np.empty((size, -(-n_rows // BLOCK), 2)),
        lower=lower,
        upper=upper,
    )


def _unit(rows: Floats) -> Floats:
    """Factor for each matrix that keeps the squares of its entries from overflowing."""
    if rows.itemsize < 8:  # the square of a float32 is far from that
        return np.ones(len(rows))
    unit: Floats = 1 / np.maximum(np.abs(rows).max(axis=(1, 2)), 1.0)
    return unit


def _sort_and_rank(work: Work) -> list[Phase]:
    size, n_rows, n_columns = work.rows.shape
    tiles, columns = work.sums[..., 0].size, work.tied_columns.size
    phases: list[Phase] = []
    if n_columns <= FEW:
        phases.append((sort_rows_by_network, tiles, (work, sorting_network(n_columns))))
    else:
        phases.append((sort_rows_by_radix, tiles, (work, _top(work))))
    if n_rows <= FEW:
        bundles = size * -(-n_columns // LANES)
        phases.append((rank_columns_by_network, bundles, (work, sorting_network(n_rows))))
    else:
        phases.append((rank_columns_by_radix, columns, (work, _top(work))))
    return phases


def _top(work: Work) -> Any:
    """Sign bit of the numbers."""
    return work.row_bits.dtype.type(1 << (8 * work.rows.itemsize - 1))


def _repair(group: Work, v: int) -> None:
    """Change the ranks of matrix v until every row has a point, see `whitenoise.two_level`."""
    of_group = {"lower": group.lower, "upper": group.upper}
    work = Work(**{n: of_group.get(n, a[v : v + 1]) for n, a in group._asdict().items()})
    natural, values = work.rank[0].copy(), work.ranked[0].copy()
    tiles, n_columns = work.sums.shape[1], len(values)
    for attempt in range(MAX_PASSES + 1):
        if work.sums[0, :, 0].min() >= 0:
            break
        phases: list[Phase] = []
        if attempt < MAX_PASSES:
            weight = attempt * GOLDEN % 1 if attempt >= 2 else 0.0
            phases.append((reclip_rows, tiles, (work, values, weight)))
        else:
            values = _row_means(work.ranked[0, :, : work.rows.shape[1]])
        bits = values.view(work.row_bits.dtype)
        phases.append((rerank_columns, n_columns, (work, natural, bits, _top(work))))
        phases.append((move_rows, tiles, (work, True)))
        run(phases, values.size)


def _row_means(ranked: Floats) -> Floats:
    mean = np.zeros_like(ranked[:1])
    for column in ranked:  # one after the other: the same rounding on every path
        mean = mean + column / len(ranked)
    return mean
