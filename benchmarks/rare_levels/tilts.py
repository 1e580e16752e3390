"""Noise tilted exponentially, ``exp(t S - K(t))`` times the density of noise, for a statistic `S`.

The parameter is that at which the mean of `S` is about the quantile wanted. Several tilts, of both
tails or of several statistics, are used as a mixture, whose density ratio stays bounded (the
balance heuristic).
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special


def tilt_for(cumulant, derivative, tail, end):
    """Parameter between 0 and `end` whose saddlepoint is a one-sided p-value of `tail`."""
    wanted = special.ndtri(tail) ** 2 / 2

    def excess(t):
        return t * derivative(t) - cumulant(t) - wanted

    if np.isinf(end):
        end = np.sign(end)
        while excess(end) < 0:
            end *= 2
    return optimize.brentq(excess, 0.0, end)


def ratio(log_tilts):
    """Density of noise over that of an equal mixture of tilts, from logarithms (B, tilts)."""
    top = log_tilts.max(axis=-1)
    return np.exp(-top) / np.mean(np.exp(log_tilts - top[:, None]), axis=-1)


class _Law:
    """A variable on a fine grid, the value of ``g`` on it, and tilts of its sum."""

    def __init__(self, at, log_density, g, count):
        self.at, self.count = at, count
        self.log_density = log_density - special.logsumexp(log_density)
        weight = np.exp(self.log_density)
        self.centre = weight @ g(at)
        self.value = g(at) - self.centre
        self.spread = np.sqrt(weight @ self.value**2)

    def _weights(self, t):
        log_terms = self.log_density + t * self.value
        return np.exp(log_terms - special.logsumexp(log_terms))

    def cumulant(self, t):
        return self.count * special.logsumexp(self.log_density + t * self.value)

    def tilts(self, tail):
        def derivative(t):
            return self.count * (self._weights(t) @ self.value)

        return [tilt_for(self.cumulant, derivative, tail / 2, s * np.inf) for s in (-1, 1)]

    def draw(self, rng, size, t):
        """Independent draws of the tilted density, taken as constant between midpoints."""
        edges = (self.at[1:] + self.at[:-1]) / 2
        below = np.cumsum(self._weights(t))[:-1]
        return np.interp(rng.random(size), below, edges)


_FINE = 2**14


def _two_sided_draws(law, rng, count, tail):
    """Draws (B, n) of a mixture of the tilts of both tails, with their density ratio."""
    tilts = law.tilts(tail)
    half = count // 2
    parts = [(half, tilts[0]), (count - half, tilts[1])]
    draws = np.concatenate([law.draw(rng, (n, law.count), t) for n, t in parts])
    total = np.sum(np.interp(draws, law.at, law.value), axis=-1)
    return draws, ratio(np.stack([t * total - law.cumulant(t) for t in tilts], axis=-1))


class SumOfValues:
    """A sum of ``g`` over the values."""

    def __init__(self, shape, g):
        at = np.linspace(-9, 9, _FINE + 1)
        self.shape = shape
        self.law = _Law(at, -(at**2) / 2, g, int(np.prod(shape)))

    def draw(self, rng, count, tail):
        x, weight = _two_sided_draws(self.law, rng, count, tail)
        return x.reshape(count, *self.shape), weight


class SumOfOrdinates:
    """A sum of ``g(exp(-power))`` over ordinates of a spectrum, pairs of coefficients."""

    def __init__(self, shape, pairs, g):
        at = (np.arange(_FINE) + 0.5) / _FINE
        self.shape, self.pairs = shape, pairs
        self.law = _Law(at, np.zeros(_FINE), g, pairs.count)

    def draw(self, rng, count, tail):
        u, weight = _two_sided_draws(self.law, rng, count, tail)
        x = self.pairs.with_energies(rng.standard_normal((count, *self.shape)), -2 * np.log(u))
        return x, weight


class _Dirichlet:
    """Sum of the logarithms of some shares of a Dirichlet variable.

    A tilt adds `t` to the shapes of these. The total, independent of the shares, is left alone.
    """

    def __init__(self, shapes, total):
        self.shapes, self.total = shapes, total

    def cumulant(self, t):
        each = special.gammaln(self.shapes + t) - special.gammaln(self.shapes)
        whole = special.gammaln(self.total + t * self.shapes.size) - special.gammaln(self.total)
        return np.sum(each) - whole

    def derivative(self, t):
        n = self.shapes.size
        whole = n * special.digamma(self.total + t * n)
        return np.sum(special.digamma(self.shapes + t)) - whole

    def draw(self, rng, count, tail):
        """Parts (B, n) and the rest (B,) of a gamma variable, with the density ratio."""

        def cumulant(t):  # of the centred logarithm
            return self.cumulant(t) - t * centre

        def derivative(t):
            return self.derivative(t) - centre

        centre = self.derivative(0.0)
        ends = (1e-9 - 1) * self.shapes.min(), np.inf
        tilts = [tilt_for(cumulant, derivative, tail / 2, end) for end in ends]
        n, rest = self.shapes.size, self.total - self.shapes.sum()
        added = np.repeat(tilts, (count // 2, count - count // 2))
        parts = rng.gamma(self.shapes + added[:, None], size=(count, n))
        others = rng.gamma(rest, size=count) if rest > 0 else np.zeros(count)
        whole = parts.sum(axis=-1) + others
        logs = np.sum(np.log(parts / whole[:, None]), axis=-1)
        weight = ratio(np.stack([t * logs - self.cumulant(t) for t in tilts], axis=-1))
        scale = rng.gamma(self.total, size=count) / whole
        return parts * scale[:, None], others * scale, weight


class Flatness:
    """Sum of the logarithms of ordinates over their mean."""

    def __init__(self, shape, pairs):
        self.shape, self.pairs = shape, pairs
        self.law = _Dirichlet(np.ones(pairs.count), float(pairs.count))

    def draw(self, rng, count, tail):
        power, _, weight = self.law.draw(rng, count, tail)
        x = self.pairs.with_energies(rng.standard_normal((count, *self.shape)), 2 * power)
        return x, weight


class Determinant:
    """Determinant of a Gram matrix over a power of its trace, by Bartlett's decomposition."""

    def __init__(self, shape, cholesky):
        self.shape, self.cholesky = shape, cholesky
        rows, size = cholesky.rows, int(np.prod(shape))
        self.law = _Dirichlet((size // rows - np.arange(rows)) / 2, size / 2)

    def draw(self, rng, count, tail):
        diagonal, rest, weight = self.law.draw(rng, count, tail)
        rows, below = self.cholesky.rows, self.cholesky.below
        factor = np.zeros((count, rows, rows))
        factor[:, range(rows), range(rows)] = np.sqrt(2 * diagonal)
        entries = rng.standard_normal((count, below[0].size))
        entries *= np.sqrt(2 * rest / np.sum(entries**2, axis=-1))[:, None]
        factor[:, *below] = entries
        x = rng.standard_normal((count, *self.shape))
        return self.cholesky.with_factor(x, factor), weight


class Lags:
    """The loudest circular autocorrelation among some lags.

    ``sum_i x_i x_(i + lag)`` is a quadratic form that the Fourier transform makes diagonal, with
    eigenvalues ``cos(2 pi <lag, k / shape>)``.
    """

    def __init__(self, shape, lags):
        self.shape, self.lags = shape, [tuple(int(i) for i in lag) for lag in lags]
        self.index = tuple(np.array(self.lags).T)
        self.turn = [np.arange(n) / n for n in shape]
        self.axes = tuple(range(1, len(shape) + 1))
        self._tilts = {}

    def _eigenvalues(self, lag):
        phase = sum(k * t for k, t in zip(lag, np.ix_(*self.turn), strict=True))
        return np.cos(2 * np.pi * phase)

    def _tilt(self, lag, tail):
        """Tilts of both tails with their cumulants, from one lag of each spectrum."""
        c = self._eigenvalues(lag).ravel()
        kind = tail, *np.round(np.quantile(c, np.linspace(0, 1, 33)), 9)
        if kind not in self._tilts:
            ends = [0.5 / c.min() * (1 - 1e-9), 0.5 / c.max() * (1 - 1e-9)]
            self._tilts[kind] = [
                (t, _log_determinant(c, t))
                for t in (
                    tilt_for(
                        lambda t: _log_determinant(c, t),
                        lambda t: np.sum(c / (1 - 2 * t * c)),
                        tail / 2,
                        end,
                    )
                    for end in ends
                )
            ]
        return self._tilts[kind]

    def draw(self, rng, count, tail):
        tilts = np.array([self._tilt(lag, tail / len(self.lags)) for lag in self.lags])
        flat = tilts.reshape(-1, 2)  # (lag, tail) pairs: parameter, cumulant
        spectrum = np.fft.fftn(rng.standard_normal((count, *self.shape)), axes=self.axes)
        chosen = rng.permutation(np.arange(count) % len(flat))
        for c in np.unique(chosen):
            eigenvalues = self._eigenvalues(self.lags[c // 2])
            spectrum[chosen == c] /= np.sqrt(1 - 2 * flat[c, 0] * eigenvalues)
        x = np.fft.ifftn(spectrum, axes=self.axes).real
        sums = np.fft.ifftn(np.abs(spectrum) ** 2, axes=self.axes).real
        sums = sums[:, *self.index][:, :, None]
        logs = sums * tilts[:, :, 0] - tilts[:, :, 1]
        return x, ratio(logs.reshape(count, -1))


def _log_determinant(eigenvalues, t):
    return -0.5 * np.sum(np.log1p(-2 * t * eigenvalues))
