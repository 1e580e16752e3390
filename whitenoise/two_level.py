"""The nearest doubly sorted matrix within bounds: sort, assign ranks, clip, exchange.

Rows of a matrix are chunks. A matrix is in the set if, for every column of its row-sorted form,
some assignment of ranks to rows puts every entry between the bounds of its rank. For a *given*
assignment the nearest member is known in closed form, row by row: with R the row-sorted input,
``low`` the running maximum along the row of the assigned lower bounds and ``high`` the reverse
running minimum of the upper ones, it is ``clip(R, low, high)`` if ``low <= high`` everywhere, and
there is none otherwise. So the projection is a search over assignments:

1. Start from the ranks of R itself. If the plain clip comes out sorted, it attains the lower bound
   ``|S(x) - clip(S(x))|`` (S sorts doubly and is 1-Lipschitz) and is a projection.
2. If a row has ``low > high``, take the ranks of the clipped, re-sorted matrix, and so on. That
   alone can cycle, so after two passes the rows in trouble are also pulled towards the middle of
   their intervals, by a varying amount. One assignment always works, and is the last resort: the
   same ranks in every column, since the bounds increase along both axes.
3. Unless the lower bound shows the point to be within 0.1 % of optimal, exchange neighbouring ranks
   between two rows, in one column or on one side of it, while that brings the result nearer. Small
   matrices are also searched from the assignment of the last resort.

The paper's Proposition B.3 stops after the clip of step 1, which may leave the set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ._arrays import float64_norm
from ._kernels import find
from ._namespace import Array, Namespace, stop_gradient
from ._random import RandomSource, Stream

__all__ = ["Nearest", "doubly_sorted", "nearest_doubly_sorted"]

MAX_PASSES = 64
GOLDEN = 0.6180339887498949  # its multiples never repeat modulo 1
_CLOSE = 1e-3  # a point proved to be this near to optimal is not searched further
_SMALL = 256  # entries of a matrix for which a second search is cheap


class Nearest(NamedTuple):
    """A near point of a set, its distance, and a proved lower bound of the smallest distance."""

    point: Array
    distance: Array
    lower_bound: Array


class _Assignment(NamedTuple):
    """Row-sorted matrix with the rank that each entry was assigned, and the bounds of that rank."""

    values: Array
    rank: Array
    lower: Array
    upper: Array


def doubly_sorted(rows: Array, xp: Namespace) -> Array:
    """Sort within rows, then within columns (Eq. 81 of the paper)."""
    return xp.sort(xp.sort(rows, axis=-1), axis=-2)


def nearest_doubly_sorted(
    vectors: Array,
    lower: Array,
    upper: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int,
) -> Nearest:
    """Move matrices to near ones whose doubly sorted form lies between the bounds.

    Parameters
    ----------
    vectors
        Shape (..., M * D): the matrices, row by row.
    lower, upper
        Shape (M, D), nondecreasing along both axes, ``lower <= upper``.
    xp, source
        Namespace of the arrays, and where the order of tied values comes from.
    exchanges
        Most rounds of rank exchanges; each costs O(M D^2).

    Returns
    -------
    Nearest
        A feasible `point` of the shape of `vectors`; distances of the batch shape.
    """
    row_ties, column_ties = source.stream(), source.stream()
    fast = find("two_level", vectors)
    if fast:
        found = Nearest(*fast(vectors, lower, upper, row_ties, column_ties))
        if not (exchanges and bool(xp.any(_may_gain(found.distance, found.lower_bound)))):
            return found
    rows = xp.reshape(vectors, (*vectors.shape[:-1], *lower.shape))
    order = _row_order(stop_gradient(rows), row_ties, xp)
    values = xp.take_along_axis(rows, order, axis=-1)
    fixed = stop_gradient(values)
    start = _assign(fixed, _natural_rank(fixed, column_ties, xp), lower, upper, xp)
    feasible, (low, high) = _feasible_assignment(start, lower, upper, xp)

    def distance_to(low: Array, high: Array) -> Array:
        move = fixed - xp.clip(fixed, low, high)
        return float64_norm(xp.reshape(move, (*move.shape[:-2], -1)), xp)

    bound, distance = distance_to(start.lower, start.upper), distance_to(low, high)
    worthwhile = _may_gain(distance, bound)
    if exchanges and bool(xp.any(worthwhile)):
        for candidate in _search_starts(feasible, lower, upper, xp):
            ends = _running(_exchange(candidate, exchanges, xp), xp)
            nearer = worthwhile & (distance_to(*ends) < distance)
            low, high = (
                xp.where(nearer[..., None, None], new, old)
                for new, old in zip(ends, (low, high), strict=True)
            )
            distance = distance_to(low, high)
    point = xp.take_along_axis(xp.clip(values, low, high), xp.argsort(order, axis=-1), axis=-1)
    # The bound is proved, so a distance below it is rounding.
    return Nearest(xp.reshape(point, vectors.shape), xp.maximum(distance, bound), bound)


def _may_gain(distance: Array, bound: Array) -> Array:
    return bound < distance / (1 + _CLOSE)


def _row_order(rows: Array, ties: Stream, xp: Namespace) -> Array:
    """Order that sorts each row, equal values in random order."""
    order = xp.argsort(rows, axis=-1)
    if not _has_ties(xp.take_along_axis(rows, order, axis=-1), xp):
        return order
    shuffle = xp.argsort(ties.keys(tuple(rows.shape)), axis=-1)
    order = xp.argsort(xp.take_along_axis(rows, shuffle, axis=-1), axis=-1, stable=True)
    return xp.take_along_axis(shuffle, order, axis=-1)


def _has_ties(increasing: Array, xp: Namespace) -> bool:
    return bool(xp.any(increasing[..., 1:] == increasing[..., :-1]))


def _natural_rank(values: Array, ties: Stream, xp: Namespace) -> Array:
    """Rank of each entry within its column.

    Rows with equal values are ranked in one random order common to all columns: independent orders
    would contradict each other along a row and move the result away from the input.
    """
    columns = xp.sort(values, axis=-2)
    if bool(xp.any(columns[..., 1:, :] == columns[..., :-1, :])):
        return _column_rank(values, ties.keys((*values.shape[:-1], 1)), xp)
    return xp.argsort(xp.argsort(values, axis=-2), axis=-2)


def _column_rank(values: Array, ties: Array, xp: Namespace) -> Array:
    """Rank of each entry within its column, equal ones in the order of `ties`."""
    first = xp.broadcast_to(xp.argsort(ties, axis=-2), values.shape)
    order = xp.argsort(xp.take_along_axis(values, first, axis=-2), axis=-2, stable=True)
    return xp.argsort(xp.take_along_axis(first, order, axis=-2), axis=-2)


def _assign(values: Array, rank: Array, lower: Array, upper: Array, xp: Namespace) -> _Assignment:
    assigned_lower, assigned_upper = (
        xp.take_along_axis(xp.broadcast_to(end, values.shape), rank, axis=-2)
        for end in (lower, upper)
    )
    return _Assignment(values, rank, assigned_lower, assigned_upper)


def _feasible_assignment(
    start: _Assignment, lower: Array, upper: Array, xp: Namespace
) -> tuple[_Assignment, tuple[Array, Array]]:
    """Change ranks until every row has a nondecreasing point between its bounds; return both."""
    current, clipped = start, start.values
    low, high = _running(current, xp)
    for attempt in range(MAX_PASSES + 1):
        stuck_row = xp.any(low > high, axis=-1, keepdims=True)
        stuck = xp.any(stuck_row, axis=-2, keepdims=True)
        if not bool(xp.any(stuck)):
            break
        if attempt < MAX_PASSES:
            clipped = xp.sort(xp.clip(clipped, current.lower, current.upper), axis=-1)
            if attempt >= 2:
                weight = attempt * GOLDEN % 1
                middle = xp.sort((current.lower + current.upper) / 2, axis=-1)
                pulled = (1 - weight) * clipped + weight * middle
                clipped = xp.where(stuck_row, pulled, clipped)
            rank = _column_rank(clipped, start.rank, xp)
        else:
            rank = _common_rank(start, xp)
        current = _assign(start.values, xp.where(stuck, rank, current.rank), lower, upper, xp)
        low, high = _running(current, xp)
    return current, (low, high)


def _common_rank(assignment: _Assignment, xp: Namespace) -> Array:
    """Rank rows by their mean, the same in every column: always feasible."""
    size = assignment.values.shape[-1]
    mean = xp.zeros_like(assignment.values[..., :1])
    for column in range(size):  # one after the other: the same rounding on every path
        mean = mean + assignment.values[..., column : column + 1] / size
    rank = _column_rank(mean, assignment.rank[..., :1], xp)
    return xp.broadcast_to(rank, assignment.values.shape)


def _search_starts(
    feasible: _Assignment, lower: Array, upper: Array, xp: Namespace
) -> Iterator[_Assignment]:
    """Assignments from which to search; a second one pays only for small matrices."""
    yield feasible
    if feasible.values.shape[-2] * feasible.values.shape[-1] <= _SMALL:
        yield _assign(feasible.values, _common_rank(feasible, xp), lower, upper, xp)


def _running(assignment: _Assignment, xp: Namespace) -> tuple[Array, Array]:
    """Tightest bounds of a nondecreasing row between the assigned bounds."""
    low = _running_max(assignment.lower, xp)
    high = xp.flip(-_running_max(xp.flip(-assignment.upper, axis=-1), xp), axis=-1)
    return low, high


def _running_max(x: Array, xp: Namespace) -> Array:
    """Running maximum along the last axis; the standard has none, so in log2(D) passes."""
    shift = 1
    while shift < x.shape[-1]:
        later = xp.maximum(x[..., shift:], x[..., :-shift])
        x = xp.concat([x[..., :shift], later], axis=-1)
        shift *= 2
    return x


def _exchange(assignment: _Assignment, rounds: int, xp: Namespace) -> _Assignment:
    """Swap ranks that neighbour in a column wherever that lowers the cost of the two rows.

    The rounds take turns: the two rows swap their ranks in that column alone, in all columns up to
    it, in all from it on. The wider swaps repair a row that is assigned high on one side and low on
    the other.
    """
    # Costs are compared, so their scale is free: divided by the largest move, they cannot overflow.
    low, high = _running(assignment, xp)
    move = xp.abs(assignment.values - xp.clip(assignment.values, low, high))
    scale = xp.max(move, axis=(-2, -1), keepdims=True)
    scale = xp.where(scale > 0, scale, xp.ones_like(scale))
    cost = _row_cost(assignment, scale, xp)
    n_rows, n_columns = assignment.values.shape[-2:]
    rows_now = xp.arange(n_rows, device=cost.device)[:, None]  # rows are reordered, then restored
    rows_now = xp.broadcast_to(rows_now, cost.shape)
    quiet = 0
    for turn in range(rounds):
        changed = False
        for column in range(n_columns):
            span = ((column, column + 1), (0, column + 1), (column, n_columns))[turn % 3]
            by_rank = xp.argsort(assignment.rank[..., column : column + 1], axis=-2)
            assignment = _Assignment(*(_take_rows(part, by_rank, xp) for part in assignment))
            cost, rows_now = (_take_rows(part, by_rank, xp) for part in (cost, rows_now))
            for first in (0, 1):  # pairs of ranks (0, 1), (2, 3), ... then (1, 2), (3, 4), ...
                rows = slice(first, first + (n_rows - first) // 2 * 2)
                if rows.stop > first:
                    tried = _swapped(assignment, rows, span, xp)
                    tried_cost = _row_cost(tried, scale, xp)
                    better = _gains(cost[..., rows, :], tried_cost, xp)
                    if bool(xp.any(better)):
                        changed = True
                        assignment = _Assignment(
                            *(
                                _replace_rows(old, rows, better, new, xp)
                                for old, new in zip(assignment, tried, strict=True)
                            )
                        )
                        cost = _replace_rows(cost, rows, better, tried_cost, xp)
        quiet = 0 if changed else quiet + 1
        if quiet == 3:
            break
    restored = xp.argsort(rows_now, axis=-2)
    return _Assignment(*(_take_rows(part, restored, xp) for part in assignment))


def _swapped(
    assignment: _Assignment, rows: slice, span: tuple[int, int], xp: Namespace
) -> _Assignment:
    """The given rows, the two of each pair having exchanged their ranks in a span of columns."""
    part = _Assignment(*(array[..., rows, :] for array in assignment))
    return part._replace(
        lower=_swap_columns(part.lower, span, xp),
        upper=_swap_columns(part.upper, span, xp),
        rank=_swap_columns(part.rank, span, xp),
    )


def _gains(before: Array, after: Array, xp: Namespace) -> Array:
    """Whether each pair of rows costs less after, as a flag for each of its rows."""
    before, after = (cost[..., 0::2, :] + cost[..., 1::2, :] for cost in (before, after))
    # A gain must exceed rounding, or two equal arrangements could alternate.
    margin = 1 - 64 * float(xp.finfo(before.dtype).eps)
    return xp.repeat(after < before * margin, 2, axis=-2)


def _replace_rows(old: Array, rows: slice, where: Array, new: Array, xp: Namespace) -> Array:
    replaced = xp.where(where, new, old[..., rows, :])
    return xp.concat([old[..., : rows.start, :], replaced, old[..., rows.stop :, :]], axis=-2)


def _swap_columns(x: Array, span: tuple[int, int], xp: Namespace) -> Array:
    start, stop = span
    pairs = xp.reshape(x, (*x.shape[:-2], -1, 2, x.shape[-1]))
    swapped = xp.reshape(xp.flip(pairs, axis=-2), x.shape)
    parts = [x[..., :start], swapped[..., start:stop], x[..., stop:]]
    return xp.concat(parts, axis=-1)


def _row_cost(assignment: _Assignment, scale: Array, xp: Namespace) -> Array:
    """Squared distance of each row to its bounds, infinite if they contradict each other."""
    low, high = _running(assignment, xp)
    possible = xp.all(low <= high, axis=-1, keepdims=True)
    move = (assignment.values - xp.clip(assignment.values, low, xp.maximum(low, high))) / scale
    cost = xp.sum(move * move, axis=-1, keepdims=True)
    return xp.where(possible, cost, xp.full_like(cost, float("inf")))


def _take_rows(x: Array, row: Array, xp: Namespace) -> Array:
    return xp.take_along_axis(x, xp.broadcast_to(row, x.shape), axis=-2)
