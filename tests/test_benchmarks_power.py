"""The power benchmark: the peers keep their level and compute what they say, the bank is sound.

Statistical checks use fixed seeds and tolerances of 4.9 standard errors: each would fail by chance
once in a million seeds.
"""

import importlib
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

# At the end of the path, so that `whitenoise` stays the installed package.
sys.path.append(str(Path(__file__).parents[1]))
alternative, bank, copies, peers, spatial, study, tables = (
    importlib.import_module(f"benchmarks.power.{name}")
    for name in ("alternative", "bank", "copies", "peers", "spatial", "study", "tables")
)

SIGMAS = 4.9  # two-sided normal tail 1e-6
SMALL = (4, 16, 16)
ALTERNATIVES = bank.BANK + bank.HELD_OUT


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).standard_normal((800, *SMALL))


def within_binomial_error(hits, draws, probability):
    return abs(hits - draws * probability) <= SIGMAS * np.sqrt(
        draws * probability * (1 - probability)
    )


# --- peers


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_keeps_its_level_on_noise(name, noise):
    p = peers.PEERS[name](noise)
    assert p.shape == (len(noise),)
    joined = {"neighbours": 2, "channels": 6, "MPGR statistics": 3}.get(name, 1)
    for level in (0.05, 0.3):
        # What Bonferroni gives for independent members; theirs are nearly so.
        rate = 1 - (1 - level / joined) ** joined
        assert within_binomial_error(np.count_nonzero(p <= level), len(noise), rate)


@pytest.mark.parametrize("name", peers.BATTERIES)
def test_batteries_are_made_of_peers(name):
    members = peers.BATTERIES[name]
    assert set(members) <= set(peers.PEERS)
    assert len(set(members)) == len(members) in (4, 10)


def test_tests_of_mean_and_norm_agree_with_scipy(noise):
    x = noise[0].ravel()
    z = stats.norm(0, 1 / np.sqrt(x.size))
    assert np.isclose(peers.mean(noise)[0], 2 * z.sf(abs(x.mean())))
    law = stats.chi2(x.size)
    assert np.isclose(peers.norm(noise)[0], 2 * min(law.cdf(x @ x), law.sf(x @ x)))


def test_anderson_darling_tail_by_imhof():
    """Against numerical inversion of the law of 400 terms, the others at their expectation."""
    j = np.arange(1, 401)
    weights = 1 / (j * (j + 1))

    def imhof(a):
        a = a - 1 / 401

        def integrand(u):
            angle = np.sum(np.arctan(weights * u)) / 2 - a * u / 2
            return np.sin(angle) / (u * np.prod((1 + (weights * u) ** 2) ** 0.25))

        return 0.5 + integrate.quad(integrand, 0, 600, limit=500)[0] / np.pi

    a = np.array([0.3, 0.7, 1.5, 2.492, 6.0])
    tail = peers.anderson_darling_tail(a)
    np.testing.assert_allclose(tail, [imhof(x) for x in a], atol=2e-5)
    # M. A. Stephens, "EDF statistics for goodness of fit", JASA 69 (1974), case 0.
    assert np.isclose(tail[3], 0.05, rtol=0.01)
    # Far out the largest weight, 1/2, rules: sqrt(3) P(chi2_1 > 2 a).
    far = np.array([20.0, 40.0])
    np.testing.assert_allclose(
        peers.anderson_darling_tail(far), np.sqrt(3) * stats.chi2.sf(2 * far, 1), rtol=0.02
    )


def test_anderson_darling_statistic_by_its_sum(noise):
    x = np.sort(noise[0].ravel())
    n, cdf = x.size, stats.norm.cdf(x)
    terms = [(2 * i + 1) * np.log(cdf[i] * (1 - cdf[n - 1 - i])) for i in range(n)]
    expected = peers.anderson_darling_tail(np.array([-n - sum(terms) / n]))
    np.testing.assert_allclose(peers.anderson_darling(noise[:1]), expected, rtol=1e-6)


@pytest.mark.parametrize(("test", "power"), [(peers.ljung_box, 1), (peers.mcleod_li, 2)])
def test_portmanteau_tests_by_the_direct_formula(test, power, noise):
    x = noise[0].ravel() ** power
    x = x - x.mean()
    n, total = x.size, 0.0
    for lag in range(1, 21):
        r = sum(x[i] * x[i + lag] for i in range(n - lag)) / sum(x * x)
        total += n * (n + 2) * r**2 / (n - lag)
    assert np.isclose(test(noise[:1])[0], stats.chi2.sf(total, 20))


