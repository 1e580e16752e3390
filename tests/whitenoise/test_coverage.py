"""Joint and pointwise coverage: exact recursion, extrapolation, and what simulation says.

Statistical checks use fixed seeds and tolerances of 4.9 standard errors: each would fail by chance
once in a million seeds.
"""

from fractions import Fraction
from itertools import pairwise
from math import comb, factorial, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from whitenoise.coverage import (
    EXACT_LIMIT,
    _exact_violation,
    crossing_probability,
    one_level_violation,
    simultaneous_alpha,
)
from whitenoise.order_statistics import one_level_interval, two_level_interval
from whitenoise.sets import Global, OneLevel, Tiles, TwoLevel

SIGMAS = 4.9  # two-sided normal tail 1e-6


def within_binomial_error(hits, draws, probability):
    return abs(hits - draws * probability) <= SIGMAS * np.sqrt(
        draws * probability * (1 - probability)
    )


def steck_violation(lower, upper):
    """Exact, by Steck's determinant: ``n! det[(upper_i - lower_j)_+^(j-i+1) / (j-i+1)!]``."""
    n = len(lower)

    def entry(i, j):
        power = j - i + 1
        return (
            max(upper[i] - lower[j], 0) ** power / Fraction(factorial(power)) if power >= 0 else 0
        )

    # The matrix is zero below the first subdiagonal, which is one: expand along the last column.
    minors = [Fraction(1)]
    for k in range(n):
        minors.append(sum((-1) ** (k - i) * entry(i, k) * minors[i] for i in range(k + 1)))
    return 1 - factorial(n) * minors[n]


def enumerated_violation(lower, upper):
    """Exact, by counting: all ways to spread n uniforms over the cells between the bounds."""
    n, cuts = len(lower), sorted({Fraction(0), *lower, *upper, Fraction(1)})
    widths = [b - a for a, b in pairwise(cuts)]

    def spread(cell, left):
        if cell == len(widths):
            return Fraction(left == 0)
        return sum(
            comb(left, k) * widths[cell] ** k * spread(cell + 1, left - k)
            for k in range(left + 1)
            if all(
                lower[i] <= cuts[cell] and cuts[cell + 1] <= upper[i]
                for i in range(n - left, n - left + k)
            )
        )

    return 1 - spread(0, n)


@st.composite
def boundaries(draw, largest):
    """Nondecreasing bounds that are multiples of 1/64, ties and empty bands included."""
    n = draw(st.integers(1, largest))
    ends = [sorted(draw(st.lists(st.integers(0, 64), min_size=n, max_size=n))) for _ in range(2)]
    lower = [Fraction(min(pair), 64) for pair in zip(*ends, strict=True)]
    upper = [Fraction(max(pair), 64) for pair in zip(*ends, strict=True)]
    return lower, upper


def recursion(lower, upper):
    return crossing_probability(np.array(lower, float), np.array(upper, float))


@settings(max_examples=200)
@given(boundaries(largest=6))
def test_crossing_probability_is_stecks_determinant(bounds):
    assert recursion(*bounds) == pytest.approx(
        float(steck_violation(*bounds)), rel=1e-12, abs=1e-15
    )


@settings(max_examples=100)
@given(boundaries(largest=3))
def test_crossing_probability_is_the_counted_one(bounds):
    expected = float(enumerated_violation(*bounds))
    assert recursion(*bounds) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_crossing_probability_in_closed_form():
    """One value, no value, and Daniels' theorem: U_(i) < i / (n c) for some i has probability c."""
    assert recursion([0.2], [0.9]) == pytest.approx(0.3, rel=1e-14)
    assert recursion([0.0] * 5, [1.0] * 5) == 0.0
    assert recursion([0.3, 0.5], [0.3, 0.7]) == 1.0
    n = 200
    assert recursion(0.4 * np.arange(1, n + 1) / n, [1.0] * n) == pytest.approx(0.4, rel=1e-11)


