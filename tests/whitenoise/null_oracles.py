"""Null laws by other means than the library's: exact tails, inversion, SciPy's distributions."""

from __future__ import annotations

import mpmath as mp
import numpy as np
from scipy import stats


def tail_by_inversion(characteristic, x, spread, nodes):
    """P(S > x) from the characteristic function, by the midpoint rule (Davies, 1973).

    The error is about the probability of 40 standard deviations, and rounding: 1e-14 in all.
    """
    u = (np.arange(nodes) + 0.5) * 2 * np.pi / (40 * spread)
    value = characteristic(u)
    assert abs(value[-1]) < 1e-13, "more nodes are needed"
    return float(
        0.5 + np.sum((value * np.exp(-1j * u * x)).imag / (np.pi * (np.arange(nodes) + 0.5)))
    )


def two_sided(law, value):
    """Log of twice the smaller tail of a frozen law of SciPy."""
    return np.minimum(np.log(2) + np.minimum(law.logcdf(value), law.logsf(value)), 0.0)


def normal_score(law, value):
    """Quantile of the standard normal at the probability of `value`."""
    below, above = law.cdf(value), law.sf(value)
    return np.where(below < above, stats.norm.ppf(below), stats.norm.isf(above))


def smallest_of(log_p, count):
    """Log p-value of the smallest of `count` independent ones."""
    return float(np.log(-np.expm1(count * np.log1p(-np.exp(log_p)))))


def chi_square_tails(x, df):
    """Both tails, with forty digits."""
    with mp.workdps(40):
        a, half = mp.mpf(df) / 2, mp.mpf(float(x)) / 2
        return (
            mp.gammainc(a, 0, half, regularized=True),
            mp.gammainc(a, half, mp.inf, regularized=True),
        )


def beta_tails(x, a, b):
    """Both tails, with forty digits, by the series of positive terms of the smaller one."""
    with mp.workdps(40):
        low = x < a / (a + b)
        near, far = mp.mpf(float(x)), 1 - mp.mpf(float(x))
        a, b = mp.mpf(a), mp.mpf(b)
        if not low:
            near, far, a, b = far, near, b, a
        term = total = mp.mpf(1)
        k = 0
        while term > total * mp.mpf(10) ** -35:
            term *= (a + b + k) / (a + 1 + k) * near
            total += term
            k += 1
        tail = near**a * far**b / (a * mp.beta(a, b)) * total
        return (tail, 1 - tail) if low else (1 - tail, tail)


def log_of(tail):
    """Natural logarithm of twice a tail of mpmath, at most 0."""
    with mp.workdps(40):
        return float(min(mp.log(2 * tail), mp.mpf(0)))


def fourier_matrix(n):
    k = np.arange(n)
    return np.exp(-2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)


def cosine_matrix(n):
    k, t = np.arange(n)[:, None], np.arange(n) + 0.5
    matrix = np.sqrt(2 / n) * np.cos(np.pi * k * t / n)
    matrix[0] /= np.sqrt(2)
    return matrix
