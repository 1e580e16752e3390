"""Kernels for NumPy arrays, and Torch tensors on the CPU through the same memory, with Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._arrays import centred_direction
from ..._namespace import Array, array_namespace, dtype_name, from_host, on_host
from ..._random import Stream
from . import compiling, tiles, transforms
from .doubly_sorted import nearest_doubly_sorted

__all__ = [
    "butterfly",
    "cosine",
    "is_ready",
    "move_tiles",
    "real_fourier",
    "tile_fields",
    "two_level",
]


def is_ready(operation: str, x: Array) -> bool:
    """Whether the kernel is compiled; transforms of SciPy need not be."""
    return operation in ("cosine", "real_fourier") or compiling.is_ready(_working_dtype(x))


def compile_kernels(x: Array) -> None:
    """See `whitenoise._kernels`."""
    compiling.is_ready(_working_dtype(x), patience=None)


def _working_dtype(x: Array) -> np.dtype[Any]:
    return np.dtype("float64" if dtype_name(x) == "float64" else "float32")


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


def tile_fields(vectors: Array, tile_size: int) -> tuple[Array, Array]:
    """See `whitenoise._kernels`."""
    shape = (*vectors.shape[:-1], vectors.shape[-1] // tile_size)
    z, radius = (
        from_host(field, vectors).reshape(shape)
        for field in tiles.tile_fields(_contiguous(vectors).reshape(-1, tile_size))
    )
    return z, radius


def move_tiles(
    vectors: Array,
    tile_size: int,
    fields: tuple[Array, Array],
    typical: tuple[Array, Array],
    ties: Stream,
) -> Array:
    """See `whitenoise._kernels`."""
    before = _contiguous(fields[0]).reshape(-1), _contiguous(fields[1]).reshape(-1)
    after = _contiguous(typical[0]).reshape(-1), _contiguous(typical[1]).reshape(-1)
    keep_mean, keep_radius = (new is old for new, old in zip(typical, fields, strict=True))
    rows = _contiguous(vectors).reshape(-1, tile_size)
    point = tiles.move_tiles(rows, before, after, keep_mean)
    constant = np.flatnonzero(before[1] == 0)
    if constant.size and not keep_radius:
        noise = _constant_directions(ties, constant, tile_size)
        mean = rows[constant, :1] if keep_mean else after[0][constant, None] / tile_size**0.5
        point[constant] = mean + after[1][constant, None] * noise
    return _restored(point, vectors)


def _constant_directions(ties: Stream, tiles: Any, tile_size: int) -> np.ndarray[Any, Any]:
    """Directions for some tiles, computed by the caller's backend: the bits of the generic path."""
    xp = array_namespace(ties.like)
    index = xp.asarray(tiles[:, None] * tile_size + np.arange(tile_size))
    return on_host(centred_direction(ties.normal_at(index), xp))


def butterfly(x: Array, repeats: int, tile_size: int | None, *, adjoint: bool) -> Array:
    """See `whitenoise._kernels`."""
    rows = _rows(x)
    size = rows.shape[1]
    tile = tile_size or size
    whole = size - size % tile
    if whole == size:
        return _restored(transforms.butterfly(rows.reshape(-1, tile), repeats, adjoint), x)
    parts = [rows[:, :whole].reshape(-1, min(tile, max(whole, 1))), rows[:, whole:]]
    mixed = [transforms.butterfly(np.ascontiguousarray(p), repeats, adjoint) for p in parts]
    return _restored(np.concatenate([m.reshape(len(rows), -1) for m in mixed], axis=1), x)


def real_fourier(x: Array, *, adjoint: bool) -> Array:
    """See `whitenoise._kernels`."""
    return _restored(transforms.real_fourier(_rows(x), adjoint), x)


def cosine(x: Array, *, adjoint: bool) -> Array:
    """See `whitenoise._kernels`."""
    return _restored(transforms.cosine(_rows(x), adjoint), x)


def _rows(x: Array) -> np.ndarray[Any, Any]:
    return _contiguous(x).reshape(-1, x.shape[-1])


def _restored(rows: np.ndarray[Any, Any], like: Array) -> Array:
    return from_host(rows, like).reshape(like.shape)


def _contiguous(x: Array) -> np.ndarray[Any, Any]:
    """Return `x` as a plain writable array in row-major order: one kind for the compiler."""
    host = on_host(x)
    return host if host.flags.carray else np.array(host, order="C")
