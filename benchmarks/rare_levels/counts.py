"""Noise conditioned on, or tilted towards, counts of values between quantiles."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from .tilts import ratio


def _values(rng, shape, low, high):
    """Normal values whose probability is uniform between `low` and `high`, in random order."""
    u = rng.permuted(low + (high - low) * rng.random(low.shape), axis=-1)
    return special.ndtri(u).reshape(-1, *shape)


class Cells:
    """Squared deviations of the splits of nested halves, summed over some levels.

    A split of `n` values is tilted from ``Binomial(n, 1/2)`` by ``exp(t d)`` with its squared
    deviation `d`; the norming constants are sums over all splits.
    """

    def __init__(self, shape, levels):
        self.shape, self.levels = shape, levels
        self.freedom = sum(2 ** (level - 1) for level in levels)
        self._laws = {}

    def _law(self, n, t):
        """Log norming constant and distribution function of a tilted split."""
        if (n, t) not in self._laws:
            k = np.arange(n + 1)
            log_mass = stats.binom.logpmf(k, n, 0.5) + t * _deviation(k, n)
            norm = special.logsumexp(log_mass)
            self._laws[n, t] = norm, np.cumsum(np.exp(log_mass - norm))
        return self._laws[n, t]

    def draw(self, rng, count, tail):
        quantiles = stats.chi2.ppf(tail / 2, self.freedom), stats.chi2.isf(tail / 2, self.freedom)
        tilts = [(1 - self.freedom / q) / 2 for q in quantiles]
        own = rng.permutation(np.arange(count) % 2)
        cells = np.full((count, 1), int(np.prod(self.shape)))
        logs = np.zeros((count, 2))
        for level in range(1, max(self.levels) + 1):
            if level not in self.levels:
                half = rng.binomial(cells, 0.5)
            else:
                half = np.zeros_like(cells)
                for n in np.unique(cells):
                    at = cells == n
                    for side, t in enumerate(tilts):
                        _, below = self._law(int(n), t)
                        chosen = at & (own == side)[:, None]
                        u = rng.random(np.count_nonzero(chosen)) * below[-1]
                        half[chosen] = np.searchsorted(below, u)
                for side, t in enumerate(tilts):
                    norm = np.zeros_like(cells, dtype=float)
                    for n in np.unique(cells):
                        norm[cells == n] = self._law(int(n), t)[0]
                    logs[:, side] += np.sum(t * _deviation(half, cells) - norm, axis=-1)
            cells = np.stack([half, cells - half], axis=-1).reshape(count, -1)
        index = np.repeat(np.tile(np.arange(cells.shape[1]), count), cells.ravel())
        index = index.reshape(count, -1)
        width = 1 / cells.shape[1]
        return _values(rng, self.shape, index * width, (index + 1) * width), ratio(logs)


def _deviation(half, n):
    return (2 * half - n) ** 2 / np.maximum(n, 1)


class Thresholds:
    """The count below some threshold is too high or too low: a union of binomial tails."""

    def __init__(self, shape, thresholds):
        self.shape, self.probability = shape, special.ndtr(np.asarray(thresholds))

    def draw(self, rng, count, tail):
        n, p = int(np.prod(self.shape)), self.probability
        law = stats.binom(n, p)
        k = np.arange(n + 1)[:, None]
        each = tail / 2 / p.size * (1 + 1e-9)
        at_most, at_least = law.cdf(k), law.sf(k - 1)
        masses = np.stack([at_most * (at_most <= each), at_least * (at_least <= each)])
        mass = masses.max(axis=1)  # of each tail, of each threshold
        low = np.sum(at_most <= each, axis=0) - 1  # last count of the lower tail
        high = n + 1 - np.sum(at_least <= each, axis=0)
        chosen = rng.choice(2 * p.size, count, p=mass.ravel() / mass.sum())
        below = np.zeros(count, dtype=int)
        for c in np.unique(chosen):
            side, i = divmod(c, p.size)
            inside = k[: low[i] + 1, 0] if side == 0 else k[high[i] :, 0]
            weight = stats.binom.pmf(inside, n, p[i])
            at = chosen == c
            below[at] = rng.choice(inside, np.count_nonzero(at), p=weight / weight.sum())
        own = p[chosen % p.size][:, None]
        first = np.arange(n) < below[:, None]
        x = _values(rng, self.shape, np.where(first, 0.0, own), np.where(first, own, 1.0))
        seen = np.sum(x.reshape(count, -1, 1) < special.ndtri(p), axis=1)
        events = np.sum((seen <= low) | (seen >= high), axis=-1)
        return x, mass.sum() / np.maximum(events, 1)


class Triples:
    """Odd numbers of positive values among three neighbours along an axis, a fair binomial."""

    def __init__(self, shape, axis):
        self.shape, self.axis = shape, axis

    def draw(self, rng, count, tail):
        x = np.moveaxis(np.abs(rng.standard_normal((count, *self.shape))), self.axis + 1, -1)
        n = x.shape[-1]
        trials = x[0].size // n * (n - 2)
        k = np.arange(trials + 1)
        at_most = stats.binom.cdf(k, trials, 0.5)
        mass = stats.binom.pmf(k, trials, 0.5)
        far = np.minimum(at_most, at_most[::-1]) <= tail / 2 * (1 + 1e-9)
        mass = np.where(far, mass, 0.0)
        odd = rng.choice(k, count, p=mass / mass.sum())
        odd = rng.permuted(np.arange(trials) < odd[:, None], axis=-1)
        odd = odd.reshape(*x.shape[:-1], n - 2)
        positive = rng.random(x.shape) < 0.5
        for i in range(n - 2):  # each value makes its triple what it should be
            positive[..., i + 2] = odd[..., i] ^ positive[..., i] ^ positive[..., i + 1]
        x = np.moveaxis(np.where(positive, x, -x), -1, self.axis + 1)
        return x, np.full(count, mass.sum())
