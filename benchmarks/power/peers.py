"""Other tests of white Gaussian noise, each a function from arrays (B, C, H, W) to B p-values.

Every test is against independent N(0, 1) values, though most look at one consequence of that only
and some do not see mean or scale. Exact null laws are used where they are known; the docstrings say
where a law is approximate. `python -m benchmarks.power` prints the rejection rates on noise.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from scipy import special, stats
from scipy.spatial import distance

import whitenoise as wn

CALIBRATION_DRAWS = 20_000
LAGS = 20
BLOCKS = 16
DIMENSION = 4
MOST_VECTORS = 1024  # Henze-Zirkler compares all pairs


def flat(x):
    return x.reshape(len(x), -1)


def normal(z):
    return 2 * special.ndtr(-np.abs(z))


def both_tails(below, above):
    return np.minimum(1.0, 2 * np.minimum(below, above))


def smallest(pvalues):
    """Bonferroni over the first axis."""
    return np.minimum(1.0, len(pvalues) * np.min(pvalues, axis=0))


# --- the law of one value


def mean(x):
    x = flat(x)
    return normal(x.sum(axis=1) / np.sqrt(x.shape[1]))


def norm(x):
    x = flat(x)
    energy, n = np.sum(x**2, axis=1), x.shape[1]
    return both_tails(special.gammainc(n / 2, energy / 2), special.gammaincc(n / 2, energy / 2))


def kolmogorov_smirnov(x):
    return np.array([stats.kstest(v, "norm").pvalue for v in flat(x)])


def anderson_darling(x):
    """Against N(0, 1), asymptotic law."""
    v = np.sort(flat(x), axis=1)
    n = v.shape[1]
    weight = (2 * np.arange(1, n + 1) - 1) / n
    statistic = -n - (special.log_ndtr(v) + special.log_ndtr(-v[:, ::-1])) @ weight
    return anderson_darling_tail(statistic)


@cache
def anderson_darling_nodes():
    """Exponents and weights of Smirnov's integrals for ``sum_j Z_j^2 / (j (j + 1))``.

    ``P(A^2 > a) = (1/pi) sum_k (-1)^(k+1) int exp(-a u / 2) / (u sqrt|D(u)|) du`` over u from
    ``(2k - 1) 2k`` to ``2k (2k + 1)``, where ``D(u) = -cos(pi sqrt(1 + 4u) / 2) / (pi u)``. The
    Gauss-Chebyshev rule takes in the square-root singularities at both ends.
    """
    points = 60
    angle = np.cos((np.arange(points) + 0.5) * np.pi / points)
    k = np.arange(1, 41)[:, None]
    low, high = (2 * k - 1) * 2 * k, 2 * k * (2 * k + 1)
    u = (low + high) / 2 + (high - low) / 2 * angle
    determinant = np.abs(np.cos(np.pi * np.sqrt(1 + 4 * u) / 2) / (np.pi * u))
    value = np.sqrt((u - low) * (high - u) / determinant) / u
    sign = np.where(k % 2, 1.0, -1.0)
    return u.ravel(), (sign * value / points).ravel()


def anderson_darling_tail(statistic):
    u, weights = anderson_darling_nodes()
    small = np.maximum(statistic, 0.15)  # where the probability is above 0.998
    return np.clip(np.exp(-np.outer(small, u) / 2) @ weights, 0.0, 1.0)


def skewness(x):
    return stats.skewtest(flat(x), axis=1).pvalue


def kurtosis(x):
    return stats.kurtosistest(flat(x), axis=1).pvalue


def dagostino(x):
    return stats.normaltest(flat(x), axis=1).pvalue


def jarque_bera(x):
    """Asymptotic law."""
    return stats.jarque_bera(flat(x), axis=1).pvalue


def shapiro(x):
    """Royston's approximation, made for at most 5000 values; beyond, the level drifts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="scipy.stats.shapiro", category=UserWarning)
        return np.array([stats.shapiro(v).pvalue for v in flat(x)])


# --- dependence along the flat array