@pytest.mark.parametrize("alpha", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_small_violations_keep_their_digits(n, alpha):
    """Against exact fractions. Upper bounds are near 1, where one rounding is 1e-16 / alpha."""
    i = np.arange(1, n + 1)
    lower = [Fraction(float(p)) for p in special.betaincinv(i, n + 1 - i, alpha / 2)]
    exact = float(steck_violation(lower, [1 - p for p in lower[::-1]]))
    assert one_level_violation(n, alpha) == pytest.approx(exact, rel=1e-12 + 2e-16 / alpha)


def test_crossing_probability_by_simulation():
    """n = 50 with uneven bounds."""
    n, draws = 50, 40_000
    i = np.arange(1, n + 1)
    lower, upper = stats.beta.ppf(0.001, i, n + 1 - i), stats.beta.ppf(0.99, i, n + 1 - i)
    ranked = np.sort(np.random.default_rng(1).random((draws, n)), axis=1)
    hits = int(((ranked < lower) | (ranked > upper)).any(axis=1).sum())
    assert within_binomial_error(hits, draws, crossing_probability(lower, upper))


@pytest.mark.parametrize("alpha", [0.9, 0.5, 0.1, 1e-4, 1e-9])
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 300), (1000, 1), (64, 16), (4096, 16)])
def test_simultaneous_alpha_lies_between_the_union_bound_and_one_interval(shape, alpha):
    tail = simultaneous_alpha(*shape, alpha)
    assert alpha / prod(shape) * (1 - 1e-6) <= tail <= alpha


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
@pytest.mark.parametrize("n", [2, 100, 1000])
def test_simultaneous_alpha_attains_the_joint_level(n, alpha):
    tail = simultaneous_alpha(n, 1, alpha)
    assert one_level_violation(n, tail) == pytest.approx(alpha, rel=1e-8)
    assert simultaneous_alpha(1, n, alpha) == tail


def ranked_uniforms(rng, n, draws):
    """Sorted uniforms as normalized arrival times of a Poisson process, one draw at a time."""
    for _ in range(draws):
        arrival = np.cumsum(rng.standard_exponential(n + 1))
        yield arrival[:-1] / arrival[-1]


def joint_hits(n, level, draws, seed):
    interval = one_level_interval(n, level, simultaneous=True)
    lower, upper = (special.ndtr(ends) for ends in interval)
    rng = np.random.default_rng(seed)
    return sum(bool(((u >= lower) & (u <= upper)).all()) for u in ranked_uniforms(rng, n, draws))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [1, 2, 5, 64, 1000])
def test_one_level_joint_coverage(n, level):
    """2,000 Gaussian vectors through the public set."""
    x = np.random.default_rng(n).standard_normal((2000, n))
    hits = int(OneLevel(level, simultaneous=True).contains(x, axis=1).sum())
    assert within_binomial_error(hits, 2000, level)


@pytest.mark.parametrize("n", [EXACT_LIMIT, 65_536])
def test_one_level_joint_coverage_of_large_samples(n):
    """The largest exact size, and one whose level is extrapolated; 2,000 draws."""
    assert within_binomial_error(joint_hits(n, 0.9, 2000, seed=n), 2000, 0.9)


@pytest.mark.slow
@pytest.mark.parametrize("n", [EXACT_LIMIT, 65_536, 1_000_000])
def test_one_level_joint_coverage_by_more_draws(n):
    draws = 2000 if n > 100_000 else 20_000
    assert within_binomial_error(joint_hits(n, 0.7, draws, seed=n + 1), draws, 0.7)


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "error"), [(1e-2, -4.1e-4), (1e-4, -1.33e-3), (1e-6, -2.25e-3)])
def test_extrapolated_violation_at_65536(alpha, error):
    """Against the exact recursion at the size itself: low by the stated relative error."""
    exact = _exact_violation(65_536, alpha)
    assert one_level_violation(65_536, alpha) / exact - 1 == pytest.approx(error, rel=0.02)


def test_extrapolated_violation_just_beyond_the_limit():
    """Continuous at the limit, and close to the exact recursion at 16,384."""
    below, above = (one_level_violation(EXACT_LIMIT + k, 1e-4) for k in (0, 1))
    assert below < above < below * (1 + 1e-4)
    exact = _exact_violation(16_384, 1e-4)
    assert one_level_violation(16_384, 1e-4) == pytest.approx(exact, rel=1e-3)


