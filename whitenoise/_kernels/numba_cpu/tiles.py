"""Mean and energy of tiles, sixteen tiles at a time; the mathematics is in `sets.Tiles.split`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .sorting import LANES, OPTIONS
from .threads import claim, finish, run

__all__ = ["move_tiles", "tile_fields"]

Floats = np.ndarray[Any, Any]

_GROUPS = 32  # of lanes, to a task


def tile_fields(tiles: Floats) -> tuple[Floats, Floats]:
    """``sqrt(b)`` times the mean and the norm of the centred part; tiles (T, b)."""
    size, length = tiles.shape
    z, radius = np.empty((2, size), tiles.dtype)
    root = tiles.dtype.type(length**0.5)
    run([(_measure, _tasks(size), (tiles, z, radius, root))], tiles.size)
    return z, radius


def move_tiles(
    tiles: Floats,
    fields: tuple[Floats, Floats],
    typical: tuple[Floats, Floats],
    keep_mean: bool,
) -> Floats:
    """Tiles with other statistics; constant ones become constant."""
    point = np.empty_like(tiles)
    root = tiles.dtype.type(tiles.shape[1] ** 0.5)
    arguments = (tiles, *fields, *typical, root, keep_mean, point)
    run([(_move, _tasks(len(tiles)), arguments)], tiles.size)
    return point


def _tasks(size: int) -> int:
    return -(-size // (LANES * _GROUPS))


@njit(**OPTIONS)
def _total(terms: Any, sums: Any) -> None:
    """Sum the rows of `terms`, (b, LANES), in the order of `_arrays.total`; overwrites `terms`."""
    size = terms.shape[0]
    while size > 1:
        half = size // 2
        for j in range(half):
            for k in range(LANES):
                terms[j, k] += terms[half + j, k]
        if size % 2:
            for k in range(LANES):
                terms[half, k] = terms[size - 1, k]
        size -= half
    for k in range(LANES):
        sums[k] = terms[0, k]


@njit(**OPTIONS)
def _scale_to_one(values: Any, scale: Any) -> None:
    """Divide each lane by its largest modulus, if that is not zero."""
    for k in range(LANES):
        scale[k] = 0
    for j in range(values.shape[0]):
        for k in range(LANES):
            scale[k] = max(scale[k], abs(values[j, k]))
    for k in range(LANES):
        if scale[k] == 0:
            scale[k] = 1
    for j in range(values.shape[0]):
        for k in range(LANES):
            values[j, k] /= scale[k]


@njit(**OPTIONS)
def _centre(values: Any, terms: Any, length: Any, mean: Any) -> None:
    """Subtract the mean of each lane."""
    for j in range(values.shape[0]):
        for k in range(LANES):
            terms[j, k] = values[j, k]
    _total(terms, mean)
    for k in range(LANES):
        mean[k] /= length
    for j in range(values.shape[0]):
        for k in range(LANES):
            values[j, k] -= mean[k]


@njit(**OPTIONS)
def _split(tiles: Any, start: Any, values: Any, terms: Any, mean: Any, radius: Any) -> None:
    """Split `LANES` tiles into mean, norm of the centred part, and, in `values`, its direction."""
    size, length = tiles.shape
    scale, rest, norm = np.empty((3, LANES), values.dtype)
    varies = np.zeros(LANES, np.uint8)
    for k in range(LANES):
        tile = min(start + k, size - 1)
        for j in range(length):
            values[j, k] = tiles[tile, j]
    _scale_to_one(values, scale)
    for j in range(1, length):
        for k in range(LANES):
            varies[k] |= values[j, k] != values[0, k]
    divisor = np.empty(1, values.dtype)  # in the dtype of the values, as on the generic path
    divisor[0] = length
    _centre(values, terms, divisor[0], mean)
    _centre(values, terms, divisor[0], rest)
    for k in range(LANES):
        mean[k] = (mean[k] + rest[k]) * scale[k]
    for j in range(length):
        for k in range(LANES):
            terms[j, k] = values[j, k]
    _scale_to_one(terms, norm)
    for j in range(length):
        for k in range(LANES):
            terms[j, k] *= terms[j, k]
    _total(terms, rest)
    for k in range(LANES):
        norm[k] *= np.sqrt(rest[k])
        if not varies[k]:
            norm[k] = 1
        radius[k] = norm[k] * scale[k] if varies[k] else 0
    for j in range(length):
        for k in range(LANES):
            values[j, k] = values[j, k] / norm[k] if varies[k] else 0


@njit(**OPTIONS)
def _measure(counters: Any, tasks: Any, tiles: Any, z: Any, radius: Any, root: Any) -> None:
    size, length = tiles.shape
    values, terms = np.empty((2, length, LANES), tiles.dtype)
    means, norms = np.empty((2, LANES), tiles.dtype)
    task = claim(counters)
    while task < tasks:
        first = task * LANES * _GROUPS
        for start in range(first, min(first + LANES * _GROUPS, size), LANES):
            _split(tiles, start, values, terms, means, norms)
            for k in range(min(LANES, size - start)):
                z[start + k] = means[k] * root
                radius[start + k] = norms[k]
        finish(counters)
        task = claim(counters)


@njit(**OPTIONS)
def _move(
    counters: Any,
    tasks: Any,
    tiles: Any,
    z: Any,
    radius: Any,
    new_z: Any,
    new_radius: Any,
    root: Any,
    keep_mean: Any,
    point: Any,
) -> None:
    size, length = tiles.shape
    values, terms = np.empty((2, length, LANES), tiles.dtype)
    means, norms = np.empty((2, LANES), tiles.dtype)
    task = claim(counters)
    while task < tasks:
        first = task * LANES * _GROUPS
        for start in range(first, min(first + LANES * _GROUPS, size), LANES):
            width = min(LANES, size - start)
            busy = False
            for t in range(start, start + width):
                busy |= new_z[t] != z[t] or new_radius[t] != radius[t]
            if busy:
                _split(tiles, start, values, terms, means, norms)
            for k in range(width):
                t = start + k
                if new_z[t] == z[t] and new_radius[t] == radius[t]:
                    for j in range(length):
                        point[t, j] = tiles[t, j]
                else:
                    mean = means[k] if keep_mean else new_z[t] / root
                    for j in range(length):
                        point[t, j] = mean + new_radius[t] * values[j, k]
        finish(counters)
        task = claim(counters)
