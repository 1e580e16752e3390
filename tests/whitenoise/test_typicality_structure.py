"""How often each statistic rejects true noise, and the structure that each family is for."""

import re

import ml_dtypes
import numpy as np
import pytest
from null_oracles import cosine_matrix
from scipy import stats

import whitenoise as wn
from whitenoise.verify.run import battery
from whitenoise.verify.view import Layout

GAUSS = stats.norm
DRAWS = 4000
CONSERVATIVE = (
    "counts beyond thresholds",  # eighteen nested counts, Bonferroni
    "near lags",  # Bonferroni
    "autocorrelation of",  # Bonferroni over lags
    "directions",  # an axis of the spectrum is its own conjugate: scores of a mixture
    "two patches",
    "equal values",
    "opposite values",
    "bits",  # a discrete count
    "chunks of 16",  # Bonferroni
    "three neighbours",  # a discrete count
)
ROUNDED = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 8, 8), "float64"), ((256,), "bfloat16"), ((4, 8, 8), "float16"), ((4, 6, 8), "float64")],
)
def test_levels_of_all_statistics(shape, dtype):
    """At 0.05 and 0.01: none too often, and those that are exact not too rarely.

    False alarm 1e-4 in all, over some 150 statistics, 2 levels, 2 tails and 4 layouts. A tenth is
    allowed for saddlepoints.
    """
    x = np.random.default_rng(20).standard_normal((DRAWS, *shape))
    if dtype in ROUNDED:
        x = x.astype(ROUNDED[dtype]).astype(np.float64)
    tests = battery(Layout(shape, dtype))
    wrong = []
    judged = tests.judge(tests.measure(x))
    alarm = 1e-4 / (4 * 4 * len(judged))
    for family, _, statistic in judged:
        for level in (0.05, 0.01):
            count = int(np.sum(statistic.log_pvalue <= np.log(level)))
            too_often = stats.binom.sf(count - 1, DRAWS, 1.1 * level) < alarm
            too_rarely = stats.binom.cdf(count, DRAWS, 0.9 * level) < alarm
            if too_rarely and any(word in statistic.name for word in CONSERVATIVE):
                too_rarely = False
            if too_often or too_rarely:
                wrong.append((family, statistic.name, level, count / DRAWS))
    assert not wrong


def noise(seed, shape=(4, 32, 32)):
    return np.random.default_rng(100 + seed).standard_normal(shape)


def one_tile(seed):
    x = noise(seed)
    x[2, 8:16, 24:32] += 1.5
    return x


def one_loud_tile(seed):
    x = noise(seed)
    x[1, 16:32, 0:16] *= 1.6
    return x


def one_slab(seed):
    x = noise(seed)
    x[:, 5] += 0.8
    return x


def wave(seed):
    y, z = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    return noise(seed) + 0.35 * np.cos(2 * np.pi * (5 * z - 3 * y) / 32)


def sine(seed):
    return noise(seed, (4096,)) + 0.3 * np.sin(2 * np.pi * np.arange(4096) * 0.125)


