"""Mean and energy of tiles, sixteen tiles at a time; the mathematics is in `sets.Tiles.split`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import kernel
from .lanes import LANES, add, divide, larger, larger_modulus, multiply, smaller, subtract
from .threads import claim, finish, run

__all__ = ["measure", "move", "move_tiles", "tile_fields"]

Floats = np.ndarray[Any, Any]

_GROUPS = 32  # of lanes, to a task


def tile_fields(tiles: Floats) -> tuple[Floats, Floats]:
    """``sqrt(b)`` times the mean and the norm of the centred part; tiles (T, b)."""
    size, length = tiles.shape
    z, radius = np.empty((2, size), tiles.dtype)
    root = tiles.dtype.type(length**0.5)
    run([(measure, _tasks(size), (tiles, z, radius, root))], tiles.size)
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
    run([(move, _tasks(len(tiles)), arguments)], tiles.size)
    return point


def _tasks(size: int) -> int:
    return -(-size // (LANES * _GROUPS))


# Rows of the work space of one group: statistics of its `LANES` tiles.
_SCALE, _MEAN, _REST, _NORM, _LOW, _HIGH, _LENGTH, _ROWS = range(8)


@kernel
def _total(terms: Any, space: Any, row: Any) -> None:
    """Sum the rows of `terms`, (b, LANES), in the order of `_arrays.total`; overwrites `terms`."""
    size = len(terms)
    while size > 1:
        half = size // 2
        for j in range(half):
            add(terms, j, terms, j, terms, half + j)
        if size % 2:
            for k in range(LANES):
                terms[half, k] = terms[size - 1, k]
        size -= half
    for k in range(LANES):
        space[row, k] = terms[0, k]


@kernel
def _scale_to_one(source: Any, values: Any, space: Any, row: Any) -> None:
    """Divide each lane by its largest modulus, if that is not zero."""
    for k in range(LANES):
        space[row, k] = 0
    for j in range(len(source)):
        larger_modulus(space, row, space, row, source, j)
    for k in range(LANES):
        if space[row, k] == 0:
            space[row, k] = 1
    for j in range(len(source)):
        divide(values, j, source, j, space, row)


@kernel
def _centre(values: Any, terms: Any, space: Any, row: Any) -> None:
    """Subtract the mean of each lane."""
    for j in range(len(values)):
        for k in range(LANES):
            terms[j, k] = values[j, k]
    _total(terms, space, row)
    divide(space, row, space, row, space, _LENGTH)
    for j in range(len(values)):
        subtract(values, j, values, j, space, row)


@kernel
def _split(tiles: Any, start: Any, values: Any, terms: Any, space: Any) -> None:
    """Split `LANES` tiles into mean, norm of the centred part, and, in `values`, its direction."""
    size, length = tiles.shape
    for k in range(LANES):
        tile = min(start + k, size - 1)  # lanes to spare repeat the last tile
        for j in range(length):
            values[j, k] = tiles[tile, j]
        space[_LENGTH, k] = length
    _scale_to_one(values, values, space, _SCALE)
    for k in range(LANES):
        space[_LOW, k] = values[0, k]
        space[_HIGH, k] = values[0, k]
    for j in range(1, length):
        smaller(space, _LOW, space, _LOW, values, j)
        larger(space, _HIGH, space, _HIGH, values, j)
    _centre(values, terms, space, _MEAN)
    _centre(values, terms, space, _REST)
    add(space, _MEAN, space, _MEAN, space, _REST)
    multiply(space, _MEAN, space, _MEAN, space, _SCALE)
    _scale_to_one(values, terms, space, _NORM)
    for j in range(length):
        multiply(terms, j, terms, j, terms, j)
    _total(terms, space, _REST)
    for k in range(LANES):
        space[_NORM, k] *= np.sqrt(space[_REST, k])
    constant = False
    for k in range(LANES):
        if space[_LOW, k] == space[_HIGH, k]:
            constant = True
            space[_NORM, k] = 1
    for j in range(length):
        divide(values, j, values, j, space, _NORM)
    multiply(space, _NORM, space, _NORM, space, _SCALE)
    if constant:
        for k in range(LANES):
            if space[_LOW, k] == space[_HIGH, k]:
                space[_NORM, k] = 0
                for j in range(length):
                    values[j, k] = 0


@kernel
def measure(counters: Any, tasks: Any, tiles: Any, z: Any, radius: Any, root: Any) -> None:
    """Measure groups of tiles."""
    size, length = tiles.shape
    values, terms = np.empty((2, length, LANES), tiles.dtype)
    space = np.empty((_ROWS, LANES), tiles.dtype)
    task = claim(counters)
    while task < tasks:
        first = task * LANES * _GROUPS
        for start in range(first, min(first + LANES * _GROUPS, size), LANES):
            _split(tiles, start, values, terms, space)
            for k in range(min(LANES, size - start)):
                z[start + k] = space[_MEAN, k] * root
                radius[start + k] = space[_NORM, k]
        finish(counters)
        task = claim(counters)


@kernel
def move(
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
    """Move groups of tiles."""
    size, length = tiles.shape
    values, terms = np.empty((2, length, LANES), tiles.dtype)
    space = np.empty((_ROWS, LANES), tiles.dtype)
    task = claim(counters)
    while task < tasks:
        first = task * LANES * _GROUPS
        for start in range(first, min(first + LANES * _GROUPS, size), LANES):
            width = min(LANES, size - start)
            busy = False
            for t in range(start, start + width):
                busy |= new_z[t] != z[t] or new_radius[t] != radius[t]
            if busy:
                _split(tiles, start, values, terms, space)
            for k in range(width):
                t = start + k
                if new_z[t] == z[t] and new_radius[t] == radius[t]:
                    for j in range(length):
                        point[t, j] = tiles[t, j]
                else:
                    mean = space[_MEAN, k] if keep_mean else new_z[t] / root
                    for j in range(length):
                        point[t, j] = mean + new_radius[t] * values[j, k]
        finish(counters)
        task = claim(counters)
