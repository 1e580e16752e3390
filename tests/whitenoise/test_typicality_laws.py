"""Null laws: forty digits where they are exact, inversion where they are saddlepoints."""

import mpmath as mp
import numpy as np
import pytest
from null_oracles import beta_tails, chi_square_tails, log_of, tail_by_inversion
from scipy import special, stats

from whitenoise.verify import laws
from whitenoise.verify.families.marginal import _MOMENTS
from whitenoise.verify.fourier import _centre_out

TAILS = (1e-3, 1e-6, 1e-9)
SCORES = stats.norm.isf(TAILS)


def log_p(score):
    return float(laws.log_two_sided(score))


@pytest.mark.parametrize("df", [1, 2, 3, 10, 97, 1000, 65536])
def test_chi_square_scores_have_ten_digits_down_to_1e_280(df):
    for tail in (0.4, 1e-2, 1e-9, 1e-60, 1e-200, 1e-280):
        for x in (stats.chi2.isf(tail, df), stats.chi2.ppf(tail, df)):
            if x > 1e-300:
                expected = log_of(min(chi_square_tails(x, df)))
                found = log_p(laws.chi_square_scores(x, df))
                assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("df", [1, 2, 3, 10, 97, 1000])
def test_chi_square_scores_beyond_doubles_are_off_by_a_sixth_of_the_freedom(df):
    """The relative error of the continued tail is about ``1 / (6 df)``, as stated."""
    for ratio in (1e-9, 1e-3, 0.05, 9, 1e3, 1e6):
        tail = chi_square_tails(ratio * df, df)[int(ratio > 1)]
        if 0 < tail < mp.mpf(10) ** -290:
            off = log_p(laws.chi_square_scores(ratio * df, df)) - log_of(tail)
            assert abs(off) < 0.25 / df + 1e-9 * abs(log_of(tail))


@pytest.mark.parametrize("df", [1, 4, 100, 65536])
def test_chi_square_scores_rise_and_do_not_jump(df):
    energy = df * np.geomspace(1e-12, 1e12, 20001)
    score = laws.chi_square_scores(energy, df)
    assert np.isfinite(score).all()
    assert (np.diff(score) >= 0).all()
    far = np.abs(score) > 34
    slope = np.diff(score)[far[1:] & far[:-1]]
    assert slope.max() < 1.2 * np.median(slope) + 0.01 * np.abs(score).max()


@pytest.mark.parametrize(
    ("a", "b"), [(0.5, 0.5), (0.5, 17.5), (0.5, 2047.5), (3, 3), (120, 136), (2048, 2048)]
)
def test_beta_scores_have_ten_digits_down_to_1e_280(a, b):
    for x in (1e-8, 1e-3, 0.1, 0.3, 0.42, 0.49, 0.5, 0.53, 0.6, 0.9, 0.999, 1 - 1e-9):
        tail = min(beta_tails(x, a, b))
        if tail > mp.mpf(10) ** -280:
            found = log_p(laws.beta_scores(x, a, b))
            assert found == pytest.approx(log_of(tail), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("a", "b"), [(0.5, 2047.5), (3, 3), (120, 136), (2048, 2048)])
def test_beta_scores_beyond_doubles_are_near_the_truth(a, b):
    """Off by a factor of 300 at most, where p-values are below 1e-290."""
    seen = 0
    for x in (1e-200, 1e-30, 1e-3, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 0.9999):
        tail = min(beta_tails(x, a, b))
        if 0 < tail < mp.mpf(10) ** -290:
            seen += 1
            assert abs(log_p(laws.beta_scores(x, a, b)) - log_of(tail)) < np.log(300)
    assert seen


