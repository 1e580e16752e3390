"""How often the p-value of a report is small, knowing nothing of what it is made of.

Subset simulation: arrays whose p-value is below one level are moved by a chain that keeps the law
of noise, and stay below it; the share of them below the next level is counted, and so on down.

References
----------
S. K. Au and J. L. Beck, "Estimation of small failure probabilities in high dimensions by subset
simulation", Probabilistic Engineering Mechanics 16 (2001); S. L. Cotter et al., "MCMC methods for
functions", Statistical Science 28 (2013), for the move.
"""

from __future__ import annotations

import numpy as np

from whitenoise.verify.joining import join

from .study import Estimate, battery_of

LEVELS = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
MOVES = 4
STEPS = (0.03, 0.7)  # shortest and longest


def log_pvalue(battery, x):
    judged = battery.judge(battery.measure(x))
    return join(np.min([s.log_pvalue - np.log(share) for _, share, s in judged], axis=0))


def descend(battery, particles, rng):
    """Probability of each of `LEVELS`, without bias, from one population."""
    shape = battery.layout.shape
    x = rng.standard_normal((10 * particles, *shape))
    log_p = log_pvalue(battery, x)
    found = []
    probability = 1.0
    for level in LEVELS:
        below = np.flatnonzero(log_p <= np.log(level))
        probability *= below.size / log_p.size
        found.append(probability)
        if below.size == 0:
            return np.array(found + [0.0] * (len(LEVELS) - len(found)))
        chosen = rng.choice(below, particles)
        x, log_p = x[chosen], log_p[chosen]
        for _ in range(MOVES):
            step = np.exp(rng.uniform(*np.log(STEPS), particles)).reshape(-1, *(1,) * len(shape))
            proposed = np.sqrt(1 - step**2) * x + step * rng.standard_normal(x.shape)
            new = log_pvalue(battery, proposed)
            stay = new > np.log(level)
            x = np.where(stay.reshape(step.shape), x, proposed)
            log_p = np.where(stay, log_p, new)
    return np.array(found)


def split(shape, particles, repeats, rng):
    """Estimate of each of `LEVELS`, its error from independent populations."""
    battery = battery_of(shape)
    found = np.stack([descend(battery, particles, rng) for _ in range(repeats)])
    return {level: Estimate.of(found[:, i]) for i, level in enumerate(LEVELS)}
