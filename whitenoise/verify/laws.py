"""Null laws, as functions from a statistic to its normal score.

A score is ``z = Phi^{-1}(P(statistic <= observed))``, standard normal under the null, so scores of
different statistics can be compared and added. It keeps both tails to the last digit: the package
never forms a probability near 1. Beyond the range of double precision (p below 1e-300) scores are
continued by the saddlepoint form, so that of two enormous effects the larger one still shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ..reference import FloatArray

__all__ = [
    "ScoreTable",
    "beta_scores",
    "binomial_log_pvalue",
    "bonferroni",
    "chi_square_scores",
    "flatness_law",
    "log_two_sided",
    "log_upper",
    "quadratic_law",
    "saddlepoint_table",
    "sidak",
    "sum_law",
]

_TINY = 1e-290  # below it SciPy's distribution functions underflow or lose digits
LOG_FLOOR = -1e300
"""Stands for the logarithm of a p-value of zero."""


def chi_square_scores(energy: ArrayLike, df: ArrayLike) -> FloatArray:
    """Scores of chi-square variables.

    Exact while the tail is above 1e-290, then ``w + log(v / w) / w`` with the signed root `w` of
    the deviance (Barndorff-Nielsen), whose relative error in the tail is about ``1 / (6 df)``.
    """
    energy, df = _floats(energy, df)
    shape, half = df / 2, np.maximum(energy, 0.0) / 2
    below, above = _floats(special.gammainc(shape, half), special.gammaincc(shape, half))
    score = _score(below, above)
    far = np.minimum(below, above) < _TINY
    if np.any(far):
        ratio = np.maximum(energy[far] / df[far], 1e-300)
        w = np.sign(ratio - 1) * np.sqrt(df[far] * (ratio - 1 - np.log(ratio)))
        v = np.sqrt(df[far] / 2) * (ratio - 1)
        score[far] = _modified_root(w, v)
    return score


def beta_scores(fraction: ArrayLike, a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Scores of Beta(a, b) variables; exact while the tail is above 1e-290, then a bound's."""
    fraction, a, b = _floats(np.clip(fraction, 0.0, 1.0), a, b)
    below, above = _floats(special.betainc(a, b, fraction), special.betaincc(a, b, fraction))
    score = _score(below, above)
    far = np.minimum(below, above) < _TINY
    if np.any(far):
        x = np.clip(fraction[far], 1e-300, 1 - 1e-16)
        mean = a[far] / (a[far] + b[far])
        deviance = a[far] * np.log(mean / x) + b[far] * np.log((1 - mean) / (1 - x))
        score[far] = np.sign(x - mean) * np.sqrt(2 * np.maximum(deviance, 0.0))
    return score


def binomial_log_pvalue(count: ArrayLike, trials: ArrayLike, probability: ArrayLike) -> FloatArray:
    """Two-sided log p-value of a binomial count: twice the smaller tail, exact."""
    count, trials, probability = _floats(count, trials, probability)
    # P(K >= k) = I_p(k, n - k + 1); at the ends the sum is over everything.
    at_least = special.betainc(np.maximum(count, 1e-300), trials - count + 1, probability)
    at_least = np.where(count <= 0, 1.0, at_least)
    at_most = special.betaincc(count + 1, np.maximum(trials - count, 1e-300), probability)
    at_most = np.where(count >= trials, 1.0, at_most)
    log_p = _log(np.minimum(1.0, 2 * np.minimum(at_least, at_most)))
    with np.errstate(divide="ignore"):
        deviance = special.rel_entr(count, trials * probability) + special.rel_entr(
            trials - count, trials * (1 - probability)
        )
    return np.where(log_p < np.log(_TINY), -deviance, log_p)


def log_two_sided(score: ArrayLike) -> FloatArray:
    """Log p-value of a score, both tails together."""
    log_p = np.log(2) + special.log_ndtr(-np.abs(np.asarray(score, np.float64)))
    return np.asarray(np.minimum(log_p, 0.0))


def log_upper(score: ArrayLike) -> FloatArray:
    """Log of the probability of a larger score."""
    return np.asarray(special.log_ndtr(-np.asarray(score, np.float64)))


