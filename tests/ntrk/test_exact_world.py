"""Every method where the right answer is known.

Statistical checks use fixed seeds. Where a level is stated, a correct method fails it by chance
with that probability; the other bounds are far from what a correct method gives.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import ntrk
from ntrk.methods import (
    DAS,
    DNO,
    DPS,
    NTRK,
    RBF,
    SVDD,
    TFG,
    Base,
    BestOfN,
    FKSteering,
    FreeDoM,
    PsiSampler,
    ReNO,
)
from ntrk.worlds import GaussianMixture, LinearReward, QuadraticReward

sys.path.append(str(Path(__file__).parents[2]))
benchmark = importlib.import_module("benchmarks.exact_world.world")
study = importlib.import_module("benchmarks.exact_world.study")
tables = importlib.import_module("benchmarks.exact_world.tables")

PLANE = GaussianMixture(
    [0.3, 0.7], [[-1.0, 1.0], [1.0, -0.5]], [[[0.9, 0.3], [0.3, 0.5]], [[0.4, 0.0], [0.0, 1.2]]]
)
LINE = GaussianMixture([0.6, 0.4], [[-1.0], [1.5]], [0.5, 0.3])
TILTS = {
    "line, linear": (LINE, LinearReward([1.0]), 2.0),
    "plane, linear": (PLANE, LinearReward([1.0, 0.6]), 1.6),
    "plane, quadratic": (PLANE, QuadraticReward([1.5, 1.0]), 2.0),
}


@pytest.fixture(scope="module")
def latent():
    return benchmark.linear()


def sample(world, reward, method, **options):
    options = {"check_noise": False, "progress": False} | options
    return ntrk.sample(world.velocity, (world.size,), reward=reward, method=method, **options)


def pvalues(latent, method, **options):
    """The p-values of all perturbations of a run with few particles."""
    out = ntrk.sample(latent.velocity, latent.shape, reward=latent.reward, method=method, **options)
    return np.array([p for step in out.history for p in step.get("pvalue", ())])


def rejects_as_stated(found, level=1e-3):
    """Whether no more are below the level than chance allows; a false alarm in a million."""
    return np.count_nonzero(found < level) <= stats.binom.ppf(1 - 1e-6, len(found), level)


# --- the base kernel


@pytest.mark.parametrize(
    ("diffusion", "form"),
    [
        ("3t^2", "bridge"),
        ("1-(1-t)^2", "bridge"),
        (0.7, "bridge"),
        ("ancestral", "bridge"),
        ("ode", "bridge"),
        ("3t^2", "euler_maruyama"),
        ("1-(1-t)^2", "euler_maruyama"),
        ("ode", "euler_maruyama"),
    ],
)
def test_the_base_kernel_reproduces_the_moments_of_the_prior(diffusion, form):
    """Five moments a case, each at level 1e-6: a false alarm in 25,000 seeds."""
    out = sample(
        PLANE,
        LinearReward([1.0, 0.0]),
        "base",
        steps=200,
        particles=1000,
        diffusion=diffusion,
        form=form,
        dtype=torch.float64,
    )
    x = out.images.double() - PLANE.mean()
    first, second = torch.triu_indices(2, 2)
    found = torch.cat([x, x[:, first] * x[:, second]], 1)
    expected = torch.cat([torch.zeros(2), PLANE.covariance()[first, second]])
    z = (found.mean(0) - expected) / (found.std(0) / len(x) ** 0.5)
    assert z.abs().max() < stats.norm.isf(1e-6 / 2)


@pytest.mark.parametrize("diffusion", ["3t^2", "ancestral"])
def test_perturbations_of_the_base_kernel_are_typical(latent, diffusion):
    found = pvalues(latent, "base", particles=8, diffusion=diffusion)
    assert len(found) == 8 * 24  # the last step injects nothing
    assert rejects_as_stated(found)
    assert rejects_as_stated(found, 0.05)


# --- noise-tilted and mean-shifted kernels


def test_strong_mean_shifts_are_not_typical(latent):
    found = pvalues(latent, DPS(latent.temperature / 100), particles=4)
    assert np.mean(found < 1e-3) > 0.3


def test_tilted_noise_is_typical_if_whitened(latent):
    found = pvalues(latent, NTRK(0.1), particles=6)
    assert rejects_as_stated(found)


@pytest.mark.parametrize(("whitening", "strength"), [("sphere", 0.1), ("identity", 0.3)])
def test_tilted_noise_is_not_typical_if_not_whitened(latent, whitening, strength):
    found = pvalues(latent, NTRK(strength, whitening), particles=4)
    assert np.mean(found < 1e-3) > 0.5


# --- populations


def distance(samples, law, direction):
    """The largest gap between the distribution functions of ``<direction, x>``."""
    grid = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    density = law.projected(direction[None]).log_density(grid[:, None]).exp()
    exact = torch.cumulative_trapezoid(density, grid)
    found = torch.searchsorted((samples.double() @ direction).sort().values, grid) / len(samples)
    return float((found[1:] - exact).abs().max())


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize(
    "make",
    [
        lambda tau: DAS(tau),
        lambda tau: PsiSampler(tau),
        lambda tau: FKSteering(tau, potential="max"),
        lambda tau: FKSteering(tau, potential="diff"),
        # Far overshooting potentials, hence few resamplings: the weights at the end undo them.
        lambda tau: FKSteering(tau, potential="sum", resamplings=3),
    ],
    ids=["DAS", "Psi", "FKS max", "FKS diff", "FKS sum"],
)
def test_large_populations_follow_the_tilted_law(tilt, make):
    """To bounds that half the tilt would break; the prior is far beyond them."""
    world, reward, temperature = TILTS[tilt]
    tilted = world.tilted(reward, temperature)
    out = sample(world, reward, make(temperature), steps=80, particles=1500)
    exact = tilted.sample(1500, torch.Generator().manual_seed(0))
    prior = world.sample(1500, torch.Generator().manual_seed(0))
    goal, scale = tilted.expected_reward(reward), float(reward(exact).std())
    assert abs(float(out.reward.mean()) - goal) < 0.15 * scale
    assert abs(world.expected_reward(reward) - goal) > 0.65 * scale
    axes = torch.eye(world.size, dtype=torch.float64)
    assert max(distance(out.images, tilted, axis) for axis in axes) < 0.075
    assert max(distance(prior, tilted, axis) for axis in axes) > 0.15


# --- the others


REWARDED = {
    "NTRK": NTRK(0.1, "paper"),
    "BoN": BestOfN(),
    "SVDD": SVDD(4),
    "RBF": RBF(4),
    "TFG": TFG(0.5),
    "DPS": DPS(0.5),
    "FreeDoM": FreeDoM(0.5),
    "DNO": DNO(8),
    "ReNO": ReNO(8),
}


@pytest.mark.parametrize("name", REWARDED)
def test_the_reward_is_raised(latent, name):
    """By more than five standard errors, compared with the base sampler from the same seeds."""
    method, means = REWARDED[name], []
    for one in (method, Base()):
        outs = [
            ntrk.sample(
                latent.velocity,
                latent.shape,
                reward=latent.reward,
                method=one,
                seed=seed,
                particles=8,
                check_noise=False,
            )
            for seed in range(16 if name == "BoN" else 2)
        ]
        means.append(torch.cat([out.reward for out in outs]))
    error = sum(float(m.var()) / len(m) for m in means) ** 0.5
    assert float(means[0].mean() - means[1].mean()) > 5 * error


@pytest.mark.parametrize(
    ("method", "particles", "nfe"),
    [
        (Base(), 1, 25),
        (NTRK(), 1, 25),
        (DPS(), 1, 25),
        (TFG(), 1, 25),
        (BestOfN(), 20, 500),
        (BestOfN(NTRK()), 2, 50),
        (FreeDoM(), 1, 41),
        (SVDD(20), 1, 500),
        (DAS(), 20, 500),
        (FKSteering(), 20, 500),
        (PsiSampler(), 10, 500),
        (DNO(20), 1, 500),
        (ReNO(20), 1, 500),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_evaluations_are_those_of_the_paper(method, particles, nfe):
    evaluated = []

    def velocity(x, t):  # of standard normal data
        evaluated.append(len(x))
        return x * (2 * t - 1) / (t**2 + (1 - t) ** 2)

    out = ntrk.sample(
        velocity,
        (8, 8),
        reward=LinearReward(torch.ones(8, 8)),
        method=method,
        particles=particles,
        check_noise=False,
    )
    assert out.nfe == sum(evaluated) == nfe


def test_rollover_never_exceeds_its_budget():
    nfe = [sample(PLANE, LinearReward([1.0, 0.0]), RBF(20), seed=s).nfe for s in range(5)]
    assert 26 <= min(nfe) <= max(nfe) <= 500


# --- the study


def test_the_best_of_groups_is_what_best_of_n_returns(latent):
    options = {"reward": latent.reward, "steps": 4, "particles": 3, "check_noise": False}
    every = ntrk.sample(latent.velocity, latent.shape, method="base", **options)
    best = ntrk.sample(latent.velocity, latent.shape, method=BestOfN(), **options)
    draws = study.Draws(benchmark.turned(every.images), every.reward, every.nfe).best_of(3)
    torch.testing.assert_close(draws.samples, benchmark.turned(best.images), rtol=0, atol=0)
    assert draws.nfe == best.nfe == 12


def test_turned_fields_keep_the_law_and_the_reward(latent):
    x = torch.randn(3, *latent.shape, generator=torch.Generator().manual_seed(0)).double()
    rows = benchmark.turned(x)
    torch.testing.assert_close(benchmark.fields(rows), x)
    torch.testing.assert_close(rows.norm(dim=1), x.flatten(1).norm(dim=1))
    slope = benchmark.fields(latent.known.slope[None])[0]
    torch.testing.assert_close(latent.reward(x), (x * slope).sum((1, 2, 3)))


@pytest.mark.parametrize("name", benchmark.CASES)
def test_the_planes_are_orthonormal_and_the_tilt_is_as_stated(name):
    case = benchmark.CASES[name]()
    rows = torch.cat([case.along, case.aside])
    torch.testing.assert_close(rows @ rows.T, torch.eye(4, dtype=torch.float64))
    gain = case.tilted.expected_reward(case.known) - case.prior.expected_reward(case.known)
    expected = benchmark.SHIFTS[name] * benchmark.spread(case.prior, case.known)
    assert gain == pytest.approx(expected, rel=1e-9)


def test_exact_samples_have_no_bias_and_no_divergence(latent):
    """Within five standard errors each."""
    samples = latent.tilted.sample(400, torch.Generator().manual_seed(3))
    law = study.law_of(samples, latent.known(samples), "linear")
    assert abs(law.bias) < 5 * law.error
    for divergence, scatter in (law.along, law.aside):
        assert abs(divergence) < 5 * scatter
