"""Sums and differences of neighbours: Hadamard-style mixing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .._arrays import as_integer
from .._kernels import find
from .._namespace import Array, Namespace
from .base import Isometry

__all__ = [
    "Butterfly",
]


@dataclass(frozen=True)
class Butterfly(Isometry):
    """Repeated sums and differences of neighbours: a Hadamard transform when repeated enough.

    One step maps a vector ``(a_1, b_1, a_2, b_2, ...)`` to all ``(a + b)/sqrt(2)`` followed by all
    ``(a - b)/sqrt(2)``; an odd entry out stays last. ``log2(N)`` steps are the Hadamard transform
    of a power of two N.

    Parameters
    ----------
    repeats
        Number of steps, at least 0.
    tile_size
        Cut the vector into tiles of this length, each transformed on its own, the shorter
        remainder as well; None treats the vector as one tile.

    References
    ----------
    Eq. 113 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> Butterfly(1).forward(np.array([3.0, 1.0, 0.0, 4.0, 5.0])).round(3).tolist()
    [2.828, 2.828, 1.414, -2.828, 5.0]
    """

    repeats: int
    tile_size: int | None = None

    def __post_init__(self) -> None:
        as_integer("repeats", self.repeats, least=0)
        if self.tile_size is not None:
            as_integer("tile_size", self.tile_size, least=1)

    def apply(self, x: Array, xp: Namespace) -> Array:
        fast = find("butterfly", x)
        if fast:
            return fast(x, self.repeats, self.tile_size, adjoint=False)
        return self._on_tiles(x, _butterfly, xp)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        fast = find("butterfly", y)
        if fast:
            return fast(y, self.repeats, self.tile_size, adjoint=True)
        return self._on_tiles(y, _inverse_butterfly, xp)

    def _on_tiles(
        self, x: Array, step: Callable[[Array, Namespace], Array], xp: Namespace
    ) -> Array:
        n = int(x.shape[-1])
        tile = self.tile_size or n
        whole = n - n % tile

        def mixed(tiles: Array) -> Array:
            for _ in range(self.repeats):
                tiles = step(tiles, xp)
            return tiles

        parts = []
        if whole:
            tiles = xp.reshape(x[..., :whole], (*x.shape[:-1], -1, tile))
            parts.append(xp.reshape(mixed(tiles), (*x.shape[:-1], whole)))
        if whole < n:
            parts.append(mixed(x[..., whole:]))
        return xp.concat(parts, axis=-1)


def _butterfly(x: Array, xp: Namespace) -> Array:
    even = x.shape[-1] // 2 * 2
    a, b = x[..., 0:even:2], x[..., 1:even:2]
    scale = math.sqrt(0.5)
    return xp.concat([scale * (a + b), scale * (a - b), x[..., even:]], axis=-1)


def _inverse_butterfly(y: Array, xp: Namespace) -> Array:
    half = y.shape[-1] // 2
    total, difference = y[..., :half], y[..., half : 2 * half]
    scale = math.sqrt(0.5)
    pairs = xp.stack([scale * (total + difference), scale * (total - difference)], axis=-1)
    return xp.concat([xp.reshape(pairs, (*y.shape[:-1], 2 * half)), y[..., 2 * half :]], axis=-1)
