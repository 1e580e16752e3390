"""Whitening operators by name and version: which sets in which domains, or which statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .isometries import Butterfly, Identity, RealFourier
from .sets import DEFAULT_LEVEL, ConfidenceSet, Tiles, TwoLevel
from .stages import Stage

__all__ = ["PRESETS", "EqualStatistics", "Projections", "preset_stages", "versioned"]


@dataclass(frozen=True)
class Projections:
    """Onto two-level sets and tile statistics in four domains, see `preset_stages`."""

    chunk_sizes: tuple[int, ...]
    tile_sizes: tuple[int, ...]
    sweeps: int | str


@dataclass(frozen=True)
class EqualStatistics:
    """Taking over the statistics of a draw of noise, see `Equalizer`."""

    level: float
    sweeps: int


PRESETS: dict[str, Projections | EqualStatistics] = {
    "paper-1": Projections((16, 64), (4, 16, 64), sweeps=1),
    "paper-wan-1": Projections((16, 64), (16, 64), sweeps=1),
    "default-1": Projections((16, 64), (4, 16, 64), sweeps="converge"),
    "default-2": EqualStatistics(level=0.01, sweeps=10),
}
"""Presets by name and version; a name alone stands for the last version of it.

``"paper"`` has the stages of the paper's FLUX configuration and ``"paper-wan"`` of its Wan one
(section B.6). The sizes in the text we had are lost; these are ours. ``"default-1"`` is
``"paper"`` swept until it converges, because one sweep of projections undoes itself in part.
``"default-2"`` is the `Equalizer`, whose results `typicality` finds no fault with.
"""

_FIELD_CHUNK = 16
_TILED_MIXING = 256


def versioned(name: str) -> str:
    """Return the key of a preset, which may be named without a version: the last is meant.

    Examples
    --------
    >>> versioned("default"), versioned("default-1")
    ('default-2', 'default-1')
    """
    newest = {key.rsplit("-", 1)[0]: key for key in PRESETS}
    if name not in newest and name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join((*newest, *PRESETS))}, got {name!r}")
    return newest.get(name, name)


def preset_stages(
    preset: Projections, size: int, confidence_level: float = DEFAULT_LEVEL
) -> tuple[Stage, ...]:
    """Stages of a preset of projections for vectors of length `size`.

    In each of four domains (the entries, the compact Fourier transform, the full Hadamard transform
    and that of tiles of 256): two-level sets of each chunk size, then tile statistics of each tile
    size. Chunks and tiles longer than the vector shrink to it.

    Examples
    --------
    >>> paper = PRESETS["paper-1"]
    >>> len(preset_stages(paper, 65536)), len(preset_stages(paper, 1))
    (20, 4)
    """
    level = confidence_level
    chunks = dict.fromkeys(min(c, size) for c in preset.chunk_sizes)
    tiles = dict.fromkeys(min(t, size) for t in preset.tile_sizes if min(t, size) > 1)
    targets: list[ConfidenceSet] = [TwoLevel(c, level) for c in chunks]
    targets += [
        Tiles(t, chunk_size=min(_FIELD_CHUNK, size // t), confidence_level=level) for t in tiles
    ]
    tile = min(_TILED_MIXING, size)
    domains = (
        Identity(),
        RealFourier(),
        Butterfly(repeats=round(math.log2(size))),
        Butterfly(repeats=round(math.log2(tile)), tile_size=tile),
    )
    return tuple(Stage(target, domain) for domain in domains for target in targets)