def sidak(log_pvalue: ArrayLike, count: ArrayLike) -> FloatArray:
    """Log p-value of the smallest of `count` independent p-values: ``1 - (1 - p)^count``."""
    log_pvalue = np.minimum(np.asarray(log_pvalue, np.float64), 0.0)
    p = np.exp(np.minimum(log_pvalue, -1e-300))
    with np.errstate(divide="ignore"):
        joint = np.log(-np.expm1(count * np.log1p(-np.minimum(p, 1 - 1e-16))))
    return np.where(log_pvalue < -30, np.minimum(log_pvalue + np.log(count), 0.0), joint)


def bonferroni(log_pvalue: ArrayLike, count: ArrayLike) -> FloatArray:
    """Log of ``count * p``, at most 0: valid however the `count` p-values depend on each other."""
    return np.asarray(np.minimum(np.asarray(log_pvalue, np.float64) + np.log(count), 0.0))


@dataclass(frozen=True)
class ScoreTable:
    """Score as an increasing function of the statistic, by linear interpolation."""

    at: FloatArray
    score: FloatArray

    def __call__(self, statistic: ArrayLike) -> FloatArray:
        x = np.asarray(statistic, np.float64)
        z = np.interp(x, self.at, self.score)
        for end, side in ((0, -1), (-1, 1)):  # beyond the table go on with the last slope
            inner = 1 if end == 0 else -2
            slope = (self.score[end] - self.score[inner]) / (self.at[end] - self.at[inner])
            beyond = side * (x - self.at[end]) > 0
            z = np.where(beyond, self.score[end] + slope * (x - self.at[end]), z)
        return np.asarray(z)


def saddlepoint_table(t: FloatArray, k: FloatArray, k1: FloatArray, k2: FloatArray) -> ScoreTable:
    """Scores from a cumulant generating function ``K`` and its derivatives at increasing `t`.

    At the saddlepoint `t` the statistic is ``K'(t)`` and its score ``w + log(v / w) / w`` with
    ``w = sign(t) sqrt(2 (t K' - K))`` and ``v = t sqrt(K'')``. The table is parametric in `t`, so
    no equation is solved. The relative error of a tail of a sum of `n` terms is O(1/n), uniformly.

    References
    ----------
    R. Lugannani and S. Rice, "Saddle point approximation for the distribution of the sum of
    independent random variables", Adv. Appl. Prob. 12 (1980); O. E. Barndorff-Nielsen, "Modified
    signed log likelihood ratio", Biometrika 78 (1991).
    """
    w = np.sign(t) * np.sqrt(2 * np.maximum(t * k1 - k, 0.0))
    v = t * np.sqrt(np.maximum(k2, 0.0))
    good = (np.abs(w) > 1e-3) & np.isfinite(w) & np.isfinite(v) & (v != 0)
    at, score = k1[good], _modified_root(w[good], v[good])
    rising = (np.diff(at, prepend=-np.inf) > 0) & (np.diff(score, prepend=-np.inf) > 0)
    return ScoreTable(at[rising], score[rising])