def test_runs_by_counting(noise):
    x = noise[0].ravel()
    changes = sum((a > 0) != (b > 0) for a, b in pairwise(x))
    law = stats.binom(x.size - 1, 0.5)
    expected = min(1.0, 2 * min(law.cdf(changes), 1 - law.cdf(changes - 1)))
    assert np.isclose(peers.runs(noise[:1])[0], expected)


def test_cumulative_periodogram_by_a_slow_transform(noise):
    x = noise[0].ravel()[:256]
    turns = np.outer(np.arange(1, 128), np.arange(256)) / 256
    power = np.abs(np.exp(-2j * np.pi * turns) @ x) ** 2
    u = np.cumsum(power)[:-1] / power.sum()
    expected = stats.kstest(u, "uniform", method="exact").pvalue
    assert np.isclose(peers.cumulative_periodogram(x[None]), expected)


def test_bartlett_variances_agree_with_scipy(noise):
    expected = stats.bartlett(*np.split(noise[3].ravel(), 16)).pvalue
    assert np.isclose(peers.bartlett_variances(noise)[3], expected)


def test_channels_are_compared_by_pearson_correlation(noise):
    x = noise[3].reshape(4, -1)
    pairs = [stats.pearsonr(x[a], x[b]).pvalue for a in range(4) for b in range(a)]
    assert np.isclose(peers.channels(noise)[3], min(1.0, 6 * min(pairs)))


def test_henze_zirkler_by_the_double_sum(noise):
    """Statistic as printed in Henze and Zirkler (1990), lognormal law by matched moments."""
    n, d = 64, 4
    values = noise[0].ravel()[: n * d]
    x = values.reshape(n, d) - values.reshape(n, d).mean(axis=0)
    inverse = np.linalg.inv(np.cov(x.T, bias=True))
    beta = ((2 * d + 1) * n / 4) ** (1 / (d + 4)) / np.sqrt(2)
    pairs = [[(a - b) @ inverse @ (a - b) for a in x] for b in x]
    own = np.array([a @ inverse @ a for a in x])
    statistic = n * (
        np.mean(np.exp(-(beta**2) / 2 * np.array(pairs)))
        - 2 * (1 + beta**2) ** (-d / 2) * np.mean(np.exp(-(beta**2) / (2 * (1 + beta**2)) * own))
        + (1 + 2 * beta**2) ** (-d / 2)
    )
    a, w = 1 + 2 * beta**2, (1 + beta**2) * (1 + 3 * beta**2)
    mean = 1 - a ** (-d / 2) * (1 + d * beta**2 / a + d * (d + 2) * beta**4 / (2 * a**2))
    variance = 2 * (1 + 4 * beta**2) ** (-d / 2)
    variance += (2 * a**-d) * (1 + 2 * d * beta**4 / a**2 + 3 * d * (d + 2) * beta**8 / (4 * a**4))
    variance -= (
        4 * w ** (-d / 2) * (1 + 3 * d * beta**4 / (2 * w) + d * (d + 2) * beta**8 / (2 * w**2))
    )
    spread = np.sqrt(np.log((variance + mean**2) / mean**2))
    law = stats.lognorm(spread, scale=mean**2 / np.sqrt(variance + mean**2))
    assert np.isclose(peers.henze_zirkler_one(values), law.sf(statistic))


@pytest.mark.parametrize(
    ("name", "alternative_name"),
    [
        ("McLeod-Li", "stochastic volatility"),
        ("channels", "two channels correlated"),
        ("neighbours", "autoregression along columns"),
        ("Bartlett periodogram", "sorted groups"),
        ("Bartlett variances", "loud channel"),
        ("Henze-Zirkler", "student t"),
        ("MPGR statistics", "variance inflation"),
    ],
)
def test_a_peer_sees_what_it_is_made_for(name, alternative_name):
    one = next(a for a in bank.BANK if a.name == alternative_name)
    x = one.draws((4, 32, 32), 2, 5)
    # MPGR is calibrated once for each length: a shorter array saves time.
    x = x[:, :, :16, :16] * 1.1 if name.startswith("MPGR") else x
    assert np.median(peers.PEERS[name](x)) < 0.02


# --- alternatives


def test_the_banks_are_as_broad_as_the_page_says():
    names = [a.name for a in ALTERNATIVES]
    assert len(set(names)) == len(names)
    assert len(bank.BANK) >= 40
    assert len(bank.HELD_OUT) >= 12


