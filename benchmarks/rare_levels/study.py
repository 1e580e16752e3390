"""Probabilities of rare events: of one statistic, and of the whole report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whitenoise.verify.joining import rate_of
from whitenoise.verify.run import Battery
from whitenoise.verify.view import Layout

from .catalogue import proposals

CHUNK = 2**20  # values drawn at once


@dataclass(frozen=True)
class Estimate:
    """A mean of independent draws, and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, draws):
        return cls(float(np.mean(draws)), float(np.std(draws) / np.sqrt(len(draws))))

    def __str__(self):
        return f"{self.value:.3g} ± {self.error:.1g}"


@dataclass(frozen=True)
class Union:
    """How often the p-value of a report is at most `level`."""

    shape: tuple[int, ...]
    level: float
    probability: Estimate
    """Of a report made of the statistics that were sampled."""
    unsampled: float
    """Most that the others can add."""
    ratios: dict[tuple[str, str], Estimate]
    """For each statistic, the probability that it alone rejects, over its part of the level."""


def battery_of(shape, family=None):
    """The families for float64 arrays of a shape, or one of them."""
    battery = Battery(Layout(shape, "float64"))
    if family is not None:
        battery.families = [f for f in battery.families if f.name == family]
    return battery


def log_pvalues(battery, x):
    """Log p-values of all statistics, shape (B,) each."""
    judged = battery.judge(battery.measure(x))
    return {(family, s.name): s.log_pvalue for family, _, s in judged}


def in_chunks(proposal, rng, size, count, tail):
    """Draws of a proposal, some at a time."""
    step = max(CHUNK // size, 2)
    for start in range(0, count, step):
        yield proposal.draw(rng, min(step, count - start), tail)


def tail_ratio(shape, key, level, count, rng):
    """``P(p <= level) / level`` for the p-value of one statistic."""
    battery = battery_of(shape, key[0])
    proposal = proposals(battery)[key]
    found = [
        weight * (log_pvalues(battery, x)[key] <= np.log(level))
        for x, weight in in_chunks(proposal, rng, battery.layout.size, count, level)
    ]
    return Estimate.of(np.concatenate(found) / level)


def union(shape, level, count, rng, least=20):
    """Condition on each statistic in turn, as often as its share of the budget says.

    ``P(union of A_i) = sum_i E[1(A_i) / (number of events)]``, with draws near `A_i` for the i-th
    term.
    """
    battery = battery_of(shape)
    shares, near = battery.shares(), proposals(battery)
    tails = {key: share * rate_of(level) for key, share in shares.items() if key in near}
    limits = np.log(list(tails.values()))[:, None]
    total, variance, ratios = 0.0, 0.0, {}
    for i, (key, tail) in enumerate(tails.items()):
        own = max(round(count * shares[key]), least)
        terms, alone = [], []
        for x, weight in in_chunks(near[key], rng, battery.layout.size, own, tail):
            found = log_pvalues(battery, x)
            events = np.stack([found[k] for k in tails]) <= limits
            alone.append(weight * events[i])
            terms.append(alone[-1] / np.maximum(events.sum(axis=0), 1))
        term = Estimate.of(np.concatenate(terms))
        total, variance = total + term.value, variance + term.error**2
        ratios[key] = Estimate.of(np.concatenate(alone) / tail)
    left = rate_of(level) * sum(share for key, share in shares.items() if key not in near)
    return Union(shape, level, Estimate(total, float(np.sqrt(variance))), left, ratios)