@pytest.mark.parametrize(("a", "b"), [(0.5, 2047.5), (3, 3), (120, 136), (32768, 32768)])
def test_beta_scores_rise(a, b):
    """Up to a step where the exact tail ends, which is a step back of less than 0.1."""
    x = np.concatenate([np.geomspace(1e-300, 0.5, 4001), 1 - np.geomspace(0.5, 1e-15, 2001)])
    score = laws.beta_scores(x, a, b)
    assert np.isfinite(score).all()
    assert np.diff(score).min() > -0.1


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (20, 0.3), (400, 0.01), (2000, 0.999)])
def test_binomial_is_twice_the_smaller_tail(n, p):
    with mp.workdps(40):
        mass = [
            mp.binomial(n, k) * mp.mpf(p) ** k * (1 - mp.mpf(p)) ** (n - k) for k in range(n + 1)
        ]
        for k in sorted({0, 1, n // 20, n // 3, n // 2, n - 1, n, int(n * p)}):
            tail = min(mp.fsum(mass[: k + 1]), mp.fsum(mass[k:]))
            found = float(laws.binomial_log_pvalue(k, n, p))
            if tail > mp.mpf(10) ** -280:
                assert found == pytest.approx(log_of(tail), rel=1e-10, abs=1e-10)
            else:  # continued: the larger of two enormous effects still shows
                assert found == pytest.approx(log_of(tail), rel=0.01)


def test_scores_and_corrections_of_logarithms():
    with mp.workdps(400):
        for z in (0, 0.1, 1, 8, 37, 39, 1e3):
            expected = float(mp.log(mp.erfc(mp.mpf(z) / mp.sqrt(2))))
            assert log_p(z) == log_p(-z) == pytest.approx(expected, rel=1e-13)
            if z:
                upper = float(mp.log(mp.erfc(mp.mpf(z) / mp.sqrt(2)) / 2))
                assert float(laws.log_upper(z)) == pytest.approx(upper, rel=1e-13)
        for one in (-700.0, -40.0, -32.0, -29.999, -5.0, -1e-3, -1e-12):
            for count in (1, 2, 1000, 10**9):
                joint = float(mp.log(1 - (1 - mp.exp(one)) ** count))
                # Below e^-30 the leading term alone, whose relative error is half the product.
                allowed = 1e-10 + (count * np.exp(one) if one < -30 else 0)
                found = float(laws.sidak(one, count))
                assert found == pytest.approx(joint, rel=1e-10, abs=allowed)
                assert float(laws.bonferroni(one, count)) == pytest.approx(
                    min(one + np.log(count), 0), rel=1e-14
                )
    assert np.isfinite(laws.sidak([0.0, -1e300], 7)).all()
    assert float(laws.log_upper(0)) == pytest.approx(np.log(0.5))


def exact_over_stated(table, characteristic, spread, scores=None, nodes=500):
    """Exact probability beyond the table's quantiles over the nominal one, both tails."""
    scores = np.concatenate([-SCORES, SCORES]) if scores is None else scores
    ratios = []
    for score in scores:
        x = np.interp(score, table.score, table.at)
        assert float(table(x)) == pytest.approx(score, abs=1e-9)
        tail = tail_by_inversion(characteristic, x, spread, nodes)
        ratios.append((tail if score > 0 else 1 - tail) / stats.norm.sf(abs(score)))
    return np.array(ratios)


def transform(g, count):
    """Characteristic function of a sum of ``g(Z)``, by the midpoint rule; its mean and spread."""
    edges = np.linspace(-10, 10, 4001)
    x, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    value, weight = g(x), stats.norm.pdf(x) * width
    weight /= weight.sum()  # an error of 1e-13 would be multiplied by the count
    mean = weight @ value
    spread = np.sqrt(weight @ (value - mean) ** 2 * count)

    def characteristic(u):
        return np.array([weight @ np.exp(1j * v * value) for v in u]) ** count

    return characteristic, spread


def test_sum_law_of_squares_is_chi_square():
    """At scores up to 8; the relative error of the tail is below 4 % and falls with the count."""
    for count, allowed in ((64, 0.04), (1024, 0.004)):
        law = laws.sum_law(np.square, count)
        for z in (-8, -6, -3, -1, 1, 3, 6, 8):
            x = stats.chi2.isf(stats.norm.sf(z), count) if z > 0 else None
            x = stats.chi2.ppf(stats.norm.cdf(z), count) if x is None else x
            assert log_p(law(x)) == pytest.approx(log_p(z), abs=allowed)


def test_sum_law_of_values_is_normal():
    law = laws.sum_law(lambda x: x, 64)
    x = np.linspace(-90, 90, 41)
    np.testing.assert_allclose(law(x), x / 8, atol=2e-3)


def test_sum_law_of_exponentials_is_gamma():
    law = laws.sum_law(lambda x: -special.log_ndtr(-x), 64)
    for z in (-8, -6, -3, -1, 1, 3, 6):
        gamma = stats.gamma(64)
        x = gamma.isf(stats.norm.sf(z)) if z > 0 else gamma.ppf(stats.norm.cdf(z))
        assert log_p(law(x)) == pytest.approx(log_p(z), abs=0.01)


@pytest.mark.parametrize(
    ("count", "name", "low", "high"),
    [  # largest relative error of tails at 1e-3, 1e-6 and 1e-9, measured and rounded up
        (64, "third", 0.10, 0.10),
        (64, "fourth", 0.01, 0.22),
        (64, "modulus", 0.40, 0.01),
        (256, "third", 0.03, 0.03),
        (256, "fourth", 0.01, 0.09),
        (256, "modulus", 0.01, 0.01),
    ],
)
def test_laws_of_moments(count, name, low, high):
    g = _MOMENTS[name]
    ratio = exact_over_stated(laws.sum_law(g, count), *transform(g, count))
    assert np.abs(ratio[:3] - 1).max() < low
    assert np.abs(ratio[3:] - 1).max() < high


@pytest.mark.parametrize("count", [15, 127])
def test_law_of_the_concentration_of_ordinates(count):
    """`P_2(2u - 1)` of uniform ordinates: tails within 6 % at 15 terms, 1 % at 127."""
    ratio = exact_over_stated(laws.sum_law(_centre_out, count), *transform(_centre_out, count))
    possible = ratio > 0.5 if count == 15 else np.ones(6, bool)  # a sum has a smallest value
    assert np.abs(ratio[possible] - 1).max() < (0.06 if count == 15 else 0.01)


@pytest.mark.parametrize("name", ["third", "fourth", "modulus"])
def test_laws_of_moments_hold_for_a_billion_values(name):
    """The expectation scores zero: an error of 1e-6 in one term would be a sigma here."""
    points = {"third": [-4, 4], "fourth": [-4, 4], "modulus": [0]}[name]
    g = _MOMENTS[name]
    with mp.workdps(30):
        ends = [-mp.inf, *points, mp.inf]
        density = lambda x: mp.npdf(x) * mp.mpf(float(g(np.float64(x))))  # noqa: E731
        mean = float(mp.quad(density, ends))
    for count in (10**6, 10**9):
        assert abs(float(laws.sum_law(g, count)(count * mean))) < 0.05


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 8.0, 64.0])
def test_flatness_of_two_gammas_is_a_beta_law(shape):
    """``log(4 B (1 - B))`` with ``B ~ Beta(a, a)``: tails of unevenness, off by half at most."""
    law = laws.flatness_law(np.full(2, shape), shape)
    for tail in TAILS:
        b = stats.beta.ppf(tail / 2, shape, shape)
        score = float(law(np.log(4) + np.log(b) + np.log1p(-b)))
        assert special.ndtr(score) == pytest.approx(tail, rel=0.5)


