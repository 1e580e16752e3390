"""Other orders of the entries, and random signs."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from .._arrays import normalize_axis
from .._namespace import Array, Namespace
from .base import Isometry

__all__ = [
    "AxisPermutation",
    "BlockPermutation",
    "Permutation",
    "SignedPermutation",
]


class Permutation(Isometry):
    """Reorders entries: ``forward(x)[k] = x[order[k]]``.

    Parameters
    ----------
    order
        The integers 0..N-1 in any order.

    Examples
    --------
    >>> import numpy as np
    >>> Permutation([2, 0, 1]).forward(np.array([10.0, 20.0, 30.0])).tolist()
    [30.0, 10.0, 20.0]
    """

    def __init__(self, order: Any) -> None:
        self.order = np.asarray(order)
        self.size = self.order.size
        if self.order.ndim != 1 or self.order.dtype.kind not in "iu":
            raise TypeError(f"order must be one sequence of integers, got {order!r}")
        if not np.array_equal(np.sort(self.order), np.arange(self.size)):
            raise ValueError(f"order must hold each of 0..{self.size - 1} once, got {order!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"

    @cached_property
    def _inverse_order(self) -> Any:
        return np.argsort(self.order)

    def apply(self, x: Array, xp: Namespace) -> Array:
        return xp.take(x, xp.asarray(self.order, device=x.device), axis=-1)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return xp.take(y, xp.asarray(self._inverse_order, device=y.device), axis=-1)


class AxisPermutation(Permutation):
    """Reads a grid in another order of its axes, so that chunks run along another one.

    Parameters
    ----------
    shape
        Grid of the vector.
    axes
        The axes in their new order, slowest first.

    Examples
    --------
    >>> import numpy as np
    >>> AxisPermutation((2, 3), (1, 0)).forward(np.arange(6.0)).tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
        positive = normalize_axis(axes, len(shape))
        if len(positive) != len(shape):
            raise ValueError(f"axes must name every axis of {shape}, got {axes!r}")
        index = np.arange(math.prod(shape)).reshape(shape)
        super().__init__(index.transpose(positive).reshape(-1))


class BlockPermutation(Permutation):
    """Reads a grid block by block, so that a chunk is a block of neighbours.

    Parameters
    ----------
    shape
        Grid of the vector.
    block
        Lengths of the blocks; the last blocks of an axis that they do not divide are shorter.

    Examples
    --------
    >>> import numpy as np
    >>> BlockPermutation((2, 4), (2, 2)).forward(np.arange(8.0)).tolist()
    [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]
    """

    def __init__(self, shape: tuple[int, ...], block: tuple[int, ...]) -> None:
        if len(block) != len(shape) or min(block, default=1) < 1:
            raise ValueError(f"block must hold {len(shape)} lengths of at least 1, got {block!r}")
        places = np.indices(shape).reshape(len(shape), -1)
        steps = np.asarray(block)[:, None]
        # Sort by block first, by place in the block second, in C order each.
        super().__init__(np.lexsort([*(places % steps)[::-1], *(places // steps)[::-1]]))


class SignedPermutation(Isometry):
    """A random order and random signs, fixed by a seed.

    Parameters
    ----------
    size
        Length of the vector.
    seed
        Seed of ``numpy.random.default_rng``.

    Examples
    --------
    >>> import numpy as np
    >>> q = SignedPermutation(4, seed=0)
    >>> bool(np.allclose(q.adjoint(q.forward(np.arange(4.0))), np.arange(4.0)))
    True
    """

    def __init__(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.seed = seed
        self._permutation = Permutation(rng.permutation(size))
        self._signs = rng.choice([-1.0, 1.0], size)
        self.size = size

    def __repr__(self) -> str:
        return f"SignedPermutation(size={self.size}, seed={self.seed})"

    def apply(self, x: Array, xp: Namespace) -> Array:
        return self._permutation.apply(x, xp) * self._signs_beside(x, xp)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return self._permutation.apply_adjoint(y * self._signs_beside(y, xp), xp)

    def _signs_beside(self, x: Array, xp: Namespace) -> Array:
        return xp.asarray(self._signs, dtype=x.dtype, device=x.device)
