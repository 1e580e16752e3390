"""The numbers behind the panels of `check`, as NumPy arrays on the host.

An array with images along its last two axes is seen as `planes` of shape (C, H, W), any other as a
`series` of shape (N,). Everything is scaled so that white Gaussian noise has a known law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft, special

from ..order_statistics import two_level_interval_at
from ..reference import FloatArray
from ..verify.laws import chi_square_scores

__all__ = [
    "LEVEL",
    "Deviations",
    "block_means",
    "lag_scores",
    "mean_power",
    "order_statistic_deviations",
    "power_range",
    "tile_scores",
]

LEVEL = 0.999
"""Probability that noise stays inside the limits of a panel."""

# For n = 2**k values, by what 1 - LEVEL is divided to give each order statistic its tail: from
# `coverage.simultaneous_alpha`, which needs seconds. Nearly linear in k, see `one_level_violation`.
_LOG2_SIZE = (0, 1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 30, 40)
_EXITS = (1.0, 1.984, 3.835, 11.92, 27.31, 49.00, 74.70, 102.7, 161.7, 223.0, 285.9, 382.6, 548.2)

_END_RANKS = 64  # ranks from either end that are all shown
_INNER_RANKS = 800  # between them, at equal steps of the quantile


class Deviations(NamedTuple):
    """Order statistics of a sample beside their band."""

    quantile: FloatArray
    """Normal quantile of each rank shown."""
    deviation: FloatArray
    """Value minus its median, in units of the band: noise is within -1..1 with `LEVEL`."""


def order_statistic_deviations(x: FloatArray) -> Deviations:
    """Sorted values, minus their medians, over the half-width of their simultaneous band."""
    size = x.size
    outermost = float(special.ndtri(size / (size + 1)))
    grid = np.linspace(-outermost, outermost, _INNER_RANKS)
    ends = np.arange(1, min(_END_RANKS, size) + 1)
    inner = np.clip(np.rint(size * special.ndtr(grid)), 1, size)
    rank = np.unique(np.concatenate([ends, size + 1 - ends, inner.astype(np.int64)]))
    median = special.ndtri((rank - 1 / 3) / (size + 1 / 3))
    tail = (1 - LEVEL) / np.interp(np.log2(size), _LOG2_SIZE, _EXITS)
    lower, upper = two_level_interval_at(rank, 1, size, 1, 1 - tail)
    excess = np.sort(x, axis=None)[rank - 1] - median
    return Deviations(median, excess / np.where(excess > 0, upper - median, median - lower))


def mean_power(x: FloatArray) -> FloatArray:
    """Power at each frequency over that of noise, averaged over planes; frequency 0 in the middle.

    Returns
    -------
    Shape (H, W) of planes; of a series, shape (N // 2,): frequencies 1, 2, ... in cycles per N.
    """
    if x.ndim == 1:
        return np.asarray(np.abs(fft.rfft(x)[1:]) ** 2 / x.size)[: x.size // 2]
    count, height, width = x.shape
    power = np.zeros((height, width // 2 + 1))
    for plane in x:
        power += np.abs(fft.rfft2(plane)) ** 2 / plane.size / count
    # The other half is its mirror image.
    columns = -np.arange(width // 2 + 1, width) % width
    mirrored = power[np.ix_(-np.arange(height) % height, columns)]
    return np.asarray(fft.fftshift(np.concatenate([power, mirrored], axis=1)))


def power_range(averaged: int) -> tuple[float, float]:
    """Smallest and largest mean of `averaged` powers of noise worth telling apart."""
    ends = special.gammaincinv(averaged, [0.02, 1 - 1e-5]) / averaged
    return float(ends[0]), float(ends[1])


def block_means(x: FloatArray, *block: int) -> FloatArray:
    """Means over blocks of the last axes; what does not fill one is left out."""
    for axis, length in enumerate(block, start=x.ndim - len(block)):
        count = x.shape[axis] // length
        kept = np.moveaxis(x, axis, 0)[: count * length]
        means = kept.reshape(count, length, *kept.shape[1:]).mean(axis=1)
        x = np.moveaxis(means, 0, axis)
    return x


def tile_scores(x: FloatArray, tile: int, kind: str) -> FloatArray:
    """Normal scores of the means or energies of square tiles, or of intervals of a series.

    Returns
    -------
    Shape (C, H // tile, W // tile), or (N // tile,).
    """
    sizes = (tile,) * min(x.ndim, 2)
    values = math.prod(sizes)
    if kind == "mean":
        return block_means(x, *sizes) * math.sqrt(values)
    return chi_square_scores(block_means(x * x, *sizes) * values, values)


def lag_scores(x: FloatArray, centre: Sequence[int], reach: int = 16) -> FloatArray:
    """Circular autocorrelation at lags around `centre`, in standard errors of noise.

    Parameters
    ----------
    x
        An array of any shape.
    centre
        A lag, one entry for each axis of `x`; that of axes before the last two is kept.
    reach
        Lags to either side along the last two axes, fewer if the axis is short.

    Returns
    -------
    Shape (2 reach + 1,) or (2 reach_y + 1, 2 reach_x + 1); NaN at lag 0.
    """
    spectrum = fft.rfftn(x)
    power = spectrum.real**2 + spectrum.imag**2
    sums = fft.irfftn(power, s=x.shape)
    sums.flat[0] = np.nan
    sums = sums[tuple(centre[:-2])]
    lags = [
        (np.arange(-r, r + 1) + c) % n
        for r, c, n in zip(reaches(x.shape, reach), centre[-2:], sums.shape, strict=True)
    ]
    energy = float(np.vdot(x, x))
    return np.asarray(sums[np.ix_(*lags)] * (math.sqrt(x.size) / energy if energy > 0 else 0.0))


def reaches(shape: Sequence[int], reach: int = 16) -> tuple[int, ...]:
    """Lags to either side that are shown along the last two axes, no lag twice."""
    return tuple(min(reach, (n - 1) // 2) for n in shape[-2:])
