"""Counter-based random numbers, and the sums and norms that have one order everywhere.

Statistical checks have fixed seeds; each would reject ideal random numbers with probability ALARM.
"""

import itertools
import math

import array_api_strict
import numpy as np
import pytest
import torch
from scipy import stats

import whitenoise as wn
from whitenoise._arrays import float64_norm, norm, total
from whitenoise._namespace import array_namespace
from whitenoise._random import RandomSource, Stream, mixed

ALARM = 1e-6
LIKE = np.zeros(1)
MAKERS = {"numpy": np.asarray, "torch": torch.as_tensor, "strict": array_api_strict.asarray}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def streams(seed, count, like=LIKE):
    source = RandomSource(seed, like)
    return [source.stream() for _ in range(count)]


def assert_uniform(counts):
    """Pearson's chi-square test of equal probabilities."""
    counts = np.asarray(counts, float).ravel()
    expected = counts.sum() / counts.size
    assert expected > 10
    chi_square = ((counts - expected) ** 2).sum() / expected
    tail = stats.chi2.sf(chi_square, counts.size - 1), stats.chi2.cdf(chi_square, counts.size - 1)
    assert min(tail) > ALARM / 2, (chi_square, counts.size)


# The scrambling


def unmixed(y):
    """Inverse of `mixed`, step by step backwards."""
    mask = 2**32 - 1
    y ^= y >> 16
    y = y * pow(0x846CA68B, -1, 2**32) & mask
    y ^= y >> 15 ^ y >> 30
    y = y * pow(0x7FEB352D, -1, 2**32) & mask
    return y ^ y >> 16


def test_mixed_has_an_inverse():
    rng = np.random.default_rng(0)
    sample = [0, 1, 2**31, 2**32 - 1, *rng.integers(2**32, size=5000).tolist()]
    assert [unmixed(mixed(x)) for x in sample] == sample
    assert [mixed(unmixed(x)) for x in sample] == sample


def test_mixed_is_the_same_on_integers_and_arrays():
    sample = np.r_[0, 1, 2**32 - 1, np.random.default_rng(1).integers(2**32, size=1000)]
    assert mixed(sample).tolist() == [mixed(int(x)) for x in sample]
    assert mixed(torch.from_numpy(sample)).tolist() == mixed(sample).tolist()


def test_each_bit_flips_each_bit_half_the_time():
    """A Bonferroni bound over the 1024 pairs of bits."""
    x = np.random.default_rng(2).integers(2**32, size=2**14)
    limit = stats.norm.isf(ALARM / 2048) / 2 / math.sqrt(x.size)
    for bit in range(32):
        flipped = mixed(x) ^ mixed(x ^ (1 << bit))
        rates = [np.mean(flipped >> k & 1) for k in range(32)]
        assert np.max(np.abs(np.array(rates) - 0.5)) < limit + 0.002  # the bias that is documented


# Keys


@pytest.mark.parametrize("seed", [0, 1, 2**80 + 1])
def test_keys_are_distinct_and_in_range(seed):
    for stream in streams(seed, 2):
        keys = np.sort(stream.keys((2**20,)))
        assert keys.dtype == np.int64
        assert keys[0] >= 0
        assert keys[-1] < 2**32
        assert np.diff(keys).min() > 0


def test_a_key_depends_on_the_flat_index_alone():
    (stream,) = streams(3, 1)
    np.testing.assert_array_equal(stream.keys((4, 5, 6)).ravel(), stream.keys((120,)))
    np.testing.assert_array_equal(stream.keys((7,)), stream.keys((120,))[:7])


@pytest.mark.parametrize("power", [1, 4, 8, 12])
@pytest.mark.parametrize("seed", range(3))
def test_low_and_high_bits_of_keys_are_uniform(seed, power):
    """Keys are drawn without replacement from 2**32: 2**18 of them hide it."""
    (stream,) = streams(seed, 1)
    keys = stream.keys((2**18,))
    assert_uniform(np.bincount(keys % 2**power, minlength=2**power))
    assert_uniform(np.bincount(keys >> (32 - power), minlength=2**power))
    neighbours = (keys[0::2] >> 28) * 16 + (keys[1::2] >> 28)
    assert_uniform(np.bincount(neighbours, minlength=256))


ORDERS = {order: k for k, order in enumerate(itertools.permutations(range(5)))}


