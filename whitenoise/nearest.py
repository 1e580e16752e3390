"""The nearest point of each confidence set: the mathematics of the projections.

`nearest` works on batches of vectors of shape (..., N) in working dtype; the functions that users
call, with checks and certificates, are in `projections`.
"""

from __future__ import annotations

from functools import singledispatch

from ._arrays import norm
from ._namespace import Array, Namespace, RandomSource, stop_gradient
from .reference import STANDARD_NORMAL, Law
from .sets import ConfidenceSet, Global, OneLevel, Sphere, TileField, Tiles, TwoLevel
from .two_level import Nearest, nearest_doubly_sorted

__all__ = ["Nearest", "nearest"]


@singledispatch
def nearest(
    target: ConfidenceSet,
    vectors: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int = 0,
) -> Nearest:
    """Nearest known point of the set `target` to vectors of shape (..., N) in working dtype.

    `exchanges` is that of `project_2os`; sets with a closed form ignore it.
    """
    raise TypeError(f"no projection is known for {type(target).__name__}")


@nearest.register
def _(
    target: Global, vectors: Array, xp: Namespace, source: RandomSource, *, exchanges: int = 0
) -> Nearest:
    point = xp.clip(vectors, *target.bounds(vectors, xp))
    distance = norm(point - vectors, xp)
    return Nearest(point, distance, distance)


@nearest.register
def _(
    target: OneLevel, vectors: Array, xp: Namespace, source: RandomSource, *, exchanges: int = 0
) -> Nearest:
    return _nearest_two_level(target.two_level, vectors, xp, source, exchanges=0)


@nearest.register
def _(
    target: TwoLevel, vectors: Array, xp: Namespace, source: RandomSource, *, exchanges: int = 0
) -> Nearest:
    return _nearest_two_level(target, vectors, xp, source, exchanges=exchanges)


@nearest.register
def _(
    target: Sphere, vectors: Array, xp: Namespace, source: RandomSource, *, exchanges: int = 0
) -> Nearest:
    length = norm(vectors, xp, keepdims=True)
    zero = length == 0
    if bool(xp.any(zero)):  # every direction is equally near
        direction = xp.where(zero, source.normal(tuple(vectors.shape)), vectors)
    else:
        direction = vectors
    # In units of the largest entry no digit of a denormal vector's length is lost.
    direction = direction / stop_gradient(xp.max(xp.abs(direction), axis=-1, keepdims=True))
    unit = direction / norm(direction, xp, keepdims=True)
    point = unit * int(vectors.shape[-1]) ** 0.5
    distance = target.gap(vectors, xp)
    return Nearest(point, distance, distance)


@nearest.register
def _(
    target: Tiles, vectors: Array, xp: Namespace, source: RandomSource, *, exchanges: int = 0
) -> Nearest:
    mean, direction, radius = target.split(vectors, xp)
    new_mean, new_radius = mean, radius
    kept = xp.ones_like(mean, dtype=xp.bool)
    found: list[Nearest] = []

    def project_field(field: TileField) -> Array:
        result = _nearest_two_level(
            field.typical, field.values, xp, source, exchanges=exchanges, law=field.law
        )
        found.append(result)
        return result.point

    if "mean" in target.statistics:
        field = target.mean_field(mean)
        typical_mean = project_field(field)
        kept = kept & (typical_mean == field.values)
        new_mean = typical_mean / target.tile_size**0.5
    if "energy" in target.statistics:
        new_radius = project_field(target.norm_field(radius))
        kept = kept & (new_radius == radius)
        direction = _with_random_directions(direction, radius, xp, source)

    tiles = xp.reshape(vectors, direction.shape)
    moved = new_mean[..., None] + new_radius[..., None] * direction
    point = xp.reshape(xp.where(kept[..., None], tiles, moved), vectors.shape)
    # Means and centred tiles are orthogonal, and the centred part keeps its direction.
    distance, lower_bound = (
        norm(xp.stack(parts, axis=-1), xp)
        for parts in ([r.distance for r in found], [r.lower_bound for r in found])
    )
    return Nearest(point, distance, lower_bound)


def _nearest_two_level(
    target: TwoLevel,
    vectors: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int,
    law: Law = STANDARD_NORMAL,
) -> Nearest:
    lower, upper = target.bounds(vectors, xp, law)
    rows = xp.reshape(vectors, (*vectors.shape[:-1], -1, target.chunk_size))
    result = nearest_doubly_sorted(rows, lower, upper, xp, source, exchanges=exchanges)
    return result._replace(point=xp.reshape(result.point, vectors.shape))


def _with_random_directions(
    direction: Array, radius: Array, xp: Namespace, source: RandomSource
) -> Array:
    """Give constant tiles a random direction: for them every one is equally near."""
    constant = radius == 0
    if not bool(xp.any(constant)):
        return direction
    noise = source.normal(tuple(direction.shape))
    noise = noise - xp.mean(noise, axis=-1, keepdims=True)
    noise = noise / norm(noise, xp, keepdims=True)
    return xp.where(constant[..., None], noise, direction)
