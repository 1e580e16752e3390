"""Slow, obvious answers that the library is compared with. Nothing here imports it."""

from __future__ import annotations

import itertools

import numpy as np


def doubly_sorted(matrix):
    """Sort rows, then columns."""
    return np.sort(np.sort(matrix, axis=1), axis=0)


def nearest_by_enumeration(matrix, lower, upper):
    """Distance from a small matrix to the two-level set, over every column assignment.

    For one permutation of ranks per column, the nearest member of each row is a clip between the
    running maximum of its lower bounds and the reverse running minimum of its upper ones.
    """
    rows = np.sort(matrix, axis=1)
    n_rows, n_columns = rows.shape
    best = np.inf
    orders = [list(p) for p in itertools.permutations(range(n_rows))]
    for choice in itertools.product(orders, repeat=n_columns):
        low = np.stack([lower[p, j] for j, p in enumerate(choice)], axis=1)
        high = np.stack([upper[p, j] for j, p in enumerate(choice)], axis=1)
        low = np.maximum.accumulate(low, axis=1)
        high = np.minimum.accumulate(high[:, ::-1], axis=1)[:, ::-1]
        if (low <= high).all():
            best = min(best, float(np.linalg.norm(rows - np.clip(rows, low, high))))
    return best


def one_pass(matrix, lower, upper):
    """The paper's Proposition B.3: one sort, clip, unsort."""
    order = np.argsort(matrix, axis=1)
    rows = np.take_along_axis(matrix, order, axis=1)
    rank = np.argsort(np.argsort(rows, axis=0), axis=0)
    clipped = np.clip(
        rows, np.take_along_axis(lower, rank, axis=0), np.take_along_axis(upper, rank, axis=0)
    )
    result = np.empty_like(matrix)
    np.put_along_axis(result, order, clipped, axis=1)
    return result


def repeated_passes(matrix, lower, upper, limit=100):
    """Repeat `one_pass` until the result is in the set; None if it never is."""
    for _ in range(limit):
        matrix = one_pass(matrix, lower, upper)
        inside = doubly_sorted(matrix)
        if ((inside >= lower) & (inside <= upper)).all():
            return matrix
    return None