@pytest.mark.parametrize(
    ("shapes", "mean", "allowed"),
    [  # ordinates of spectra, determinants of p slices of n values
        (np.ones(31), 1.0, 0.02),
        (np.ones(127), 1.0, 0.004),
        ((64 - np.arange(4)) / 2, 32.0, 0.03),
        ((32 - np.arange(8)) / 2, 16.0, 0.01),
        ((48 - np.arange(16)) / 2, 24.0, 0.01),
    ],
    ids=["31 ordinates", "127 ordinates", "4x64", "8x32", "16x48"],
)
def test_flatness_by_inversion(shapes, mean, allowed):
    n, total = shapes.size, shapes.size * mean

    def characteristic(u):
        s = 1j * u
        log = special.loggamma(shapes + s[:, None]) - special.gammaln(shapes)
        whole = special.loggamma(total + n * s) - special.gammaln(total) - n * s * np.log(n)
        return np.exp(log.sum(axis=1) - whole)

    table = laws.flatness_law(shapes, mean)
    variance = special.polygamma(1, shapes).sum() - n**2 * special.polygamma(1, total)
    reached = SCORES[table.score[-1] > SCORES]  # the determinant has a largest value
    scores = np.concatenate([-SCORES, reached])
    ratio = exact_over_stated(table, characteristic, np.sqrt(variance), scores, 20_000)
    np.testing.assert_allclose(ratio, 1, atol=allowed)


