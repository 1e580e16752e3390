# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
"""Tiles, measured and moved in one pass over the data: the arithmetic of `sets.Tiles.split`.

Tiles of a power of two of entries lie in registers, and every sum is that of `_arrays.total`, so
the results have the same bits as on the generic path. Other tiles take the generic code, except
where it would wait for the device.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..._arrays import centred_direction
from ..._namespace import array_namespace
from ..._random import Stream
from ...sets import Tiles
from .keys import mixed, random_key, word, words
from .launch import block, launch

__all__ = ["move_tiles", "tile_fields"]

_HALVINGS = tl.constexpr(13)
_LONGEST = 2**_HALVINGS.value  # entries of a tile in registers
_BLOCK = 1024  # entries that a program holds, if one tile has no more

Fields = tuple[torch.Tensor, torch.Tensor]


def tile_fields(vectors: torch.Tensor, tile_size: int) -> Fields:
    """Measure tiles, see `whitenoise._kernels`."""
    if not _in_registers(tile_size):
        mean, _, radius = Tiles(tile_size).split(vectors, array_namespace(vectors))
        return mean * tile_size**0.5, radius
    x = vectors.contiguous()
    z, radius = (x.new_empty(*x.shape[:-1], x.shape[-1] // tile_size) for _ in range(2))
    tiles = _tiles_in_block(tile_size, z.numel())
    launch(
        _measure,
        (triton.cdiv(z.numel(), tiles),),
        tiles * tile_size,
        *(x, z, radius, z.numel()),
        TILES=tiles,
        SIZE=tile_size,
    )
    return z, radius


def move_tiles(
    vectors: torch.Tensor, tile_size: int, fields: Fields, typical: Fields, ties: Stream
) -> torch.Tensor:
    """Move tiles, see `whitenoise._kernels`."""
    keep_mean = typical[0] is fields[0]  # not asked for: it keeps its very value
    if not _in_registers(tile_size):
        return _moved(vectors, tile_size, fields, typical, ties, keep_mean)
    x = vectors.contiguous()
    moved = torch.empty_like(x)
    count = x.numel() // tile_size
    tiles = _tiles_in_block(tile_size, count)
    launch(
        _move,
        (triton.cdiv(count, tiles),),
        tiles * tile_size,
        *(x, moved, *(f.contiguous() for f in (*fields, *typical)), count, *words(ties)),
        TILES=tiles,
        SIZE=tile_size,
        KEEP_MEAN=keep_mean,
    )
    return moved


def _in_registers(tile_size: int) -> bool:
    return tile_size <= _LONGEST and block(tile_size) == tile_size


def _tiles_in_block(tile_size: int, count: int) -> int:
    return block(count, max(_BLOCK // tile_size, 1))


def _moved(
    vectors: torch.Tensor,
    tile_size: int,
    fields: Fields,
    typical: Fields,
    ties: Stream,
    keep_mean: bool,
) -> torch.Tensor:
    xp = array_namespace(vectors)
    mean, direction, radius = Tiles(tile_size).split(vectors, xp)
    noise = centred_direction(ties.normal(tuple(direction.shape)), xp)
    direction = torch.where(radius[..., None] == 0, noise, direction)
    mean = mean if keep_mean else typical[0] / tile_size**0.5
    moved = mean[..., None] + typical[1][..., None] * direction
    kept = (typical[0] == fields[0]) & (typical[1] == fields[1])
    tiles = vectors.reshape(direction.shape)
    return torch.where(kept[..., None], tiles, moved).reshape(vectors.shape)


@triton.jit
def _measure(x, z, radius, count, TILES: tl.constexpr, SIZE: tl.constexpr):
    tile, entry, inside = _block_of_tiles(count, TILES, SIZE)
    mean, _, length = _split(tl.load(x + entry, mask=inside, other=0.0), TILES, SIZE)
    tl.store(z + tile, mean * _root(x, SIZE), mask=tile < count)
    tl.store(radius + tile, length, mask=tile < count)


@triton.jit(do_not_specialize=("first", "second"))
def _move(
    x,
    moved,
    z,
    radius,
    typical_z,
    typical_radius,
    count,
    first,
    second,
    TILES: tl.constexpr,
    SIZE: tl.constexpr,
    KEEP_MEAN: tl.constexpr,
):
    tile, entry, inside = _block_of_tiles(count, TILES, SIZE)
    value = tl.load(x + entry, mask=inside, other=0.0)
    mean, direction, _ = _split(value, TILES, SIZE)
    old_radius = tl.load(radius + tile, mask=tile < count, other=1.0)
    new_radius = tl.load(typical_radius + tile, mask=tile < count, other=1.0)
    new_z = tl.load(typical_z + tile, mask=tile < count, other=0.0)
    kept = (new_z == tl.load(z + tile, mask=tile < count, other=0.0)) & (new_radius == old_radius)
    if not KEEP_MEAN:
        mean = _quotient(new_z, _root(x, SIZE))
    constant = (old_radius == 0) & (new_radius != 0)
    if tl.max(constant.to(tl.int32)) != 0:
        noise = _normal(entry.to(tl.uint32), word(first), word(second), value)
        noise = noise - _total(noise, TILES, SIZE) * (1 / SIZE)
        noise = _quotient(noise, _norm(noise, TILES, SIZE))
        direction = tl.where(constant, noise, direction)
    tl.store(moved + entry, tl.where(kept, value, mean + new_radius * direction), mask=inside)


@triton.jit
def _block_of_tiles(count, TILES: tl.constexpr, SIZE: tl.constexpr):
    tile = tl.program_id(0).to(tl.int64) * TILES + tl.arange(0, TILES)[:, None]
    entry = tile * SIZE + tl.arange(0, SIZE)[None, :]
    return tile, entry, (entry < count.to(tl.int64) * SIZE)


@triton.jit
def _split(value, TILES: tl.constexpr, SIZE: tl.constexpr):
    """Mean, unit direction and norm of the centred part of each tile."""
    scale = _largest(value)
    scaled = _quotient(value, scale)
    mean = _total(scaled, TILES, SIZE) * (1 / SIZE)
    centred = scaled - mean
    # The mean is rounded: centre again, or a large mean leaks into the direction.
    rest = _total(centred, TILES, SIZE) * (1 / SIZE)
    centred, mean = centred - rest, (mean + rest) * scale
    most = tl.max(scaled, axis=1, keep_dims=True)
    varies = most > tl.min(scaled, axis=1, keep_dims=True)
    length = tl.where(varies, _norm(centred, TILES, SIZE), 1.0)
    direction = tl.where(varies, _quotient(centred, length), 0.0)
    return mean, direction, tl.where(varies, length * scale, 0.0)


@triton.jit
def _norm(value, TILES: tl.constexpr, SIZE: tl.constexpr):
    scale = _largest(value)
    scaled = _quotient(value, scale)
    return scale * _square_root(_total(scaled * scaled, TILES, SIZE))


@triton.jit
def _largest(value):
    """Unit in which nothing overflows, and no digit is lost to denormals."""
    scale = tl.max(tl.abs(value), axis=1, keep_dims=True)
    return tl.where(scale > 0, scale, 1.0)


@triton.jit
def _total(value, TILES: tl.constexpr, SIZE: tl.constexpr):
    """Sum of each tile: the second half is added to the first, again and again."""
    for level in tl.static_range(1, _HALVINGS + 1):
        if SIZE >> level > 0:
            value = tl.sum(tl.reshape(value, (TILES, 2, SIZE >> level)), axis=1)
    return value


@triton.jit
def _root(x, SIZE: tl.constexpr):
    size = tl.full((), SIZE, tl.float64)
    return tl.sqrt(size).to(x.dtype.element_ty)


@triton.jit
def _quotient(a, b):
    """Division rounded to nearest, which `/` of float32 is not."""
    return tl.div_rn(a, b) if a.dtype == tl.float32 else a / b


@triton.jit
def _square_root(a):
    return tl.sqrt_rn(a) if a.dtype == tl.float32 else tl.sqrt(a)


@triton.jit
def _normal(index, first, second, like):
    """Standard normals of entries, `Stream.normal`, with the functions of float64."""
    radius = _uniform(random_key(index, first, second), like)
    angle = _uniform(random_key(index, second, mixed(first)), like) * 6.283185307179586
    length = tl.sqrt(-2 * tl.log(radius.to(tl.float64)))
    return (length * tl.cos(angle.to(tl.float64))).to(like.dtype)


@triton.jit
def _uniform(key, like):
    return (key.to(like.dtype) + 0.5) * 0.00000000023283064365386963  # 2^-32
