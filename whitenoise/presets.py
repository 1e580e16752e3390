"""Whitening operators by name: which sets, in which domains, how often."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .isometries import Butterfly, Identity, RealFourier
from .sets import DEFAULT_LEVEL, ConfidenceSet, Tiles, TwoLevel
from .stages import Stage

__all__ = ["PRESETS", "preset_stages"]


@dataclass(frozen=True)
class _Preset:
    chunk_sizes: tuple[int, ...]
    tile_sizes: tuple[int, ...]
    sweeps: int | str


PRESETS = {
    "paper": _Preset((16, 64), (4, 16, 64), sweeps=1),
    "paper-wan": _Preset((16, 64), (16, 64), sweeps=1),
    "default": _Preset((16, 64), (4, 16, 64), sweeps="converge"),
}
"""Presets by name.

``"paper"`` has the stages of the paper's FLUX configuration and ``"paper-wan"`` of its Wan one
(section B.6). The sizes in the text we had are lost; these are ours. ``"default"`` is
``"paper"`` swept until it converges, because one sweep of projections undoes itself in part.
"""

_FIELD_CHUNK = 16
_TILED_MIXING = 256


def preset_stages(
    preset: str, size: int, confidence_level: float = DEFAULT_LEVEL
) -> tuple[Stage, ...]:
    """Stages of a preset for vectors of length `size`.

    In each of four domains (the entries, the compact Fourier transform, the full Hadamard transform
    and that of tiles of 256): two-level sets of each chunk size, then tile statistics of each tile
    size. Chunks and tiles longer than the vector shrink to it.

    Examples
    --------
    >>> len(preset_stages("paper", 65536)), len(preset_stages("paper", 1))
    (20, 4)
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    chosen = PRESETS[preset]
    level = confidence_level
    chunks = dict.fromkeys(min(c, size) for c in chosen.chunk_sizes)
    tiles = dict.fromkeys(min(t, size) for t in chosen.tile_sizes if min(t, size) > 1)
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
