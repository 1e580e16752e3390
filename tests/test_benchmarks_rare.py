"""The sampler of rare events: conditioned noise is what it says, density ratios are right.

Estimates are compared with closed forms and enumeration, at fixed seeds, within 4.9 standard
errors: each comparison would fail by chance once in a million seeds.
"""

import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, special, stats

# At the end of the path, so that `whitenoise` stays the installed package.
sys.path.append(str(Path(__file__).parents[1]))
catalogue, conditions, counts, fields, splitting, study, tables, tilts = (
    importlib.import_module(f"benchmarks.rare_levels.{name}")
    for name in (
        "catalogue",
        "conditions",
        "counts",
        "fields",
        "splitting",
        "study",
        "tables",
        "tilts",
    )
)

SIGMAS = 4.9  # two-sided normal tail 1e-6
SHAPE = (4, 8, 8)
SHAPES = ((256,), SHAPE)
NOT_EXACT = (
    *("third", "fourth", "modulus", "counts", "flatness", "concentration", "determinant"),
    *("autocorrelation", "directions", "signs of three", "variance of one", "mean square of one"),
)


def is_close(draws, probability):
    """Whether the mean of independent draws agrees with a probability, and says something."""
    estimate = study.Estimate.of(np.asarray(draws, dtype=float))
    assert estimate.error < 0.1 * probability
    return abs(estimate.value - probability) <= SIGMAS * estimate.error + 1e-9 * probability


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_statistic_has_a_proposal_or_a_reason(shape):
    battery = study.battery_of(shape)
    known = set(catalogue.proposals(battery)) | set(catalogue.NOT_SAMPLED)
    assert set(battery.shares()) <= known


# --- fields


def fields_of(shape):
    """What the proposals of a layout condition on, by name."""
    for key, proposal in catalogue.proposals(study.battery_of(shape)).items():
        proposal = getattr(proposal, "proposal", proposal)  # of a field of moduli
        if hasattr(proposal, "field") and hasattr(proposal.field, "scores"):
            yield key[1], proposal.field


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_with_other_scores_have_these_and_are_noise(shape, rng):
    for name, field in fields_of(shape):
        x = rng.standard_normal((40, *shape))
        same = field.with_scores(x, field.scores(x))
        np.testing.assert_allclose(same, x, atol=1e-7, err_msg=name)
        wanted = rng.standard_normal((40, field.count))
        y = field.with_scores(x, wanted)
        np.testing.assert_allclose(field.scores(y), wanted, atol=1e-6, err_msg=name)
        assert stats.kstest(y.ravel(), "norm").pvalue > 1e-8, name


# --- tilts


@pytest.mark.parametrize("tail", [1e-3, 1e-9])
def test_sum_of_values_against_the_normal_law(tail, rng):
    x, weight = tilts.SumOfValues((64,), lambda x: x).draw(rng, 4000, tail)
    far = np.abs(x.sum(axis=-1)) >= -special.ndtri(tail / 2) * 8
    assert is_close(weight * far, tail)


def test_sum_of_squares_against_the_chi_square_law(rng):
    x, weight = tilts.SumOfValues((64,), np.square).draw(rng, 6000, 1e-6)
    low, high = stats.chi2.ppf(5e-7, 64), stats.chi2.isf(5e-7, 64)
    energy = np.sum(x**2, axis=-1)
    assert is_close(weight * (energy <= low), 5e-7)
    assert is_close(weight * (energy >= high), 5e-7)


def test_shares_of_two_exponential_variables(rng):
    """Their share is uniform, so ``P(r (1 - r) <= c) = 1 - sqrt(1 - 4 c)``."""
    law = tilts._Dirichlet(np.ones(2), 2.0)
    parts, rest, weight = law.draw(rng, 20_000, 1e-6)
    assert not rest.any()
    share = parts[:, 0] / parts.sum(axis=-1)
    c = (1 - (1 - 1e-6) ** 2) / 4
    assert is_close(weight * (share * (1 - share) <= c), 1e-6)
    near = 0.5 * 1e-6  # of a share of one half
    assert is_close(weight * (np.abs(share - 0.5) <= near / 2), near)


def test_four_values_at_lag_one(rng):
    """``x0 x1 + x1 x2 + x2 x3 + x3 x0`` is twice the product of two independent normals, whose
    density is ``K_0(|x|) / pi``."""
    s = 30.0
    half = integrate.quad(special.k0, s / 2, np.inf, epsabs=0)[0] / np.pi
    exact = 2 * half
    x, weight = tilts.Lags((4,), [(1,)]).draw(rng, 20_000, exact)
    total = np.sum(x * np.roll(x, 1, axis=-1), axis=-1)
    assert is_close(weight * (np.abs(total) >= s), exact)


def test_a_mixture_over_lags_counts_each_event_once(rng):
    """Two lags at once, against each alone with the overlap counted by the mixture itself."""
    lags = [(1,), (2,)]
    x, weight = tilts.Lags((16,), lags).draw(rng, 20_000, 1e-3)
    alone = []
    for (k,) in lags:
        y, ratio = tilts.Lags((16,), [(k,)]).draw(rng, 20_000, 1e-3)
        alone.append((ratio * (np.abs(lag_sum(y, k)) > 15)).mean())
    for (k,), probability in zip(lags, alone, strict=True):
        draws = weight * (np.abs(lag_sum(x, k)) > 15)
        assert abs(draws.mean() - probability) < 0.1 * probability