def square_wave(seed):
    return noise(seed, (4096,)) + 0.2 * (-1.0) ** (np.arange(4096) // 16)


def cosine_block(seed):
    basis = cosine_matrix(8)
    x = noise(seed).reshape(4, 4, 8, 4, 8).transpose(0, 1, 3, 2, 4)
    y = basis @ x @ basis.T
    y[..., 2, 5] *= 2.2
    return (basis.T @ y @ basis).transpose(0, 1, 3, 2, 4).reshape(4, 32, 32)


def neighbours(seed):
    x = noise(seed)
    return (x + 0.2 * np.roll(x, 1, axis=2)) / np.sqrt(1.04)


def far_echo(seed):
    x = noise(seed)
    return (x + 0.3 * np.roll(x, (11, -7), axis=(1, 2))) / np.sqrt(1.09)


def clusters(seed):
    """Scale that varies in place, with the variance of the whole kept."""
    scale = np.exp(0.5 * np.sin(2 * np.pi * np.arange(4096) / 64))
    return noise(seed, (4096,)) * scale / np.sqrt(np.mean(scale**2))


def mirrored(seed):
    x = noise(seed)
    return (x + 0.25 * x[:, :, ::-1]) / np.sqrt(1 + 0.25**2)


def antisymmetric(seed):
    x = noise(seed)
    return (x - 0.25 * np.swapaxes(x, 1, 2)) / np.sqrt(1 + 0.25**2)


def two_channels(seed):
    x = noise(seed)
    x[3] = (x[3] + 0.3 * x[1]) / np.sqrt(1.09)
    return x


def low_rank(seed):
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((8, 5)) @ rng.standard_normal((5, 512)) / np.sqrt(5)
    return mix.reshape(8, 16, 32)


def noisy_copy(seed):
    x = noise(seed)
    x[0, 20:32, 20:32] = (x[2, 1:13, 3:15] + 0.25 * x[0, 20:32, 20:32]) / np.sqrt(1.0625)
    return x


def exact_copy_of_a_line(seed):
    x = noise(seed, (4096,))
    x[3000:3064] = -x[1000:1064]
    return x


def every_third(seed):
    x = noise(seed, (4096,))
    x[1::3] *= 1.3
    return x


def every_fourth_row(seed):
    x = noise(seed)
    x[:, 2::4, 3::4] += 0.5
    return x


def ties(seed):
    x = noise(seed, (4096,))
    x[100:104] = x[200:204]
    return x


def sixteen_bits(seed):
    return noise(seed, (4096,)).astype(np.float16).astype(np.float64)


def standardised(seed):
    x = noise(seed, (4096,))
    return (x - x.mean()) / x.std()


def heavy(seed):
    return stats.t(6).ppf(GAUSS.cdf(noise(seed, (4096,)))) / np.sqrt(1.5)


def even(seed):
    """Quantiles in random order: too regular."""
    u = (np.arange(4096) + 0.5) / 4096
    return np.random.default_rng(seed).permutation(GAUSS.ppf(u))


def balanced_chunks(seed):
    """Half of every 16 values are positive: spread too evenly in place, typical as a sample."""
    x = np.abs(noise(seed, (256, 16)))
    x[:, 8:] *= -1
    return np.random.default_rng(seed).permuted(x, axis=1).ravel()


def one_outlier(seed):
    x = noise(seed, (4096,))
    x[17] = 9
    return x


SEEN = [  # what, family, words of the sentence, some of where
    (one_tile, "tiles", r"the mean of 8x8 tile \(2, 1, 3\) is \+1\.", {"index": (2, 1, 3)}),
    (
        one_loud_tile,
        "tiles",
        r"the energy of 16x16 tile \(1, 1, 0\) is .* high",
        {"tile": (16, 16)},
    ),
    (one_slab, "tiles", r"the mean at index 5 of axis 1 is \+0", {"axis": 1, "index": 5}),
    (wave, "spectrum", r"2-D frequency \(-3, 5\) of all images together", {"index": (-3, 5)}),
    (sine, "spectrum", r"frequency 0.125 cycles per value \(period 8\)", {"line": (512, 512)}),
    (square_wave, "hadamard", r"Hadamard coefficient 16 is \+", {}),
    (cosine_block, "spectrum", r"8x8 DCT frequency \(2, 5\) is .* high", {"block": (2, 5)}),
    (neighbours, "autocorrelation", r"at lag \(0, 0, 1\) is \+0\.", {"lag": (0, 0, 1)}),
    (far_echo, "autocorrelation", r"at lag \((0, 11, -7|0, -11, 7)\) is \+0\.", {"view": "lags"}),
    (clusters, "volatility", r"volatility", {}),
    (mirrored, "reflection", r"is symmetric under reversal of axis 2", {}),
    (antisymmetric, "reflection", r"is antisymmetric under transposition", {}),
    (two_channels, "covariance", r"slices of axis 0 1 and 3 correlate by \+0", {"index": (1, 3)}),
    (low_rank, "rank", r"the 8 slices of axis 0 are too linearly dependent", {}),
    (noisy_copy, "copies", r"patches at \(\d, .* correlate by \+0\.9", {"view": "copies"}),
    (exact_copy_of_a_line, "copies", r"correlate by -1", {"view": "copies"}),
    (every_third, "polyphase", r"every 3rd value", {}),
    (
        every_fourth_row,
        "polyphase",
        r"every 4th row and column, from \(2, 3\) on",
        {"phase": (2, 3)},
    ),
    (ties, "exactness", r"4 values are equal to another", {}),
    (sixteen_bits, "exactness", r"4096 of 4096 values fit into", {}),
    (standardised, "exactness", r"within", {}),
    (heavy, "marginal", r"kurtosis|times|beyond|values|vary too much", {}),
    (even, "marginal", r"too even", {}),
    (balanced_chunks, "two_level", r"rank .* of 256 chunks .* rank 8 of 16", {}),
    (one_outlier, "marginal", r"the largest value is 9", {}),
]


@pytest.mark.parametrize(
    ("make", "family", "words", "where"), SEEN, ids=[f"{f} {m.__name__}" for m, f, _, _ in SEEN]
)
def test_what_a_family_is_for(make, family, words, where):
    """By its own p-value, below 1e-6, with the place; and nothing of it in what it started from."""
    for seed in range(3):
        report = wn.typicality(make(seed))
        assert report.families[family] < 1e-6
        assert report.pvalue < 1e-5
        loudest = next(f for f in report.findings if f.family == family)
        telling = [
            f
            for f in report.findings
            if f.family == family and f.log_pvalue < np.log(1e-6) and re.search(words, f.sentence)
        ]
        assert telling, str(loudest)
        assert where.items() <= telling[0].where.items()


def test_genuine_noise_of_the_same_seeds_is_typical():
    """False alarm of 6 arrays at 1e-3, if the level holds: fixed seeds."""
    for seed in range(3):
        for shape in ((4, 32, 32), (4096,)):
            assert wn.typicality(noise(seed, shape)).pvalue > 1e-3