def autocorrelations(x, lags):
    """Sample autocorrelations at lags 1 to `lags`, along the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    products = [np.sum(x[..., k:] * x[..., : x.shape[-1] - k], axis=-1) for k in range(lags + 1)]
    return np.stack(products[1:], axis=-1) / products[0][..., None]


def portmanteau(x):
    n = x.shape[1]
    r = autocorrelations(x, LAGS)
    statistic = n * (n + 2) * np.sum(r**2 / (n - np.arange(1, LAGS + 1)), axis=1)
    return special.chdtrc(LAGS, statistic)


def ljung_box(x):
    """Ljung-Box test of 20 lags, asymptotic law."""
    return portmanteau(flat(x))


def mcleod_li(x):
    """Ljung-Box test of the squares, asymptotic law."""
    return portmanteau(flat(x) ** 2)


def runs(x):
    """Runs of one sign: the number of changes is binomial; exact."""
    positive = flat(x) > 0
    changes = np.count_nonzero(positive[:, 1:] != positive[:, :-1], axis=1)
    law = stats.binom(positive.shape[1] - 1, 0.5)
    return both_tails(law.cdf(changes), law.sf(changes - 1))


def cumulative_periodogram(x):
    """Bartlett's test: the normalised cumulative periodogram is a uniform sample; exact."""
    x = flat(x)
    n = x.shape[1]
    periodogram = np.abs(np.fft.rfft(x, axis=1)[:, 1 : (n + 1) // 2]) ** 2
    cumulative = np.cumsum(periodogram, axis=1)
    u = cumulative[:, :-1] / cumulative[:, -1:]
    m = u.shape[1]
    rank = np.arange(1, m + 1)
    largest = np.maximum(np.max(rank / m - u, axis=1), np.max(u - (rank - 1) / m, axis=1))
    return stats.kstwo.sf(largest, m)


def bartlett_variances(x):
    """Bartlett's test that 16 consecutive blocks have one variance."""
    blocks = x.reshape(len(x), BLOCKS, -1)
    return stats.bartlett(*np.moveaxis(blocks, 1, 0), axis=1).pvalue


# --- dependence in the image, between channels


def neighbours(x):
    """Correlation with the next value along rows and along columns: the worse, doubled."""
    pvalues = []
    for axis in (2, 3):
        rows = np.moveaxis(x, axis, -1)
        products = rows[..., 1:] * rows[..., :-1]
        sizes = np.sum(rows[..., 1:] ** 2 * rows[..., :-1] ** 2, axis=(1, 2, 3))
        pvalues.append(normal(products.sum(axis=(1, 2, 3)) / np.sqrt(sizes)))
    return smallest(np.array(pvalues))


def channels(x):
    """Largest correlation between two channels, Student's exact law, Bonferroni over pairs."""
    count, size = x.shape[1], x.shape[2] * x.shape[3]
    v = x.reshape(len(x), count, size)
    v = v - v.mean(axis=2, keepdims=True)
    v = v / np.linalg.norm(v, axis=2, keepdims=True)
    above = np.triu_indices(count, 1)
    r = np.matmul(v, v.transpose(0, 2, 1))[:, above[0], above[1]]
    t = np.abs(r) * np.sqrt((size - 2) / (1 - r**2))
    return smallest(2 * stats.t.sf(t, size - 2).T)


def henze_zirkler(x):
    """Joint normality of the first 1024 groups of 4 consecutive values; lognormal approximation."""
    return np.array([henze_zirkler_one(v) for v in flat(x)])


def henze_zirkler_one(values):
    d = DIMENSION
    data = values.reshape(-1, d)[:MOST_VECTORS]
    n = len(data)
    centred = data - data.mean(axis=0)
    whitened = np.linalg.solve(np.linalg.cholesky(centred.T @ centred / n), centred.T).T
    own = np.sum(whitened**2, axis=1)
    between = distance.pdist(whitened, "sqeuclidean")
    b2 = ((2 * d + 1) * n / 4) ** (2 / (d + 4)) / 2
    statistic = (
        1
        + 2 * np.exp(-b2 / 2 * between).sum() / n
        - 2 * (1 + b2) ** (-d / 2) * np.exp(-b2 / (2 * (1 + b2)) * own).sum()
        + n * (1 + 2 * b2) ** (-d / 2)
    )
    a, w = 1 + 2 * b2, (1 + b2) * (1 + 3 * b2)
    expected = 1 - a ** (-d / 2) * (1 + d * b2 / a + d * (d + 2) * b2**2 / (2 * a**2))
    variance = (
        2 * (1 + 4 * b2) ** (-d / 2)
        + 2 * a**-d * (1 + 2 * d * b2**2 / a**2 + 3 * d * (d + 2) * b2**4 / (4 * a**4))
        - 4 * w ** (-d / 2) * (1 + 3 * d * b2**2 / (2 * w) + d * (d + 2) * b2**4 / (2 * w**2))
    )
    spread = np.log1p(variance / expected**2)
    score = (np.log(statistic) - np.log(expected) + spread / 2) / np.sqrt(spread)
    return special.ndtr(-score)


# --- MPGR


def mpgr_spectrum_excess(x):
    """Penalty less its terms for mean and scale: the term for the power spectrum."""
    x = flat(x)
    moments = np.abs(x.mean(axis=1)) + np.abs(np.sqrt(np.mean(x**2, axis=1)) - 1)
    return wn.baselines.mpgr_penalty(x, axis=-1, rng=0) - moments


@cache
def mpgr_moments(n):
    """Null mean, standard deviation and skewness of the penalty and of its spectral term."""
    rng = np.random.default_rng(n)
    parts = []
    for _ in range(CALIBRATION_DRAWS // 200):
        x = rng.standard_normal((200, n))
        parts.append([wn.baselines.mpgr_penalty(x, axis=-1, rng=0), mpgr_spectrum_excess(x)])
    draws = np.concatenate(parts, axis=1)
    return [(v.mean(), v.std(), stats.skew(v)) for v in draws]


def pearson(statistic, moments):
    """Law with the simulated mean, standard deviation and skewness (Pearson's type III)."""
    return stats.pearson3(moments[2], moments[0], moments[1]).sf(statistic)


def mpgr_penalty(x):
    """The penalty itself, too large; its null law is a gamma law fitted to 20,000 draws."""
    x = flat(x)
    value = wn.baselines.mpgr_penalty(x, axis=-1, rng=0)
    return pearson(value, mpgr_moments(x.shape[1])[0])


def mpgr_statistics(x):
    """Bonferroni over its three terms: mean, scale, power spectrum (fitted as the penalty)."""
    moments = mpgr_moments(flat(x).shape[1])[1]
    spectrum = pearson(mpgr_spectrum_excess(x), moments)
    return smallest(np.array([mean(x), norm(x), spectrum]))


PEERS = {
    "mean": mean,
    "chi-square norm": norm,
    "kstest": kolmogorov_smirnov,
    "Anderson-Darling": anderson_darling,
    "skewtest": skewness,
    "kurtosistest": kurtosis,
    "normaltest": dagostino,
    "Jarque-Bera": jarque_bera,
    "Shapiro-Wilk": shapiro,
    "Ljung-Box": ljung_box,
    "McLeod-Li": mcleod_li,
    "runs": runs,
    "Bartlett periodogram": cumulative_periodogram,
    "Bartlett variances": bartlett_variances,
    "neighbours": neighbours,
    "channels": channels,
    "Henze-Zirkler": henze_zirkler,
    "MPGR penalty": mpgr_penalty,
    "MPGR statistics": mpgr_statistics,
}
"""Single tests."""

BATTERIES = {
    "battery of four": ("kstest", "normaltest", "Ljung-Box", "chi-square norm"),
    "expert battery": (
        "mean",
        "chi-square norm",
        "kstest",
        "Anderson-Darling",
        "skewtest",
        "kurtosistest",
        "Ljung-Box",
        "Bartlett periodogram",
        "Bartlett variances",
        "neighbours",
    ),
}
"""Single tests joined by Bonferroni."""