def _gauss_legendre(breaks: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of the rule of an order on each interval between breaks."""
    node, weight = np.polynomial.legendre.leggauss(order)
    half = np.diff(breaks)[:, None] / 2
    return (breaks[:-1, None] + half * (1 + node)).ravel(), (half * weight).ravel()


# Where statistics have kinks, at 0 and +-4, intervals end.
_NODES, _WEIGHTS = _gauss_legendre(np.array([-9.5, -6.5, -4, -2, 0, 2, 4, 6.5, 9.5]), 96)
_LOG_WEIGHTS = np.log(_WEIGHTS) - _NODES**2 / 2
_LOG_WEIGHTS -= special.logsumexp(_LOG_WEIGHTS)
_REACH = 45.0  # tables reach about this score


def sum_law(g: Callable[[FloatArray], FloatArray], count: int) -> ScoreTable:
    """Law of the sum of `count` independent ``g(Z)``, `Z` standard normal.

    The cumulant generating function comes from quadrature on 768 nodes, exact to rounding for `g`
    that is smooth but at 0 and +-4.
    """
    value = g(_NODES)
    weight = np.exp(_LOG_WEIGHTS)
    mean = weight @ value
    value = value - mean
    spread = np.sqrt(weight @ value**2)
    near = np.linspace(0.05, _REACH, 300)
    step = np.concatenate([-near[::-1], near]) / (spread * np.sqrt(count))
    log_terms = step[:, None] * value + _LOG_WEIGHTS
    top = log_terms.max(axis=1, keepdims=True)
    terms = np.exp(log_terms - top)
    total = terms.sum(axis=1)
    k = np.log(total) + top[:, 0]
    k1 = terms @ value / total
    k2 = terms @ value**2 / total - k1**2
    table = saddlepoint_table(step, count * k, count * k1, count * k2)
    return ScoreTable(table.at + count * mean, table.score)


def quadratic_law(eigenvalues: FloatArray, multiplicity: FloatArray) -> ScoreTable:
    """Law of ``sum_i eigenvalue_i chi2(multiplicity_i)``, eigenvalues of both signs."""
    largest, least = eigenvalues.max(), eigenvalues.min()
    spread = np.sqrt(2 * np.sum(multiplicity * eigenvalues**2))
    near = np.concatenate([np.linspace(0.05, 12, 240), np.geomspace(12.2, 1e4, 160)]) / spread
    up, down = 0.5 / largest, 0.5 / abs(least)
    # tanh keeps the poles of the cumulant generating function out of reach
    t = np.concatenate([-down * np.tanh(near[::-1] / down), up * np.tanh(near / up)])
    t = np.unique(t[(t > -down * (1 - 1e-12)) & (t < up * (1 - 1e-12))])
    scaled = 1 - 2 * t[:, None] * eigenvalues
    k = -0.5 * np.log(scaled) @ multiplicity
    k1 = (eigenvalues / scaled) @ multiplicity
    k2 = 2 * (eigenvalues / scaled) ** 2 @ multiplicity
    return saddlepoint_table(t, k, k1, k2)


def flatness_law(shapes: FloatArray, mean_shape: float) -> ScoreTable:
    """Law of ``sum_i log(G_i / M)`` for independent gamma variables of given `shapes`.

    `M` is a scale: the mean of gamma variables whose shapes sum to ``n * mean_shape``, such that
    the ratios do not depend on it (Basu), so that the cumulant generating functions subtract:
    ``sum_i log Gamma(a_i + t) / Gamma(a_i) - log Gamma(A + n t) / Gamma(A) + n t log n``.
    """
    n, total = shapes.size, shapes.size * mean_shape
    values, counts = np.unique(shapes, return_counts=True)

    def derivative(order: int, t: FloatArray) -> FloatArray:
        if order == 0:
            terms = special.gammaln(values + t[:, None]) - special.gammaln(values)
            whole = special.gammaln(total + n * t) - special.gammaln(total) - n * t * np.log(n)
        else:
            terms = special.polygamma(order - 1, values + t[:, None])
            whole = n**order * special.polygamma(order - 1, total + n * t)
            whole = whole - (n * np.log(n) if order == 1 else 0.0)
        return np.asarray(terms @ counts - whole)

    spread = np.sqrt(derivative(2, np.zeros(1)))[0]
    near = np.linspace(0.05, _REACH, 300) / spread
    low = values.min()
    t = np.concatenate([-low * np.tanh(near[::-1] / low), near])
    t = np.unique(t[t > -low * (1 - 1e-9)])
    return saddlepoint_table(t, *(derivative(order, t) for order in range(3)))


def _floats(*values: ArrayLike) -> tuple[FloatArray, ...]:
    """Broadcast to arrays of doubles."""
    return tuple(np.broadcast_arrays(*(np.asarray(value, np.float64) for value in values)))


def _score(below: FloatArray, above: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.where(below < above, special.ndtri(below), -special.ndtri(above))


def _modified_root(w: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(w + np.log(v / w) / w)


def _log(p: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(np.log(p), LOG_FLOOR))
