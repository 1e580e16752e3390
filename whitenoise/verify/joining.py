"""From many p-values to one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from ..reference import FloatArray

__all__ = ["join", "join_few", "rate_of"]

_OVERLAP = 0.14  # measured by benchmarks/levels.py
_ONSET = 0.01


def join(log_rate: ArrayLike) -> FloatArray:
    """Log p-value of the smallest weighted p-value, ``rate = min_i p_i / share_i``.

    Shares sum to 1, so under any dependence at most a fraction `rate` of draws has a smaller one
    (union bound). For independent statistics the fraction is ``1 - exp(-rate)``. Statistics of one
    array overlap a little, and some are discrete: ``1 - exp(-theta(rate) rate)``, with
    ``theta(rate) = 1 - 0.14 rate / (rate + 0.01)`` set once from simulation. It tends to 1 for
    small rates: the level is at most 0.0583 at a nominal 0.05, 0.0109 at 0.01, 0.00102 at 0.001
    and 1.00002e-6 at 1e-6, however the statistics depend on each other.
    """
    log_rate = np.asarray(log_rate, np.float64)
    rate = np.exp(np.clip(log_rate, -30, 6))
    exact = np.log(-np.expm1(-_effective(rate)))
    return np.where(log_rate < -30, log_rate, np.minimum(exact, 0.0))


def join_few(log_pvalues: ArrayLike, shares: ArrayLike) -> float:
    """Log p-value of the smallest weighted p-value of independent statistics, however few.

    ``1 - prod_i (1 - share_i rate)``, which is `p` itself for a single one. Shares sum to 1.
    """
    shares = np.asarray(shares, np.float64)
    log_rate = float(np.min(np.asarray(log_pvalues, np.float64) - np.log(shares)))
    if log_rate < -30:
        return log_rate
    below = np.minimum(shares * np.exp(log_rate), 1.0)
    with np.errstate(divide="ignore"):
        return float(np.log(-np.expm1(np.sum(np.log1p(-below)))))


def rate_of(level: float) -> float:
    """Rate whose p-value is `level`."""
    target = -math.log1p(-level)

    def excess(rate: float) -> float:
        return float(_effective(np.asarray(rate))) - target

    return float(optimize.brentq(excess, 0.0, 4 * target))


def _effective(rate: FloatArray) -> FloatArray:
    return rate * (1 - _OVERLAP * rate / (rate + _ONSET))
