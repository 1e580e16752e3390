"""Tests that no operator was built from: rotations, wavelets, odd scales and lags, triples."""

from __future__ import annotations

import math

import numpy as np
from scipy import fft, stats

SEED = 20261127
LAGS = 48
DAUBECHIES_2 = np.array([1 + 3**0.5, 3 + 3**0.5, 3 - 3**0.5, 1 - 3**0.5]) / (4 * 2**0.5)


def pvalue(x):
    """Smallest p-value times the number of tests; white Gaussian noise is the hypothesis."""
    found = [*rotations(x), *wavelets(x), *tiles(x), *lags(x), *triples(x)]
    return min(1.0, min(found) * len(found))


def rotations(x):
    """Marginals of the vector turned by random orthogonal maps: signs and cosine transforms."""
    for turn in range(4):
        rng = np.random.default_rng([SEED, turn])
        y = x.reshape(-1).astype(np.float64)
        for _ in range(2):
            y = fft.dct(y * rng.choice([-1.0, 1.0], y.size), norm="ortho")
        part = y[: 1 << 20]
        yield stats.kstest(part, "norm").pvalue
        yield stats.kurtosistest(part).pvalue


def wavelets(x):
    """Energies and fourth moments of the bands of a wavelet with two vanishing moments."""
    low = x.astype(np.float64)
    for _ in range(3):
        if min(low.shape[-2:]) < 8:
            return
        bands = _split(low)
        for band in bands[1:]:
            yield _chi_square((band**2).sum(), band.size)
            yield stats.kurtosistest(band, axis=None).pvalue
        low = bands[0][..., : bands[0].shape[-2] // 2 * 2, : bands[0].shape[-1] // 2 * 2]


def tiles(x):
    """Energies and means of tiles whose sides are 3, 5 and 7."""
    for side in (3, 5, 7):
        height, width = (n // side for n in x.shape[-2:])
        cut = x[..., : height * side, : width * side].astype(np.float64)
        cut = cut.reshape(-1, height, side, width, side)
        means = cut.mean((2, 4)) * side
        yield _chi_square((means**2).sum(), means.size)
        for over in ((2, 4), (0, 2, 4)):  # each tile, and those at one place of all images
            energies = (cut**2).sum(over)
            scores = stats.norm.ppf(stats.chi2.cdf(energies, cut.size / energies.size))
            yield _chi_square((np.clip(scores, -8, 8) ** 2).sum(), scores.size)


def lags(x):
    """Products of values, and of their magnitudes, at random distances."""
    rng = np.random.default_rng(SEED)
    y = x.astype(np.float64)
    magnitudes = (np.abs(y) - (2 / np.pi) ** 0.5) / (1 - 2 / np.pi) ** 0.5
    for _ in range(LAGS):
        lag = _lag(rng, x.shape)
        for field in (y, magnitudes):
            yield _normal((field * np.roll(field, lag, range(x.ndim))).mean() * x.size**0.5)


def triples(x):
    """Products of three values at random distances."""
    rng = np.random.default_rng(SEED + 1)
    y = x.astype(np.float64)
    for _ in range(LAGS // 2):
        first, second = (np.roll(y, _lag(rng, x.shape), range(x.ndim)) for _ in range(2))
        yield _normal((y * first * second).mean() * x.size**0.5)


def _lag(rng, shape):
    """Return a distance, small along most axes, never zero nor half of an axis."""
    while True:
        lag = [int(rng.integers(-min(n // 2 - 1, 9), min(n // 2 - 1, 9) + 1)) for n in shape]
        if any(lag):
            return lag


def _split(x):
    """Return the four bands of one level, on a torus."""
    scaling = DAUBECHIES_2
    detail = scaling[::-1] * np.array([1, -1, 1, -1])
    bands = [x]
    for axis in (-2, -1):
        bands = [
            sum(c * np.roll(b, -k, axis) for k, c in enumerate(filter_))
            for b in bands
            for filter_ in (scaling, detail)
        ]
        bands = [np.take(b, range(0, b.shape[axis], 2), axis) for b in bands]
    return bands


def _normal(score):
    return 2 * stats.norm.sf(abs(score))


def _chi_square(total, degrees):
    if not math.isfinite(total):
        return 0.0
    return min(1.0, 2 * min(stats.chi2.sf(total, degrees), stats.chi2.cdf(total, degrees)))
