"""Noise conditioned on a tail of a function of independent scores: exact, every draw in the tail.

A proposal has one method, ``draw(rng, count, tail)``: arrays, and the ratio of the density of noise
to that of the proposal at each. The proposal covers the event ``p <= tail`` of its statistic, so
the mean of ``ratio * (p <= tail)`` is the probability of that event.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special, stats


def two_tails(rng, size, tail):
    """Normal variables beyond the two-sided p-value `tail`."""
    far = -special.ndtri(rng.uniform(0, tail / 2, size))
    return far * rng.choice([-1, 1], size)


class Overall:
    """The sum of squared scores is too large or too small.

    With `slack` the condition is that many times more probable: for a statistic that is not quite
    a function of these scores.
    """

    def __init__(self, shape, field, slack=1.0):
        self.shape, self.field, self.slack = shape, field, slack

    def draw(self, rng, count, tail):
        tail = min(self.slack * tail, 1.0)
        x = rng.standard_normal((count, *self.shape))
        scores = self.field.scores(x)
        p = rng.uniform(0, tail / 2, count)
        sides = stats.chi2.isf(p, self.field.count), stats.chi2.ppf(p, self.field.count)
        total = np.where(rng.random(count) < 0.5, *sides)
        scores *= np.sqrt(total / np.sum(scores**2, axis=-1))[:, None]
        return self.field.with_scores(x, scores), np.full(count, tail)


class Largest:
    """The largest modulus of a score; `sides` 1 for the largest score itself."""

    def __init__(self, shape, field, sides=2, slack=1.0):
        self.shape, self.field, self.sides, self.slack = shape, field, sides, slack

    def draw(self, rng, count, tail):
        tail = min(self.slack * tail, 1.0)
        x = rng.standard_normal((count, *self.shape))
        scores, groups = self.field.scores(x), self.field.count
        each = -np.expm1(np.log1p(-tail) / groups)
        which = np.arange(count), rng.integers(groups, size=count)
        scores[which] = two_tails(rng, count, 2 * each / self.sides)
        seen = np.abs(scores)
        if self.sides == 1:
            scores[which] = seen[which]
            seen = scores
        within = np.sum(seen >= -special.ndtri(each / self.sides), axis=-1)
        return self.field.with_scores(x, scores), groups * each / np.maximum(within, 1)


class Trend:
    """A weighted sum of scores."""

    def __init__(self, shape, field):
        self.shape, self.field = shape, field
        ramp = np.arange(field.count) - (field.count - 1) / 2
        self.contrast = ramp / np.sqrt(ramp @ ramp)

    def draw(self, rng, count, tail):
        x = rng.standard_normal((count, *self.shape))
        scores = self.field.scores(x)
        change = two_tails(rng, count, tail) - scores @ self.contrast
        scores += change[:, None] * self.contrast
        return self.field.with_scores(x, scores), np.full(count, tail)


class Zero:
    """A single score that is too near to zero."""

    def __init__(self, shape, field):
        self.shape, self.field = shape, field

    def draw(self, rng, count, tail):
        x = rng.standard_normal((count, *self.shape))
        near = special.ndtri(0.5 + rng.uniform(-0.5, 0.5, (count, 1)) * tail)
        return self.field.with_scores(x, near), np.full(count, tail)


class Window:
    """An energy that is too near to `target`."""

    def __init__(self, shape, field, target):
        self.shape, self.field, self.target = shape, field, target

    def draw(self, rng, count, tail):
        law = stats.chi2(self.field.freedom[0])

        def excess(half):
            return law.cdf(self.target + half) - law.cdf(self.target - half) - tail

        half = tail / 2 / law.pdf(self.target)
        if tail > 1e-4:  # beyond, the density is flat to many digits
            half = optimize.brentq(excess, 0, self.target)
        energy = self.target + half * rng.uniform(-1, 1, (count, 1))
        x = self.field.with_energies(rng.standard_normal((count, *self.shape)), energy)
        return x, law.pdf(energy[:, 0]) * 2 * half