def order_counts(keys):
    """How often each order of five keys occurs; keys (n, 5)."""
    ranks = np.argsort(keys, axis=1)
    codes = np.array([ORDERS[tuple(row)] for row in ranks.tolist()])
    return np.bincount(codes, minlength=120)


def test_the_order_of_five_ties_is_uniform_over_rows():
    (stream,) = streams(4, 1)
    assert_uniform(order_counts(stream.keys((24_000, 5))))


def test_the_order_of_five_ties_is_uniform_over_streams():
    keys = [s.keys((5,)) for seed in range(12) for s in streams(seed, 500)]
    assert_uniform(order_counts(np.stack(keys)))


def test_the_order_of_five_ties_is_uniform_over_seeds():
    keys = [streams(seed, 1)[0].keys((5,)) for seed in range(6000)]
    assert_uniform(order_counts(np.stack(keys)))


def test_projections_break_ties_uniformly():
    """Of five equal entries, which one becomes the largest: each is as likely."""
    x = np.full((3000, 5), 9.0)  # above all bounds, which differ
    largest = wn.project_1os(x, axis=1, rng=5).argmax(axis=1)
    assert_uniform(np.bincount(largest, minlength=5))


@pytest.mark.parametrize("seed", range(3))
def test_streams_of_one_source_are_independent(seed):
    """Correlations of all pairs, a Bonferroni bound; and pairs of keys on a grid."""
    keys = np.stack([s.keys((2**14,)) for s in streams(seed, 24)])
    correlations = np.corrcoef(keys)[np.triu_indices(24, 1)] * math.sqrt(2**14)
    assert np.max(np.abs(correlations)) < stats.norm.isf(ALARM / 2 / correlations.size)
    for a, b in itertools.pairwise(keys[:6]):
        assert_uniform(np.bincount((a >> 28) * 16 + (b >> 28), minlength=256))
    assert len({(s.first, s.second) for s in streams(seed, 3000)}) == 3000


def test_streams_of_neighbouring_seeds_are_independent():
    keys = np.stack([streams(seed, 1)[0].keys((2**14,)) for seed in range(24)])
    correlations = np.corrcoef(keys)[np.triu_indices(24, 1)] * math.sqrt(2**14)
    assert np.max(np.abs(correlations)) < stats.norm.isf(ALARM / 2 / correlations.size)


# Backends and seeds


@makers
def test_keys_are_the_same_on_every_backend(make):
    expected = [s.keys((3, 50)) for s in streams(6, 3)]
    for stream, keys in zip(streams(6, 3, make(LIKE)), expected, strict=True):
        found = stream.keys((3, 50))
        assert type(found) is type(make(LIKE))
        np.testing.assert_array_equal(np.asarray(found), keys)


@pytest.mark.parametrize("make", [torch.as_tensor, np.asarray], ids=["torch", "numpy"])
def test_seed_words_may_be_integers_or_arrays(make):
    """As for generators whose seed stays on their device."""
    like = make(LIKE)
    plain, beside = RandomSource(7, like), RandomSource(7, like)
    beside._words = tuple(make(np.int64(word)) for word in plain._words)
    for _ in range(3):
        one, other = plain.stream(), beside.stream()
        assert one.keys((100,)).tolist() == other.keys((100,)).tolist()
        assert one.normal((100,)).tolist() == other.normal((100,)).tolist()


def test_the_same_seed_gives_the_same_streams_and_another_other_ones():
    one, same, other = (streams(seed, 2) for seed in (8, np.int64(8), 9))
    assert [(s.first, s.second) for s in one] == [(s.first, s.second) for s in same]
    for a, b in zip(one, other, strict=True):
        assert set(a.keys((1000,)).tolist()) != set(b.keys((1000,)).tolist())
    assert streams(None, 1)[0].first != streams(None, 1)[0].first


def test_a_call_takes_one_draw_of_a_numpy_generator():
    """Whether or not there are ties."""
    rng, mirror = np.random.default_rng(10), np.random.default_rng(10)
    for x in (np.ones(64), np.arange(64.0), np.random.default_rng(0).standard_normal(64)):
        words = mirror.integers(2**32, size=2).tolist()
        assert list(RandomSource(rng, x)._words) == words
        wn.project_2os(x, 8, rng=rng)
        mirror.integers(2**32, size=2)
        assert rng.bit_generator.state == mirror.bit_generator.state


