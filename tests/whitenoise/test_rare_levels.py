"""Saddlepoint laws far out, against numerical inversion of the same transform.

``P(S >= s) = 1/pi int_0^inf Re exp(K(c + iu) - (c + iu) s) / (c + iu) du`` for any ``c > 0`` where
the cumulant generating function ``K`` exists, and its negative for ``c < 0`` and ``P(S <= s)``.
"""

import numpy as np
import pytest
from scipy import optimize, special

from whitenoise.verify.laws import flatness_law, quadratic_law, sum_law

LEVELS = (1e-3, 1e-6, 1e-9)
SIZES = (64, 256, 4096)


def inverted_tail(cumulant, c, s, spread):
    """Probability beyond `s`, on the side of the sign of `c`."""
    # u = sinh(v): fine near 0 and far-reaching, for transforms that decay slowly.
    v = np.linspace(0, np.arcsinh(1e3), 4001)
    u, step = np.sinh(v) / spread, np.cosh(v) / spread
    t = c + 1j * u
    value = np.real(np.exp(cumulant(t) - t * s) / t) * step
    return np.sign(c) * np.trapezoid(value, v) / np.pi


def ratios(table, cumulant, spread, ends):
    """True over stated probability at each level, both tails together."""
    result = []
    for level in LEVELS:
        total = 0.0
        for sign, end in zip((-1, 1), ends, strict=True):
            score = -sign * special.ndtri(level / 2)
            s = optimize.brentq(lambda s, z=score: table(s) - z, *table.at[[0, -1]] * 1.0)
            end = min(abs(end), 20 / spread) * sign
            # The integrand is smoothest through the saddlepoint, the minimum of K(t) - t s.
            c = optimize.minimize_scalar(
                lambda t, s=s: np.real(cumulant(np.array([t + 0j])))[0] - t * s,
                bounds=sorted((1e-9 * end, end)),
                method="bounded",
            ).x
            total += inverted_tail(cumulant, c, s, spread)
        result.append(total / level)
    return np.array(result)


def normal_quadrature():
    """Gauss-Legendre nodes between the kinks of the functions below, and normal weights."""
    node, weight = np.polynomial.legendre.leggauss(80)
    edges = np.array([-9.0, -4.0, 0.0, 4.0, 9.0])
    half = np.diff(edges)[:, None] / 2
    x = ((edges[1:] + edges[:-1])[:, None] / 2 + half * node).ravel()
    return x, (half * weight).ravel() * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


NODES, WEIGHTS = normal_quadrature()


def third(x):
    return np.clip(x, -4, 4) ** 3 - 3 * np.clip(x, -4, 4)


def fourth(x):
    return np.clip(x, -4, 4) ** 4 - 6 * np.clip(x, -4, 4) ** 2 + 3


def modulus(x):
    return np.abs(x) - x**2 / np.sqrt(2 * np.pi)


def centre_out(x):
    u = special.ndtr(x)
    return 6 * u * (u - 1) + 1


@pytest.mark.parametrize("g", [third, fourth, modulus, centre_out])
@pytest.mark.parametrize(("count", "least"), [(64, 0.82), (256, 0.95), (4096, 0.993)])
def test_sums(g, count, least):
    """Clipped moments of few values have less tail than a smooth law: never more than stated."""
    value, weight = g(NODES), WEIGHTS

    def cumulant(t):
        return count * np.log(np.exp(np.outer(t, value)) @ weight)

    spread = np.sqrt(count * (weight @ value**2 - (weight @ value) ** 2))
    found = ratios(sum_law(g, count), cumulant, spread, (-np.inf, np.inf))
    assert found.min() > least
    assert found.max() < 1.003


@pytest.mark.parametrize("order", [3, 4, 8, 128])
@pytest.mark.parametrize("size", SIZES)
def test_autocorrelations(order, size):
    cosine = np.cos(2 * np.pi * np.arange(order) / order)

    def cumulant(t):
        return -0.5 * size / order * np.sum(np.log(1 - 2 * np.outer(t, cosine)), axis=-1)

    once = cosine[: order // 2 + 1]
    copies = np.bincount(np.minimum(np.arange(order), order - np.arange(order)))
    spread = np.sqrt(2 * size / order * np.sum(cosine**2))
    ends = 0.5 / cosine.min() * (1 - 1e-9), 0.5 * (1 - 1e-9)
    found = ratios(quadratic_law(once, copies * size / order), cumulant, spread, ends)
    np.testing.assert_allclose(found, 1, atol=0.4 / size + 1e-4)


@pytest.mark.parametrize("count", [31, 127, 2047])
def test_flatness_of_ordinates(count):
    def cumulant(t):
        alone = count * special.loggamma(1 + t) - special.loggamma(count * (1 + t))
        return alone + special.loggamma(count) + count * t * np.log(count)

    spread = np.sqrt(count * special.polygamma(1, 1) - count**2 * special.polygamma(1, count))
    found = ratios(flatness_law(np.ones(count), 1.0), cumulant, spread, (-1 + 1e-9, np.inf))
    np.testing.assert_allclose(found, 1, atol=0.4 / count + 1e-4)