def lag_sum(x, k):
    return np.sum(x * np.roll(x, k, axis=-1), axis=-1)


# --- counts


def test_cells_against_enumeration(rng):
    """Eight values in four nested cells: every outcome of the counts."""
    x, weight = counts.Cells((8,), (1, 2)).draw(rng, 20_000, 1e-2)
    chosen = {3: 0.0, 5: 0.0, 7: 0.0, 9: 0.0}
    for first in range(9):
        for a, b in itertools.product(range(first + 1), range(9 - first)):
            p = stats.multinomial.pmf([a, first - a, b, 8 - first - b], 8, [0.25] * 4)
            for level in chosen:
                chosen[level] += p * (deviation(first, a, b) >= level)
    cell = np.floor(4 * special.ndtr(x)).astype(int)
    n = [(cell == c).sum(axis=-1) for c in range(4)]
    found = deviation(n[0] + n[1], n[0], n[2])
    for level, probability in chosen.items():
        assert is_close(weight * (found >= level), probability)


def deviation(first, a, b):
    parts = ((first, 8), (a, first), (b, 8 - first))
    return sum((2 * half - n) ** 2 / np.maximum(n, 1) for half, n in parts)


def test_thresholds_against_enumeration(rng):
    """Six values and two thresholds: the probability that any binomial tail is small."""
    edges, tail = np.array([-0.5, 1.0]), 0.05
    x, weight = counts.Thresholds((6,), edges).draw(rng, 20_000, tail)
    p = special.ndtr(edges)
    exact = 0.0
    for low in range(7):
        for middle in range(7 - low):
            below = np.array([low, low + middle])
            mass = stats.multinomial.pmf(
                [low, middle, 6 - low - middle], 6, [p[0], p[1] - p[0], 1 - p[1]]
            )
            exact += mass * bool(small_tails(below, p, tail).any())
    below = (x[:, :, None] < edges).sum(axis=1)
    assert is_close(weight * small_tails(below, p, tail).any(axis=-1), exact)


def small_tails(below, p, tail):
    law = stats.binom(6, p)
    return np.minimum(law.cdf(below), law.sf(below - 1)) <= tail / 2 / 2


def test_triples_against_enumeration(rng):
    x, weight = counts.Triples((10,), 0).draw(rng, 50, 0.05)
    signs = np.array(list(itertools.product([False, True], repeat=10)))
    exact = np.mean(two_sided(odd_triples(signs)) <= 0.05)
    np.testing.assert_allclose(weight, exact, rtol=1e-9)
    assert np.all(two_sided(odd_triples(x > 0)) <= 0.05)


def odd_triples(positive):
    return np.sum(positive[:, :-2] ^ positive[:, 1:-1] ^ positive[:, 2:], axis=-1)


def two_sided(count):
    return 2 * np.minimum(stats.binom.cdf(count, 8, 0.5), stats.binom.sf(count - 1, 8, 0.5))


# --- reports


@pytest.mark.parametrize("shape", [SHAPE, pytest.param((256,), marks=pytest.mark.slow)], ids=str)
def test_exact_statistics_reject_as_often_as_they_say(shape):
    """Every draw lies in the tail of its statistic, whose probability is known."""
    found = study.union(shape, 1e-6, 300, np.random.default_rng(1), least=6)
    exact = {k: r for k, r in found.ratios.items() if not any(w in k[1] for w in NOT_EXACT)}
    assert len(exact) > 45
    # A draw in which two scores are as large counts half; of so few, at most one is.
    assert [k for k, r in exact.items() if abs(r.value - 1) > 0.1] == []
    assert 0.75 < found.probability.value / 1e-6 < 1.1
    assert found.unsampled < 0.02e-6


@pytest.mark.slow
@pytest.mark.parametrize("level", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_report_rejects_as_often_as_it_says(shape, level):
    found = study.union(shape, level, 10_000, np.random.default_rng(2))
    most = level * 1.05 + SIGMAS * found.probability.error
    assert 0.8 * level < found.probability.value + found.unsampled < most


def test_splitting_against_a_known_law(monkeypatch):
    """The p-value of the energy: exact at every level."""

    def log_pvalue(_, x):
        return stats.chi2.logsf(np.sum(x**2, axis=-1), x.shape[-1])

    monkeypatch.setattr(splitting, "log_pvalue", log_pvalue)
    found = splitting.split((32,), 400, 12, np.random.default_rng(3))
    for level in (1e-2, 1e-4, 1e-6):
        assert abs(np.log(found[level].value / level)) < 0.7
        assert found[level].error < 0.35 * level


def test_tables():
    one = study.Estimate(2.5e-7, 1e-8)
    union = study.Union((4, 8), 1e-6, one, 1e-8, {("a", "b"): study.Estimate(1.0, 0.0)})
    lines = tables.whole([union], {(4, 8): {1e-6: one}})
    assert lines[-1] == "| 4x8 | 10⁻⁶ | 0.250 ± 0.010 | 0.010 | 0.25 ± 0.01 |"
    assert tables.exact([union])[2] == "| 4x8 | 10⁻⁶ | 1 | 1 | 0 | 0 | 0 |"
    rows = tables.by_statistic({("s", (8,)): {1e-3: study.Estimate(1.25, 0.5)}})
    assert rows == [
        "| statistic | shape | at 10⁻³ |",
        "|---|---|---:|",
        "| s | 8 | 1.250 ± 0.500 |",
    ]