def test_a_call_takes_one_draw_of_a_torch_generator():
    rng, mirror = (torch.Generator().manual_seed(10) for _ in range(2))
    for x in (torch.ones(64), torch.arange(64.0)):
        words = torch.randint(2**32, (2,), generator=mirror).tolist()
        assert list(RandomSource(rng, x)._words) == words
        wn.whiten(x, rng=rng)
        torch.randint(2**32, (2,), generator=mirror)
        assert torch.equal(rng.get_state(), mirror.get_state())


# Normals


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_typical(dtype):
    for stream in streams(11, 2, np.zeros(1, dtype)):
        noise = stream.normal((8, 64, 64))
        assert noise.dtype == dtype
        assert wn.typicality(noise).pvalue > ALARM


def test_normals_at_some_entries_are_those_of_all():
    (stream,) = streams(12, 1)
    index = np.array([[5, 0], [999, 5]])
    np.testing.assert_array_equal(stream.normal_at(index), stream.normal((1000,))[index])


@makers
def test_normals_agree_between_backends_to_rounding(make):
    expected, found = (s.normal((500,)) for s in (*streams(13, 1), *streams(13, 1, make(LIKE))))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_finite_at_the_ends_of_the_keys(dtype, monkeypatch):
    """Float32 rounds the largest keys to 1, of radius zero; the smallest is the largest radius."""
    monkeypatch.setattr(Stream, "_keys_at", lambda self, index: np.where(index == 0, 0, 2**32 - 1))
    noise = streams(14, 1, np.zeros(1, dtype))[0].normal((2,))
    assert noise[0] == pytest.approx(math.sqrt(-2 * math.log(2.0**-33)), rel=1e-6)
    assert noise[1] == pytest.approx(0, abs=1e-4)


# Sums and norms


def folded(values):
    """The order of `total`, one number at a time."""
    while len(values) > 1:
        half = len(values) // 2
        values = [values[k] + values[half + k] for k in range(half)] + values[2 * half :]
    return values[0]


@makers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_total_has_one_order_everywhere(dtype, make):
    for size in (*range(1, 40), 1000, 4097):
        x = np.random.default_rng(size).standard_cauchy((3, size)).astype(dtype)
        found = np.asarray(total(make(x), array_namespace(make(x))))
        assert found.shape == (3, 1)
        assert found[:, 0].tolist() == [float(folded(list(row))) for row in x]
        exact = np.array([math.fsum(row) for row in x.tolist()])
        error = (
            math.ceil(math.log2(size)) * np.finfo(dtype).eps * np.abs(x.astype(float)).sum(axis=1)
        )
        assert (np.abs(found[:, 0] - exact) <= error).all()


@makers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_neither_overflow_nor_underflow(dtype, make):
    info = np.finfo(dtype)
    for scale in (1.0, float(info.max) / 64, float(info.smallest_subnormal) * 100, 0.0):
        x = (np.random.default_rng(1).integers(-2, 3, (2, 33)) * scale).astype(dtype)
        exact = [math.hypot(*row) for row in x.astype(float).tolist()]
        array = make(x)
        xp = array_namespace(array)
        found, wide = norm(array, xp), float64_norm(array, xp)
        assert found.shape == (2, 1)
        assert found.dtype == array.dtype
        close = 4 * float(info.eps)
        least = float(info.smallest_subnormal)
        np.testing.assert_allclose(np.asarray(found)[:, 0], exact, rtol=close, atol=least)
        assert wide.shape == (2,)
        assert wide.dtype == xp.float64
        np.testing.assert_allclose(np.asarray(wide), exact, rtol=close)


def test_the_norm_of_float32_may_exceed_float32():
    x = np.full((1, 100), np.finfo(np.float32).max)
    assert float64_norm(x, array_namespace(x)) == 10 * float(np.finfo(np.float32).max)


@makers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_have_the_same_bits_everywhere(dtype, make):
    """Roots are rounded correctly."""
    x = np.random.default_rng(2).standard_normal((2000, 7)).astype(dtype)
    xp = array_namespace(make(x))
    found = np.asarray(norm(make(x), xp))
    assert np.array_equal(found, norm(x, array_namespace(x)))
