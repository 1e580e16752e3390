"""The nearest point of each confidence set: the mathematics of the projections.

`nearest` works on batches of vectors of shape (..., N) in working dtype; the functions that users
call, with checks and certificates, are in `projections`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

from ._arrays import centred_direction, float64_norm, norm
from ._kernels import find
from ._namespace import Array, Namespace, stop_gradient
from ._random import RandomSource, Stream
from .reference import STANDARD_NORMAL, Law
from .sets import ConfidenceSet, Global, OneLevel, Sphere, Tiles, TwoLevel
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
    target: Global,
    vectors: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int = 0,
) -> Nearest:
    point = xp.clip(vectors, *target.bounds(vectors, xp))
    distance = float64_norm(point - vectors, xp)
    return Nearest(point, distance, distance)


@nearest.register
def _(
    target: OneLevel,
    vectors: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int = 0,
) -> Nearest:
    return _nearest_two_level(target.two_level, vectors, xp, source, exchanges=0)


@nearest.register
def _(
    target: TwoLevel,
    vectors: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int = 0,
) -> Nearest:
    return _nearest_two_level(target, vectors, xp, source, exchanges=exchanges)


@nearest.register
def _(
    target: Sphere,
    vectors: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int = 0,
) -> Nearest:
    length = norm(vectors, xp)
    zero = length == 0
    ties = source.stream()
    if bool(xp.any(zero)):  # every direction is equally near
        direction = xp.where(zero, ties.normal(tuple(vectors.shape)), vectors)
    else:
        direction = vectors
    # In units of the largest entry no digit of a denormal vector's length is lost.
    direction = direction / stop_gradient(xp.max(xp.abs(direction), axis=-1, keepdims=True))
    unit = direction / norm(direction, xp)
    point = unit * int(vectors.shape[-1]) ** 0.5
    distance = target.gap(vectors, xp)
    return Nearest(point, distance, distance)


@nearest.register
def _(
    target: Tiles,
    vectors: Array,
    xp: Namespace,
    source: RandomSource,
    *,
    exchanges: int = 0,
) -> Nearest:
    fields, move = _tile_fields(target, vectors, xp, source.stream())
    typical, found = {}, []
    for name, field in target.typical_fields(fields).items():
        result = _nearest_two_level(
            field.typical, field.values, xp, source, exchanges=exchanges, law=field.law
        )
        typical[name] = result.point
        found.append(result)
    point = move({**fields, **typical})
    # Means and centred tiles are orthogonal, and the centred part keeps its direction.
    distance, lower_bound = (
        float64_norm(xp.stack(parts, axis=-1), xp)
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
    return nearest_doubly_sorted(vectors, lower, upper, xp, source, exchanges=exchanges)


Fields = dict[str, Array]


def _tile_fields(
    target: Tiles, vectors: Array, xp: Namespace, ties: Stream
) -> tuple[Fields, Callable[[Fields], Array]]:
    """Statistics of each tile, and the function that moves the tiles to other ones."""
    measure, move = find("tile_fields", vectors), find("move_tiles", vectors)
    if measure and move and target.tile_size > 1:
        z, radius = measure(vectors, target.tile_size)
        fields = {"mean": z, "energy": radius}

        def moved(typical: Fields) -> Array:
            pair = typical["mean"], typical["energy"]
            return move(vectors, target.tile_size, (z, radius), pair, ties)

        return fields, moved

    mean, direction, radius = target.split(vectors, xp)
    root = target.tile_size**0.5
    fields = {"mean": mean * root, "energy": radius}

    def moved_from_split(typical: Fields) -> Array:
        kept = (typical["mean"] == fields["mean"]) & (typical["energy"] == radius)
        # A statistic that is not asked for keeps its very value.
        new_mean = mean if typical["mean"] is fields["mean"] else typical["mean"] / root
        around = direction
        if "energy" in target.statistics:
            around = _with_random_directions(direction, radius, xp, ties)
        tiles = xp.reshape(vectors, direction.shape)
        at = new_mean[..., None] + typical["energy"][..., None] * around
        return xp.reshape(xp.where(kept[..., None], tiles, at), vectors.shape)

    return fields, moved_from_split


def _with_random_directions(direction: Array, radius: Array, xp: Namespace, ties: Stream) -> Array:
    """Give constant tiles a random direction: for them every one is equally near."""
    constant = radius == 0
    if not bool(xp.any(constant)):
        return direction
    noise = centred_direction(ties.normal(tuple(direction.shape)), xp)
    return xp.where(constant[..., None], noise, direction)