def test_flatness_against_gamma_variables():
    """100,000 draws, no quantile off by more than 5 standard errors (false alarm 4e-6)."""
    rng = np.random.default_rng(1)
    shapes = (10 - np.arange(3)) / 2
    gram = rng.standard_normal((100_000, 3, 10))
    gram = gram @ gram.swapaxes(1, 2)
    trace = np.trace(gram, axis1=1, axis2=2) / 3
    score = laws.flatness_law(shapes, 5.0)(np.linalg.slogdet(gram / trace[:, None, None])[1])
    for z in (-3, -2, -1, 0, 1):
        p = stats.norm.cdf(z)
        assert abs(np.mean(score < z) - p) < 5 * np.sqrt(p * (1 - p) / 1e5) + 0.02 * p


def cosines(order, size):
    return np.cos(2 * np.pi * np.arange(order) / order), np.full(order, size / order)


@pytest.mark.parametrize("size", [4, 16, 64, 256])
def test_quadratic_law_of_two_signs(size):
    """``X - Y``, chi-square with half the freedom each: a Bessel density, integrated."""
    half = size / 2
    law = laws.quadratic_law(np.array([1.0, -1.0]), np.array([half, half]))
    for tail in TAILS:
        x = float(np.interp(stats.norm.isf(tail), law.score, law.at))
        with mp.workdps(30):
            # P(X - Y > x) = int f_Y(y) P(X > x + y) dy
            a = mp.mpf(half) / 2

            def integrand(y, x=x, a=a):
                density = y ** (a - 1) * mp.exp(-y / 2) / (2**a * mp.gamma(a))
                return density * mp.gammainc(a, (x + y) / 2, mp.inf, regularized=True)

            exact = float(mp.quad(integrand, [0, half / 2, half, 2 * half, 6 * half + 60]))
        stated = stats.norm.sf(float(law(x)))
        assert exact == pytest.approx(stated, rel=0.6 / size)
        assert float(law(-x)) == pytest.approx(-float(law(x)), rel=1e-9)


@pytest.mark.parametrize(
    ("order", "size", "allowed"),
    [
        (3, 63, 0.03),
        (4, 64, 0.005),
        (5, 60, 0.006),
        (8, 64, 0.002),
        (16, 64, 0.002),
        (128, 256, 6e-4),
    ],
)
def test_quadratic_law_of_cosines(order, size, allowed):
    eigenvalues, copies = cosines(order, size)
    spread = np.sqrt(2 * np.sum(copies * eigenvalues**2))

    def characteristic(u):
        return np.exp(-0.5 * np.log(1 - 2j * u[:, None] * eigenvalues) @ copies)

    ratio = exact_over_stated(laws.quadratic_law(eigenvalues, copies), characteristic, spread)
    np.testing.assert_allclose(ratio, 1, atol=allowed)


def test_tables_go_on_beyond_their_ends():
    """Increasing and finite, so that of two enormous effects the larger one shows."""
    for table in (
        laws.sum_law(_MOMENTS["third"], 64),
        laws.quadratic_law(*cosines(8, 64)),
        laws.flatness_law(np.ones(31), 1.0),
    ):
        x = np.concatenate([-np.geomspace(1e12, 1, 200), [0.0], np.geomspace(1, 1e12, 200)])
        score = table(x)
        assert np.isfinite(score).all()
        assert (np.diff(score) > 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_laws_of_few_terms_make_no_warning(count):
    for g in (*_MOMENTS.values(), _centre_out):
        table = laws.sum_law(g, count)
        assert np.isfinite(table.score).all()
        assert (np.diff(table.at) > 0).all()
