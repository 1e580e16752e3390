"""The confidence sets: what is in them, and how far a point is from them.

Each set is a set of vectors of length N, described by intervals that a standard normal vector
satisfies with a stated probability. Methods take arrays and `axis` as everywhere in the package:
the axes that form the vector, all of them if None; the others are a batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ._arrays import Axis, as_vectors, float64_norm, norm, total
from ._cache import ByteCache
from ._namespace import (
    Array,
    Namespace,
    backend_name,
    dtype_name,
    stop_gradient,
    to_numpy,
    uncompiled,
)
from .order_statistics import (
    Interval,
    check_count,
    global_interval,
    tail_probability,
    two_level_interval,
)
from .reference import STANDARD_NORMAL, Chi, Law
from .two_level import doubly_sorted

__all__ = [
    "DEFAULT_LEVEL",
    "ConfidenceSet",
    "Global",
    "OneLevel",
    "Sphere",
    "TileField",
    "Tiles",
    "TwoLevel",
    "doubly_sorted_gap",
]

DEFAULT_LEVEL = 0.9999
"""Confidence level of the paper (section B.6; the figure is from a public note on it)."""

_BOUNDS = ByteCache(512 * 2**20)


class ConfidenceSet(ABC):
    """A set of vectors that holds standard normal noise with a stated probability."""

    _slack: ClassVar[float] = 0.0  # in roundings of the norm: how exactly membership can be decided

    @property
    def unit(self) -> int:
        """The set is defined for vectors whose length is a multiple of this."""
        return 1

    @abstractmethod
    def check_size(self, size: int) -> None:
        """Raise ValueError if the set is not defined for vectors of length `size`."""

    @abstractmethod
    def gap(self, vectors: Array, xp: Namespace) -> Array:
        """Lower bound of the distance, for vectors of shape (..., N) in working dtype."""

    @uncompiled
    def distance_bound(self, x: Array, axis: Axis = None) -> Any:
        """Proved lower bound of the Euclidean distance from `x` to the set, zero inside it.

        Parameters
        ----------
        x
            Array of real floating dtype.
        axis
            Axes that form the vector; the others are a batch.

        Returns
        -------
        float, or float64 NumPy array of the batch shape. Exact for `Global`, `OneLevel` and
        `Sphere`; for `TwoLevel` and `Tiles` the distance may be larger.

        Examples
        --------
        >>> import numpy as np
        >>> Sphere().distance_bound(np.zeros(16))
        4.0
        """
        vectors = as_vectors(x, axis)
        self.check_size(vectors.size)
        return report(self.gap(vectors.data, vectors.xp))

    @uncompiled
    def contains(self, x: Array, axis: Axis = None) -> Any:
        """Tell whether `x` is in the set.

        Order-statistic sets are decided exactly: their bounds are rounded inwards to the working
        dtype. Sets defined by sums (`Tiles`, `Sphere`) are decided up to 16 roundings of the norm.

        Returns
        -------
        bool, or boolean NumPy array of the batch shape.

        Examples
        --------
        >>> import numpy as np
        >>> OneLevel(0.95).contains(np.array([-1.0, 0.0, 1.0]))
        True
        """
        vectors = as_vectors(x, axis)
        self.check_size(vectors.size)
        inside = self.inside(vectors.data, vectors.xp)
        flags = to_numpy(inside).astype(bool)
        return flags if flags.ndim else bool(flags)

    def inside(self, vectors: Array, xp: Namespace) -> Array:
        """Membership of vectors of shape (..., N), see `contains`."""
        return self.decide(self.gap(vectors, xp), vectors, xp)

    def decide(self, gap: Array, vectors: Array, xp: Namespace) -> Array:
        """Membership of vectors whose `gap` is known."""
        slack = self._slack * float(xp.finfo(vectors.dtype).eps)
        size = xp.maximum(float64_norm(vectors, xp), xp.ones_like(vectors[..., 0]))
        return gap <= slack * size


@dataclass(frozen=True)
class Global(ConfidenceSet):
    """Vectors whose every entry lies in one interval (Eqs. 70-71 of the paper).

    ``{x : l <= x_k <= u for all k}``, convex.

    Parameters
    ----------
    confidence_level
        Probability of the interval for one entry or, if `simultaneous`, for all N.
    simultaneous
        Whether the level is joint.
    """

    confidence_level: float = DEFAULT_LEVEL
    simultaneous: bool = False

    def check_size(self, size: int) -> None:
        tail_probability(self.confidence_level)

    def bounds(self, vectors: Array, xp: Namespace) -> tuple[Array, Array]:
        """Ends of the interval as 0-d arrays beside `vectors`."""
        size = int(vectors.shape[-1])
        interval = global_interval(self.confidence_level, size=size, simultaneous=self.simultaneous)
        return _beside(interval, self.confidence_level, vectors, xp)

    def gap(self, vectors: Array, xp: Namespace) -> Array:
        lower, upper = self.bounds(vectors, xp)
        return float64_norm(vectors - xp.clip(vectors, lower, upper), xp)


@dataclass(frozen=True)
class TwoLevel(ConfidenceSet):
    """Vectors whose doubly sorted matrix lies between two matrices (Eq. 85 of the paper).

    ``{x : l_ij <= S(x)_ij <= u_ij}`` where S cuts x into chunks, sorts each, and sorts the chunks'
    order statistics across chunks. Not convex; symmetric under permutations of chunks and within
    chunks.

    Parameters
    ----------
    chunk_size
        Entries per chunk; divides N.
    confidence_level
        Probability of each interval or, if `simultaneous`, of all together.
    simultaneous
        Whether the level is joint, see `coverage.simultaneous_alpha`.
    """

    chunk_size: int
    confidence_level: float = DEFAULT_LEVEL
    simultaneous: bool = False

    @property
    def unit(self) -> int:
        return self.chunk_size

    def check_size(self, size: int) -> None:
        _check_divides("chunk_size", self.chunk_size, size)
        tail_probability(self.confidence_level)

    def bounds(
        self, vectors: Array, xp: Namespace, law: Law = STANDARD_NORMAL
    ) -> tuple[Array, Array]:
        """Matrices of bounds, shape (N / chunk_size, chunk_size), beside `vectors`."""
        n_chunks = int(vectors.shape[-1]) // self.chunk_size

        def make() -> tuple[Array, Array]:
            interval = two_level_interval(
                n_chunks,
                self.chunk_size,
                self.confidence_level,
                simultaneous=self.simultaneous,
                reference=law,
            )
            return _beside(interval, self.confidence_level, vectors, xp)

        key = (self, n_chunks, law, backend_name(vectors), dtype_name(vectors), str(vectors.device))
        bounds: tuple[Array, Array] = _BOUNDS.get(
            key, make, lambda ends: 16 * math.prod(ends[0].shape)
        )
        return bounds

    def gap(self, vectors: Array, xp: Namespace) -> Array:
        return doubly_sorted_gap(vectors, self, STANDARD_NORMAL, xp)


@dataclass(frozen=True)
class OneLevel(ConfidenceSet):
    """Vectors whose sorted entries lie between two vectors (Eq. 77 of the paper).

    ``{x : l_i <= x_(i) <= u_i}``. Not convex; symmetric under every permutation. It is `TwoLevel`
    with chunks of one entry.

    Parameters
    ----------
    confidence_level
        Probability of each interval or, if `simultaneous`, of all N together.
    simultaneous
        Whether the level is joint: exact up to 10,000 entries.
    """

    confidence_level: float = DEFAULT_LEVEL
    simultaneous: bool = False

    @property
    def two_level(self) -> TwoLevel:
        """The same set, as chunks of one entry."""
        return TwoLevel(1, self.confidence_level, self.simultaneous)

    def check_size(self, size: int) -> None:
        self.two_level.check_size(size)

    def gap(self, vectors: Array, xp: Namespace) -> Array:
        return self.two_level.gap(vectors, xp)


class TileField(NamedTuple):
    """One statistic of every tile, with the set that its values over tiles belong to."""

    values: Array
    typical: TwoLevel
    law: Law


@dataclass(frozen=True)
class Tiles(ConfidenceSet):
    """Vectors whose tile means and energies are typical (Eqs. 89-93 of the paper).

    Cut x into tiles of b consecutive entries. For a standard normal x the values
    ``z = sqrt(b) * mean`` are independent N(0, 1) and the norms ``r`` of the centred tiles
    independent chi(b - 1). The set asks the field of z, and that of r, to be two-level typical.
    (Bounding the energy ``q = r**2`` by chi-square quantiles is the same set.)

    Parameters
    ----------
    tile_size
        Entries per tile, b; divides N; at least 2 for energies.
    chunk_size
        Chunk size for the fields, which have N / b values; divides that number.
    statistics
        Which of ``"mean"`` and ``"energy"``: a tuple, without repeats.
    confidence_level
        Of each interval or, if `simultaneous`, of all intervals of both fields together.
    simultaneous
        Whether the level is joint. The two fields are independent, so each gets the root.
    """

    tile_size: int
    chunk_size: int = 1
    statistics: tuple[str, ...] = ("mean", "energy")
    confidence_level: float = DEFAULT_LEVEL
    simultaneous: bool = False
    _slack: ClassVar[float] = 16.0

    def __post_init__(self) -> None:
        known = set(self.statistics) <= {"mean", "energy"}
        if not known or not self.statistics or len(set(self.statistics)) < len(self.statistics):
            raise ValueError(
                f"statistics must be a tuple of 'mean', 'energy' or both, got {self.statistics!r}"
            )

    @property
    def unit(self) -> int:
        return self.tile_size * self.chunk_size

    def check_size(self, size: int) -> None:
        _check_divides("tile_size", self.tile_size, size)
        if self.tile_size < 2 and "energy" in self.statistics:
            raise ValueError("tile_size must be at least 2 for the energy, got 1")
        tail_probability(self.confidence_level)  # before its root is taken
        self._typical.check_size(size // self.tile_size)

    @property
    def _typical(self) -> TwoLevel:
        level = self.confidence_level
        if self.simultaneous and len(self.statistics) == 2:
            level = level**0.5
        return TwoLevel(self.chunk_size, level, self.simultaneous)

    def typical_fields(self, fields: dict[str, Array]) -> dict[str, TileField]:
        """Return the fields in question with their sets, from z ("mean") and r ("energy")."""
        laws: dict[str, Law] = {"mean": STANDARD_NORMAL, "energy": Chi(max(self.tile_size - 1, 1))}
        return {
            name: TileField(fields[name], self._typical, laws[name])
            for name in ("mean", "energy")
            if name in self.statistics
        }

    def gap(self, vectors: Array, xp: Namespace) -> Array:
        mean, _, radius = self.split(vectors, xp)
        fields = self.typical_fields({"mean": mean * self.tile_size**0.5, "energy": radius})
        gaps = [doubly_sorted_gap(f.values, f.typical, f.law, xp) for f in fields.values()]
        return float64_norm(xp.stack(gaps, axis=-1), xp)

    def split(self, vectors: Array, xp: Namespace) -> tuple[Array, Array, Array]:
        """Means (..., T), unit directions (..., T, b) and norms (..., T) of the centred tiles.

        A constant tile has norm and direction exactly zero.
        """
        tiles = xp.reshape(vectors, (*vectors.shape[:-1], -1, self.tile_size))
        # In units of the largest entry nothing overflows, and no digit is lost to denormals.
        scale = stop_gradient(xp.max(xp.abs(tiles), axis=-1, keepdims=True))
        scale = xp.where(scale > 0, scale, xp.ones_like(scale))
        scaled = tiles / scale
        mean = total(scaled, xp) / self.tile_size
        centred = scaled - mean
        # The mean is rounded: centre again, or a large mean leaks into the direction.
        rest = total(centred, xp) / self.tile_size
        centred, mean = centred - rest, (mean + rest) * scale
        varies = xp.max(scaled, axis=-1, keepdims=True) > xp.min(scaled, axis=-1, keepdims=True)
        zero = xp.zeros_like(centred)
        # Constant tiles are replaced before the norm, whose derivative at zero does not exist.
        radius = norm(xp.where(varies, centred, xp.ones_like(centred)), xp)
        direction = xp.where(varies, centred / radius, zero)
        radius = xp.where(varies, radius * scale, xp.zeros_like(radius))
        return mean[..., 0], direction, radius[..., 0]


@dataclass(frozen=True)
class Sphere(ConfidenceSet):
    """Vectors of norm ``sqrt(N)`` (Eq. 115 of the paper).

    The mean squared norm of a standard normal vector; a draw is on it with probability zero.
    """

    _slack: ClassVar[float] = 16.0

    def check_size(self, size: int) -> None:
        pass

    def gap(self, vectors: Array, xp: Namespace) -> Array:
        return xp.abs(float64_norm(vectors, xp) - int(vectors.shape[-1]) ** 0.5)


def doubly_sorted_gap(values: Array, typical: TwoLevel, law: Law, xp: Namespace) -> Array:
    """Return ``|S(x) - clip(S(x))|``, below the distance to the set because S is 1-Lipschitz."""
    lower, upper = typical.bounds(values, xp, law)
    rows = xp.reshape(values, (*values.shape[:-1], -1, typical.chunk_size))
    ranked = doubly_sorted(rows, xp)
    return float64_norm(xp.reshape(ranked - xp.clip(ranked, lower, upper), values.shape), xp)


def report(x: Array) -> Any:
    """Turn an array of batch shape into a float or a float64 NumPy array."""
    values = to_numpy(x)
    return values if values.ndim else float(values)


def _check_divides(name: str, part: int, size: int) -> None:
    check_count(name, part)
    if part > size:
        raise ValueError(f"{name} must be at most the {size} values given, got {part}")
    if size % part:
        raise ValueError(
            f"{name}={part} does not divide the {size} values given; Whitener covers such sizes "
            "with overlapping windows"
        )


def _beside(
    interval: Interval, confidence_level: float, like: Array, xp: Namespace
) -> tuple[Array, Array]:
    """Bring bounds to the dtype and device of `like`, rounded into the interval."""
    dtype = np.dtype(dtype_name(like))
    lower, upper = (np.asarray(end).astype(dtype) for end in interval)
    inf = dtype.type(np.inf)
    lower = np.where(lower < interval.lower, np.nextafter(lower, inf), lower)
    upper = np.where(upper > interval.upper, np.nextafter(upper, -inf), upper)
    if np.any(lower > upper):
        raise ValueError(
            f"confidence_level={confidence_level!r} is too small: some interval holds no {dtype} "
            "value"
        )
    # Column by column in memory: kernels look the bounds of one column up by rank.
    return tuple(xp.asarray(np.asarray(e, order="F"), device=like.device) for e in (lower, upper))
