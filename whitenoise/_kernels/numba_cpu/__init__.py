"""Kernels for NumPy arrays, and Torch tensors on the CPU through the same memory, with Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._namespace import Array, from_host, on_host
from ..._random import Stream
from .doubly_sorted import nearest_doubly_sorted

__all__ = ["two_level"]


def two_level(
    vectors: Array, lower: Array, upper: Array, row_ties: Stream, column_ties: Stream
) -> tuple[Array, Array, Array]:
    """See `whitenoise._kernels`."""
    rows = _contiguous(vectors).reshape(math.prod(vectors.shape[:-1]), *lower.shape)
    results = nearest_doubly_sorted(
        rows,
        _contiguous(lower.T),
        _contiguous(upper.T),
        (row_ties.first, row_ties.second),
        (column_ties.first, column_ties.second),
    )
    point, distance, bound = (from_host(result, vectors) for result in results)
    batch = tuple(vectors.shape[:-1])
    return point.reshape(vectors.shape), distance.reshape(batch), bound.reshape(batch)


def _contiguous(x: Array) -> np.ndarray[Any, Any]:
    """Return `x` as a plain writable array in row-major order: one kind for the compiler."""
    return np.require(on_host(x), requirements=["C", "A", "W"])
