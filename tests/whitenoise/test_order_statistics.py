"""Intervals of order statistics against 40-digit arithmetic, and the tables they are kept in.

Accuracy is measured in the probability domain. For an end at score ``s`` the probability is
``x = Phi(s)``; with ``G`` the law of the order statistic, ``(G(x) - tail) / (min(x, 1-x) G'(x))``
is the relative error of ``x`` or of ``1 - x``, whichever is larger.
"""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from whitenoise._cache import ByteCache
from whitenoise.order_statistics import (
    global_interval,
    one_level_interval,
    two_level_interval,
    two_level_interval_at,
)
from whitenoise.reference import Chi, ChiSquare

LEVELS = (0.5, 0.95, 0.9999, 1 - 1e-9)
LARGEST = 2_097_152


@pytest.fixture(autouse=True)
def forty_digits():
    with mp.workdps(50):
        yield


def hypergeometric(x, a, b):
    """``2F1(1, a + b; a + 1; x)``, whose terms are positive, in integers of 200 binary digits."""
    step, term, total, n = int(mp.ldexp(x, 200)), 1 << 200, 0, 0
    while term:
        total += term
        n += 1
        term = term * (step * (a + b + n - 1) // (a + n)) >> 200
    return mp.ldexp(mp.mpf(total), -200)


def tail_and_density(below, above, a, b):
    """``(P(X <= x), P(X > x), density)`` of X ~ Beta(a, b) at x = `below` = 1 - `above`.

    The series is summed on the side of the smaller of `below` and `above`, where it converges fast;
    the other tail is its complement to 1, of at least 1e-26 here. `a` and `b` are integers.
    """
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    density = mp.exp((a - 1) * mp.log(below) + (b - 1) * mp.log(above) - log_beta)
    folded = below > above
    p, q, x, y = (b, a, above, below) if folded else (a, b, below, above)
    tail = density * x * y / p * hypergeometric(x, p, q)
    return (1 - tail, tail, density) if folded else (tail, 1 - tail, density)


def relative_error(below, above, ranks, level, end):
    """Error of an end whose value has probability `below`, for ranks ((i, M), (j, D))."""
    slope, x, y = mp.mpf(1), below, above
    for rank, count in reversed(ranks):
        x, y, density = tail_and_density(x, y, rank, count + 1 - rank)
        slope *= density
    alpha = 1 - mp.mpf(level)
    residual = x - alpha / 2 if end == "lower" else y - alpha / 2
    return float(abs(residual) / (min(below, above) * slope))


def normal_tails(value):
    value = mp.mpf(float(value))
    return mp.ncdf(value), mp.ncdf(-value)


def chi_square_tails(value, df):
    shape, half = mp.mpf(df) / 2, mp.mpf(float(value)) / 2
    return (
        mp.gammainc(shape, 0, half, regularized=True),
        mp.gammainc(shape, half, mp.inf, regularized=True),
    )


def some_ranks(count):
    return sorted({1, 2, 3, 1000, 123_457, count // 2, count - 1, count} & set(range(1, count + 1)))


def worst_error(entries, ranks, shape, level, tails=normal_tails):
    """Largest error over entries of an Interval, both ends."""
    worst = 0.0
    for lower, upper, i, j in zip(*entries, *ranks, strict=True):
        for end, value in (("lower", lower), ("upper", upper)):
            pairs = ((int(i), shape[0]), (int(j), shape[1]))
            worst = max(worst, relative_error(*tails(value), pairs, level, end))
    return worst


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("chunk_size", [1, 16, 4096])
@pytest.mark.parametrize("n_chunks", [1, 2, 17, 4096, LARGEST])
def test_single_entries_are_right_to_1e_10(n_chunks, chunk_size, level):
    ranks = np.meshgrid(some_ranks(n_chunks), some_ranks(chunk_size), indexing="ij")
    ranks = [r.ravel() for r in ranks]
    entries = two_level_interval_at(*ranks, n_chunks, chunk_size, level)
    assert worst_error(entries, ranks, (n_chunks, chunk_size), level) < 1e-10


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", [(131_072, 16), (512, 1024), (300, 64), (40, 7)])
def test_tables_are_right_to_1e_10(shape, level):
    """Rows of the larger shapes are interpolated; single entries are not."""
    rng = np.random.default_rng(1)
    i = np.array([*some_ranks(shape[0]), *rng.integers(1, shape[0] + 1, 12)])
    j = rng.permutation(np.resize(some_ranks(shape[1]), i.size))
    table = two_level_interval(*shape, level)
    entries = [ends[i - 1, j - 1] for ends in table]
    assert worst_error(entries, (i, j), shape, level) < 1e-10


@pytest.mark.parametrize("level", [0.5, 1 - 1e-9])
def test_the_largest_one_level_table_is_right_to_1e_10(level):
    """Ranks on both sides of where interpolation begins (512) and at random."""
    rng = np.random.default_rng(2)
    seams = [511, 512, 513, 514, LARGEST - 512, LARGEST - 511]
    i = np.array([*some_ranks(LARGEST), *seams, *rng.integers(1, LARGEST + 1, 30)])
    entries = [ends[i - 1] for ends in one_level_interval(LARGEST, level)]
    assert worst_error(entries, (i, np.ones_like(i)), (LARGEST, 1), level) < 1e-10


@pytest.mark.parametrize("level", LEVELS)
def test_global_interval_is_right_to_1e_10(level):
    entries = [[float(end)] for end in global_interval(level)]
    assert worst_error(entries, ([1], [1]), (1, 1), level) < 1e-10


@pytest.mark.parametrize("df", [1, 3, 15, 63])
def test_chi_square_quantiles_are_right_to_1e_10(df):
    """Relative error of the smaller tail and of the value, for scores of every tail in use."""
    scores = np.concatenate([np.linspace(-10, 10, 41), [-1e-3, 1e-9]])
    for score, value in zip(scores, ChiSquare(df).quantile(scores), strict=True):
        tails, exact = chi_square_tails(value, df), normal_tails(score)
        side = 0 if score < 0 else 1
        error = abs(tails[side] - exact[side])
        half = mp.mpf(float(value)) / 2
        log_slope = (mp.mpf(df) / 2) * mp.log(half) - half - mp.loggamma(mp.mpf(df) / 2)
        assert float(error / exact[side]) < 1e-10, (score, value)
        assert float(error / mp.exp(log_slope)) < 1e-10, (score, value)


@pytest.mark.parametrize("df", [1, 3, 15, 63])
def test_chi_is_the_root_of_chi_square(df):
    probability = np.linspace(0.01, 0.99, 25)
    values = Chi(df).quantile(stats.norm.ppf(probability))
    np.testing.assert_allclose(values, stats.chi.ppf(probability, df), rtol=1e-10)


@pytest.mark.parametrize("df", [3, 63])
def test_table_of_energies_is_right_to_1e_10(df):
    i, j = np.array([1, 2, 32, 63, 64]), np.array([16, 1, 8, 15, 1])
    table = two_level_interval(64, 16, 0.9999, reference=ChiSquare(df))
    entries = [ends[i - 1, j - 1] for ends in table]
    error = worst_error(entries, (i, j), (64, 16), 0.9999, lambda v: chi_square_tails(v, df))
    assert error < 1e-10


def test_intervals_agree_with_the_textbook_formulas():
    """Eqs. 70, 74-76 and 82-84 written with SciPy's distributions."""
    i, j = np.arange(1, 9)[:, None], np.arange(1, 6)
    ends = two_level_interval(8, 5, 0.9)
    for end, tail in zip(ends, (0.05, 0.95), strict=True):
        inner = stats.beta.ppf(stats.beta.ppf(tail, i, 9 - i), j, 6 - j)
        np.testing.assert_allclose(end, stats.norm.ppf(inner), rtol=1e-9)
    np.testing.assert_allclose(global_interval(0.9), stats.norm.ppf([0.05, 0.95]), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 10, 65_536])
def test_simultaneous_global_interval_is_exact(size):
    lower, upper = global_interval(0.9, size=size, simultaneous=True)
    inside = mp.ncdf(float(upper)) - mp.ncdf(float(lower))
    assert float(inside**size) == pytest.approx(0.9, rel=1e-11)


SHAPES = [(1, 1), (1, 40), (40, 1), (64, 16), (1500, 8), (5000, 1), (200, 300), (2, 4096)]


@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize("level", [0.5, 0.9999, 1 - 1e-9])
@pytest.mark.parametrize("shape", SHAPES)
def test_tables_are_monotone_and_mirrored(shape, level, simultaneous):
    """Clipping a doubly sorted matrix keeps it doubly sorted only if the bounds are."""
    lower, upper = two_level_interval(*shape, level, simultaneous=simultaneous)
    assert lower.shape == upper.shape == shape
    assert lower.dtype == upper.dtype == np.float64
    for ends in (lower, upper):
        assert (np.diff(ends, axis=0) >= 0).all()
        assert (np.diff(ends, axis=1) >= 0).all()
    assert (lower < upper).all()
    np.testing.assert_array_equal(upper, -lower[::-1, ::-1])


@pytest.mark.parametrize("shape", [(131_072, 16), (LARGEST, 1)])
def test_interpolated_tables_are_monotone(shape):
    """Millions of interpolated values: no rounding turns two of them round."""
    for ends in two_level_interval(*shape, 0.5):
        assert (np.diff(ends, axis=0) >= 0).all()
        assert (np.diff(ends, axis=1) >= 0).all()


def test_simultaneous_intervals_contain_pointwise_ones():
    narrow = two_level_interval(64, 16, 0.9)
    wide = two_level_interval(64, 16, 0.9, simultaneous=True)
    assert (wide.lower < narrow.lower).all()
    assert (wide.upper > narrow.upper).all()


def test_one_level_is_two_level_with_chunks_of_one():
    one, two = one_level_interval(30, 0.9), two_level_interval(30, 1, 0.9)
    across = two_level_interval(1, 30, 0.9)
    for a, b, c in zip(one, two, across, strict=True):
        assert a.shape == (30,)
        np.testing.assert_array_equal(a, b[:, 0])
        np.testing.assert_allclose(a, c[0], rtol=1e-12)


def test_single_entries_equal_the_table():
    i, j = np.arange(1, 41)[:, None], np.arange(1, 13)
    for simultaneous in (False, True):
        single = two_level_interval_at(i, j, 40, 12, 0.99, simultaneous=simultaneous)
        table = two_level_interval(40, 12, 0.99, simultaneous=simultaneous)
        for a, b in zip(single, table, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_tables_are_shared_and_read_only():
    first, second = two_level_interval(20, 3, 0.9), two_level_interval(20, 3, 0.9)
    assert first is second
    assert two_level_interval(20, 3, 0.9, reference=Chi(3)) is not first
    for ends in (*first, *one_level_interval(20, 0.9)):
        with pytest.raises(ValueError, match="read-only"):
            ends[0] = 0.0


class TestByteCache:
    @staticmethod
    def fetch(cache, key, weight, made):
        def make():
            made.append(key)
            return key.upper()

        assert cache.get(key, make, lambda _: weight) == key.upper()

    def test_least_recently_used_goes_first(self):
        cache, made = ByteCache(100), []
        for key in ("a", "b", "a", "c"):  # "a" is used again before "c" needs room
            self.fetch(cache, key, 40, made)
        assert cache.held_bytes == 80
        for key in ("a", "c", "b"):
            self.fetch(cache, key, 40, made)
        assert made == ["a", "b", "c", "b"]

    def test_the_bound_holds_whatever_comes(self):
        cache, made, rng = ByteCache(1000), [], np.random.default_rng(3)
        for k in range(200):
            self.fetch(cache, f"k{k}", int(rng.integers(1, 400)), made)
            assert 0 < cache.held_bytes <= 1000

    def test_too_large_is_returned_and_not_kept(self):
        cache, made = ByteCache(100), []
        self.fetch(cache, "small", 60, made)
        self.fetch(cache, "large", 101, made)
        self.fetch(cache, "large", 101, made)
        self.fetch(cache, "small", 60, made)
        assert made == ["small", "large", "large"]
        assert cache.held_bytes == 60


LEVEL_CALLS = [
    global_interval,
    lambda level: one_level_interval(5, level),
    lambda level: two_level_interval(5, 2, level),
    lambda level: two_level_interval(5, 2, level, simultaneous=True),
    lambda level: two_level_interval_at(1, 1, 5, 2, level),
]


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, np.nan, np.inf])
@pytest.mark.parametrize("call", LEVEL_CALLS)
def test_bad_level_is_named(call, level):
    with pytest.raises(ValueError, match=rf"confidence_level .* got {level!r}".replace("(", r"\(")):
        call(level)


@pytest.mark.parametrize("count", [0, -3, 2.0, True, "4"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("size", lambda n: global_interval(0.9, size=n)),
        ("size", lambda n: one_level_interval(n, 0.9)),
        ("n_chunks", lambda n: two_level_interval(n, 2, 0.9)),
        ("chunk_size", lambda n: two_level_interval(2, n, 0.9)),
        ("chunk_size", lambda n: two_level_interval_at(1, 1, 2, n, 0.9)),
    ],
)
def test_bad_count_is_named(name, call, count):
    with pytest.raises(ValueError, match=f"{name} must be an integer .* got {count!r}"):
        call(count)


@pytest.mark.parametrize("rank", [0, 6, 2.5])
def test_bad_rank_is_named(rank):
    with pytest.raises(ValueError, match=rf"chunk_rank .* in 1..5, got .*{rank}"):
        two_level_interval_at(rank, 1, 5, 5, 0.9)
    with pytest.raises(ValueError, match=rf"^rank .* in 1..5, got .*{rank}"):
        two_level_interval_at(1, [1, rank], 5, 5, 0.9)


@pytest.mark.parametrize("law", [ChiSquare, Chi])
def test_bad_degrees_of_freedom_are_named(law):
    with pytest.raises(ValueError, match="df must be at least 1, got 0"):
        law(0).quantile(np.zeros(1))