def two_level_hits(shape, levels, draws, seed, block=2**20):
    """Draws inside each simultaneous table, all levels on the same draws."""
    tables = [two_level_interval(*shape, level, simultaneous=True) for level in levels]
    rng, hits = np.random.default_rng(seed), np.zeros(len(levels), int)
    step = max(block // prod(shape), 1)
    for start in range(0, draws, step):
        x = rng.standard_normal((min(step, draws - start), *shape))
        ranked = np.sort(np.sort(x, axis=-1), axis=-2)
        for k, (lower, upper) in enumerate(tables):
            hits[k] += ((ranked >= lower) & (ranked <= upper)).all(axis=(-2, -1)).sum()
    return hits


LEVELS = (0.5, 0.9, 0.99)
# None is on the grid of benchmarks/calibrate_two_level.py.
UNSEEN = [(3, 3), (3, 40), (10, 6), (24, 96), (100, 12), (150, 3)]


@pytest.mark.parametrize("shape", UNSEEN)
def test_two_level_joint_coverage(shape):
    """2,000 draws; 1e-6 false alarms for each shape and level."""
    hits = two_level_hits(shape, LEVELS, 2000, seed=5)
    for count, level in zip(hits, LEVELS, strict=True):
        assert within_binomial_error(count, 2000, level), (level, count / 2000)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(700, 48), (6000, 16), (90, 2000), (48, 5)])
def test_two_level_joint_coverage_of_large_shapes(shape):
    hits = two_level_hits(shape, LEVELS, 2000, seed=6)
    for count, level in zip(hits, LEVELS, strict=True):
        assert within_binomial_error(count, 2000, level), (level, count / 2000)


@pytest.mark.parametrize("level", LEVELS)
def test_two_fields_of_tiles_share_the_joint_level(level):
    """A simultaneous `Tiles` set holds means and energies together; exact, as chunks are of one."""
    x = np.random.default_rng(7).standard_normal((4000, 96))
    hits = int(Tiles(4, confidence_level=level, simultaneous=True).contains(x, axis=1).sum())
    assert within_binomial_error(hits, 4000, level)


def test_global_joint_coverage():
    x = np.random.default_rng(8).standard_normal((4000, 500))
    hits = int(Global(0.9, simultaneous=True).contains(x, axis=1).sum())
    assert within_binomial_error(hits, 4000, 0.9)


def assert_pointwise(ranked, lower, upper, alpha):
    """Every entry leaves its interval at either side with probability alpha / 2.

    Over all entries: the mean rate, with the standard error of its spread over draws, since entries
    of one draw depend on each other. Entry by entry: exact binomial tails, by the union bound.
    """
    draws = ranked.shape[0]
    for outside in (ranked < lower, ranked > upper):
        rate = outside.reshape(draws, -1).mean(axis=1)
        assert abs(rate.mean() - alpha / 2) < SIGMAS * rate.std(ddof=1) / np.sqrt(draws)
        count = outside.sum(axis=0)
        law = stats.binom(draws, alpha / 2)
        smallest = min(law.cdf(count.max()), law.cdf(count).min(), law.sf(count - 1).min())
        assert smallest > 0.5e-6 / count.size


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("shape", [(64, 16), (1, 200), (200, 1), (7, 3)])
def test_pointwise_rate_is_nominal(shape, level):
    x = np.random.default_rng(9).standard_normal((3000, *shape))
    ranked = np.sort(np.sort(x, axis=-1), axis=-2)
    assert_pointwise(ranked, *two_level_interval(*shape, level), 1 - level)


@pytest.mark.parametrize("field", ["mean", "energy"])
@pytest.mark.parametrize(("tile_size", "chunk_size"), [(2, 1), (4, 4), (16, 2)])
def test_pointwise_rate_of_tile_fields_is_nominal(field, tile_size, chunk_size):
    """Fields z and r (Eqs. 89-93) of Gaussian vectors, 32 tiles each."""
    x = np.random.default_rng(10).standard_normal((3000, 32 * tile_size))
    tiles = Tiles(tile_size, chunk_size, (field,), confidence_level=0.9)
    mean, _, radius = tiles.split(x, np)
    fields = tiles.typical_fields({"mean": mean * tile_size**0.5, "energy": radius})
    values, typical, law = fields[field]
    assert isinstance(typical, TwoLevel)
    ranked = np.sort(np.sort(values.reshape(3000, -1, chunk_size), axis=-1), axis=-2)
    assert_pointwise(ranked, *typical.bounds(values, np, law), 0.1)
