"""The nearest point of each confidence set, with its certificate.

``project_x(x)`` returns a point of the set near `x`. For `project_global`, `project_1os` and
`project_sphere` it is the Euclidean projection: no point of the set is nearer. For `project_2os`
and `project_tiles`, for whose sets we know no fast exact projection, the point is always in the set
and the certificate bounds what a nearer one could gain; ``gap == 0`` proves that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Axis, Vectors, as_vectors
from ._namespace import Array, uncompiled
from ._random import RandomSource
from .nearest import Nearest, nearest
from .sets import DEFAULT_LEVEL, ConfidenceSet, Global, OneLevel, Sphere, Tiles, TwoLevel, report

__all__ = [
    "Certificate",
    "project",
    "project_1os",
    "project_2os",
    "project_global",
    "project_sphere",
    "project_tiles",
]


@dataclass(frozen=True)
class Certificate:
    """What is proved about a projected point.

    Each field is a scalar, or a NumPy array of the batch shape. They speak of the point in the
    working dtype: rounding the result to float16 or bfloat16 afterwards moves every entry, and so
    every order statistic, by at most half a unit in the last place.

    Attributes
    ----------
    feasible
        Whether the point is in the set.
    distance
        Euclidean distance from the input to the point.
    lower_bound
        Proved lower bound of the distance from the input to any point of the set.
    """

    feasible: Any
    distance: Any
    lower_bound: Any

    @property
    def gap(self) -> Any:
        """``distance - lower_bound``; zero proves that no point of the set is nearer."""
        return self.distance - self.lower_bound

    def __str__(self) -> str:
        feasible = "feasible" if np.all(self.feasible) else "NOT feasible"
        return (
            f"{feasible}, distance {np.max(self.distance):.6g}, "
            f"lower bound {np.max(self.lower_bound):.6g}, gap {np.max(self.gap):.3g}"
        )


@uncompiled
def project(
    x: Array,
    target: ConfidenceSet,
    *,
    axis: Axis = None,
    rng: Any = None,
    return_certificate: bool = False,
    exchanges: int = 10,
) -> Any:
    """Move `x` to a near point of the set `target`; see the ``project_*`` functions.

    Parameters
    ----------
    x
        Array of real floating dtype; not modified.
    target
        A set from `whitenoise.sets`.
    axis
        Axes that form the vector, flattened in the order given; all if None. The others are a
        batch of independent vectors.
    rng
        Breaks ties: None (fresh entropy), a seed, a ``numpy.random.Generator``, or a generator of
        the array's backend, which is advanced by one draw. A seed breaks ties in the same way on
        every backend.
    return_certificate
        Whether to return a `Certificate` too.
    exchanges
        See `project_2os`.

    Returns
    -------
    y : array
        Of the type, shape, dtype and device of `x`.
    certificate : Certificate
        Only if `return_certificate`.

    Raises
    ------
    TypeError
        If `x` is not a real floating array of a supported backend, or `rng` is of another one.
    ValueError
        If `x` is empty or not finite, `axis` is out of range or repeated, or the set is not
        defined for vectors of this size.

    Examples
    --------
    >>> import numpy as np
    >>> from whitenoise import sets
    >>> project(np.array([-9.0, 0.5, 9.0]), sets.Global(0.95)).round(2).tolist()
    [-1.96, 0.5, 1.96]
    """
    vectors = as_vectors(x, axis)
    target.check_size(vectors.size)
    source = RandomSource(rng, vectors.data)
    found = nearest(target, vectors.data, vectors.xp, source, exchanges=exchanges)
    y = vectors.restore(found.point)
    return (y, _certify(target, vectors, found)) if return_certificate else y


def _certify(target: ConfidenceSet, vectors: Vectors, found: Nearest) -> Certificate:
    inside = report(target.inside(found.point, vectors.xp))
    feasible = bool(inside) if isinstance(inside, float) else inside.astype(bool)
    return Certificate(feasible, report(found.distance), report(found.lower_bound))


def project_global(
    x: Array,
    *,
    confidence_level: float = DEFAULT_LEVEL,
    simultaneous: bool = False,
    axis: Axis = None,
    return_certificate: bool = False,
) -> Any:
    """Project onto the vectors whose every entry lies in one interval: clip.

    The Euclidean projection onto ``{x : l <= x_k <= u}``, see `sets.Global`.

    Parameters
    ----------
    x
        Array of real floating dtype; not modified.
    confidence_level
        Probability that one entry of genuine noise is inside or, if `simultaneous`, that all are.
    simultaneous
        Whether the level is joint.
    axis
        Axes that form the vector; matters for `simultaneous` and for the certificate.
    return_certificate
        Whether to return a `Certificate` too; its gap is zero.

    Returns
    -------
    Array like `x`, and a `Certificate` if asked for.

    Notes
    -----
    Linear cost. Gradient: 1 inside the interval, 0 outside.

    References
    ----------
    Eqs. 70-72 and Proposition B.1 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> project_global(np.array([-5.0, 0.3, 1.0]), confidence_level=0.95).round(2).tolist()
    [-1.96, 0.3, 1.0]
    """
    target = Global(confidence_level, simultaneous)
    return project(x, target, axis=axis, return_certificate=return_certificate)


def project_1os(
    x: Array,
    *,
    confidence_level: float = DEFAULT_LEVEL,
    simultaneous: bool = False,
    axis: Axis = None,
    rng: Any = None,
    return_certificate: bool = False,
) -> Any:
    """Project onto the vectors whose sorted entries are typical: sort, clip, undo the sort.

    A Euclidean projection onto ``{x : l_i <= x_(i) <= u_i}``, see `sets.OneLevel`.

    Parameters
    ----------
    x
        Array of real floating dtype; not modified.
    confidence_level
        Probability that one order statistic of genuine noise is inside its interval or, if
        `simultaneous`, that all are.
    simultaneous
        Whether the level is joint.
    axis
        Axes that form the vector; the others are a batch.
    rng
        Order of equal entries, see `project`.
    return_certificate
        Whether to return a `Certificate` too; its gap is zero.

    Returns
    -------
    Array like `x`, and a `Certificate` if asked for.

    Notes
    -----
    O(N log N). The set is not convex: equal entries have several nearest points, one for each
    order, of which `rng` picks one. Gradient: that of the clip in sorted order.

    References
    ----------
    Eqs. 74-78 and Proposition B.2 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros(1000)
    >>> y, certificate = project_1os(x, confidence_level=0.95, rng=0, return_certificate=True)
    >>> np.sort(y)[[0, 250, 500, 999]].round(2).tolist(), certificate.gap
    ([-2.68, -0.59, 0.0, 2.68], 0.0)
    """
    target = OneLevel(confidence_level, simultaneous)
    return project(x, target, axis=axis, rng=rng, return_certificate=return_certificate)


def project_2os(
    x: Array,
    chunk_size: int,
    *,
    confidence_level: float = DEFAULT_LEVEL,
    simultaneous: bool = False,
    axis: Axis = None,
    rng: Any = None,
    return_certificate: bool = False,
    exchanges: int = 10,
) -> Any:
    """Move to a near vector whose chunks' order statistics are typical across chunks.

    The set is ``{x : l_ij <= S(x)_ij <= u_ij}``, see `sets.TwoLevel`. The result is always in the
    set. It is the nearest point whenever the certificate's gap is zero, and close to it otherwise:
    see Notes.

    Parameters
    ----------
    x
        Array of real floating dtype; not modified.
    chunk_size
        Consecutive entries per chunk; divides N.
    confidence_level
        Probability that one entry of the doubly sorted matrix of genuine noise is inside its
        interval or, if `simultaneous`, that all are.
    simultaneous
        Whether the level is joint.
    axis
        Axes that form the vector; the others are a batch.
    rng
        Order of equal entries, see `project`.
    return_certificate
        Whether to return a `Certificate` too.
    exchanges
        Most rounds of the exchange search, which starts only if the certificate leaves more than
        0.1 % of the distance to gain. Each costs O(N * chunk_size); 0 leaves the first feasible
        point.

    Returns
    -------
    Array like `x`, and a `Certificate` if asked for.

    Raises
    ------
    ValueError
        If `chunk_size` does not divide the size, besides what `project` raises.

    Notes
    -----
    The algorithm, and why the paper's single sort-clip-unsort is not always a projection, are in
    `whitenoise.two_level`; how far from optimal the result is, measured against exhaustive search,
    is in the documentation. O(N log N) plus the exchanges. Gradient: that of ``clip(x, low, high)``
    with the bounds that each entry was assigned.

    References
    ----------
    Eqs. 80-86 and Proposition B.3 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat([[-2.0, 2.0]], 32, axis=0)          # 64 values, two of them distinct
    >>> y, certificate = project_2os(x, 16, rng=0, return_certificate=True)
    >>> y.shape, certificate.feasible, certificate.gap == 0
    ((32, 2), True, True)
    """
    target = TwoLevel(chunk_size, confidence_level, simultaneous)
    return project(
        x,
        target,
        axis=axis,
        rng=rng,
        return_certificate=return_certificate,
        exchanges=exchanges,
    )


def project_tiles(
    x: Array,
    tile_size: int,
    *,
    chunk_size: int = 1,
    statistics: tuple[str, ...] = ("mean", "energy"),
    confidence_level: float = DEFAULT_LEVEL,
    simultaneous: bool = False,
    axis: Axis = None,
    rng: Any = None,
    return_certificate: bool = False,
    exchanges: int = 10,
) -> Any:
    """Move to a near vector whose tile means and tile energies are typical across tiles.

    The field of tile means and that of tile norms are each moved as by `project_2os`; each tile is
    then shifted and rescaled to its new mean and norm, see `sets.Tiles`. The result is in the set,
    and it is the nearest point whenever the certificate's gap is zero, which it always is for
    ``chunk_size=1``.

    Parameters
    ----------
    x
        Array of real floating dtype; not modified.
    tile_size
        Consecutive entries per tile; divides N; at least 2 for energies.
    chunk_size
        Chunk size of the two-level sets of the fields; divides the number of tiles.
    statistics
        ``("mean",)``, ``("energy",)`` or both.
    confidence_level, simultaneous, axis, return_certificate, exchanges
        As in `project_2os`.
    rng
        Order of equal statistics, and the direction of the centred part of constant tiles.

    Returns
    -------
    Array like `x`, and a `Certificate` if asked for.

    Notes
    -----
    Why nearest: a tile with mean m and centred norm r is at squared distance at least
    ``b (m - m')**2 + (r - r')**2`` from one with m' and r', attained by keeping the centred
    direction. The distance therefore is that of the fields (z, r), in which the set is a product.
    Linear cost beside sorting N / b values twice. A tile that keeps both statistics is returned bit
    for bit.

    References
    ----------
    Eqs. 89-102 and Proposition B.4 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-9, 9, 64)
    >>> y = project_tiles(x, 8, chunk_size=2, rng=0)
    >>> bool(abs(x.reshape(8, 8).mean(1)).max() > 7), bool(abs(y.reshape(8, 8).mean(1)).max() < 1.6)
    (True, True)
    """
    target = Tiles(tile_size, chunk_size, tuple(statistics), confidence_level, simultaneous)
    return project(
        x,
        target,
        axis=axis,
        rng=rng,
        return_certificate=return_certificate,
        exchanges=exchanges,
    )


def project_sphere(
    x: Array,
    *,
    axis: Axis = None,
    rng: Any = None,
    return_certificate: bool = False,
) -> Any:
    """Project onto the sphere of radius ``sqrt(N)``.

    Parameters
    ----------
    x
        Array of real floating dtype; not modified.
    axis
        Axes that form the vector; the others are a batch.
    rng
        Direction for a zero vector, to which all points of the sphere are equally near.
    return_certificate
        Whether to return a `Certificate` too; its gap is zero.

    Returns
    -------
    Array like `x`, and a `Certificate` if asked for.

    References
    ----------
    Eq. 115 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> project_sphere(np.array([3.0, 0.0, 4.0, 0.0])).tolist()
    [1.2, 0.0, 1.6, 0.0]
    """
    return project(x, Sphere(), axis=axis, rng=rng, return_certificate=return_certificate)