@pytest.mark.parametrize("one", ALTERNATIVES, ids=lambda one: one.name)
def test_draws_are_finite_repeatable_and_of_about_unit_variance(one):
    shape = (4, 32, 32)
    for strength in range(3):
        x = one.draws(shape, strength, 3)
        assert x.shape == (3, *shape)
        assert np.isfinite(x).all()
        assert 0.75 < np.mean(x**2) < 1.3
        np.testing.assert_array_equal(x, one.draws(shape, strength, 3))
        assert not np.array_equal(x, one.draws(shape, strength, 3, seed=1))
        assert not np.array_equal(x[0], x[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_autoregression_has_its_coefficient_and_unit_variance(axis):
    x = spatial.autoregressive(np.random.default_rng(0), (64, 64, 64), 0.6, axis)
    rows = np.moveaxis(x, axis, -1)
    correlation = np.mean(rows[..., 1:] * rows[..., :-1])
    # Standard errors of a mean of n = 64^3 correlated products are below 2.5 / sqrt(n).
    assert abs(correlation - 0.6) < SIGMAS * 2.5 / 512
    assert abs(np.mean(rows[..., 0] ** 2) - 1) < SIGMAS * np.sqrt(2) / 64 * 2


def test_coloured_noise_has_its_spectrum():
    shape = (400, 8, 8)
    y, x, _ = alternative.frequencies(shape)
    power = 1 + 0.8 * np.cos(2 * np.pi * y) * np.cos(2 * np.pi * x)
    field = alternative.coloured(np.random.default_rng(0), shape, power)
    measured = np.mean(np.abs(np.fft.fft2(field)) ** 2, axis=0) / 64
    # Relative error of a mean of 400 squares: sqrt(2 / 400) at real frequencies, less elsewhere.
    assert np.max(np.abs(measured / power - 1)) < (SIGMAS + 1) * np.sqrt(2 / 400)


def test_a_copied_patch_is_there_twice():
    """So it does not overlap with its source, in any of 100 draws that leave little room."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        x = copies.with_patch(rng, (1, 16, 16), 6, 1.0)
        _, counts = np.unique(x, return_counts=True)
        assert counts.max() == 2
        assert np.count_nonzero(counts == 2) == 36


# --- study and tables


def made_up(level_rates):
    """A study of two alternatives whose p-values are 0 in the stated share of ten draws."""
    rates = {name: np.zeros((2, 3)) for name in (*peers.PEERS, *peers.BATTERIES)}
    rates |= {study.OURS: np.zeros((2, 3)), study.SELECTED: np.zeros((2, 3))}
    rates |= {name: np.array(rate) for name, rate in level_rates.items()}
    pvalues = {
        name: np.where(np.arange(10) < 10 * rate[..., None] - 1e-9, 0.0, 1.0)
        for name, rate in rates.items()
    }
    noise = {name: np.linspace(0, 1, 200) for name in pvalues}
    return study.Study(4096, bank.BANK[:2], pvalues, noise, [["tiles"] * 3] * 2, ("mean",))


def test_tables_show_losses_and_blind_spots():
    s = made_up(
        {
            study.OURS: [[0.1, 0.5, 1.0], [0.0, 0.1, 0.1]],
            tables.EXPERT: [[0.1, 0.9, 1.0], [0.0, 0.0, 0.0]],
            "kstest": [[0.2, 0.2, 0.2], [0.2, 0.2, 0.2]],
        }
    )
    first, second = (a.name for a in s.bank)
    lines = tables.worst([s])
    assert lines[2].startswith(f"| {first} | medium | 4,096 | 0.50 | 0.90 | 0.20 | -0.40 ± 0.15 |")
    assert "1 of 6 cells more than 0.1 below" in lines[-1]
    assert f"even when strong: {second}." in lines[-1]
    row = tables.summary([s])[2]
    assert row.startswith("| 4,096 | 0.05 | 0.300 | 0.200 (kstest) |")
    assert "| tiles |" in tables.by_alternative([s])[2]
    assert "| none |" in tables.by_alternative([s])[3]


def test_the_best_battery_takes_what_adds_power_and_no_more():
    p = {name: np.ones((1, 1, 8)) for name in peers.PEERS}
    p["kstest"][..., :4] = 0.0
    p["channels"][..., 3:6] = 0.0
    p["mean"][..., 3] = 0.0
    assert study.best_battery(p, 0.05) == ("kstest", "channels")


def test_a_small_study_runs_from_end_to_end(monkeypatch):
    monkeypatch.setitem(study.SHAPES, 1024, SMALL)  # MPGR is calibrated for it already
    s = study.run(bank.BANK[:2], 1024, draws=4, seed=0)
    assert s.pvalues[study.OURS].shape == (2, 3, 4)
    assert s.noise["expert battery"].shape == (4 * study.NOISE_FACTOR,)
    again = study.run(bank.BANK[:2], 1024, draws=4, seed=0)
    for name, p in s.pvalues.items():
        np.testing.assert_array_equal(p, again.pvalues[name])
    for write in tables.TABLES.values():
        lines = write([s])
        columns = {line.count("|") for line in lines if line.startswith("|")}
        assert len(columns) == 1
