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
    "line, linear": (LINE, LinearReward([1.0]), 1.0),
    "plane, linear": (PLANE, LinearReward([1.0, 0.6]), 0.8),
    "plane, quadratic": (PLANE, QuadraticReward([1.5, 1.0]), 1.5),
}


@pytest.fixture(scope="module")
def latent():
    return benchmark.linear()


def sample(world, reward, method, **options):
    options = {"check_noise": False, "progress": False} | options
    return ntrk.sample(world.velocity, (world.size,), reward=reward, method=method, **options)


def pvalues(latent, method, **options):
    """The p-values of all perturbations of a run with few particles."""
    out = ntrk.sample(
        latent.velocity, benchmark.SHAPE, reward=latent.reward, method=method, **options
    )
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
    line = law.projected(direction[None])
    scales = line._variances[:, 0].sqrt()
    x = (samples.double() @ direction).sort().values
    exact = torch.special.ndtr((x[:, None] - line.means[:, 0]) / scales) @ line.weights
    n = len(x)
    rank = torch.arange(n + 1) / n
    return float(torch.maximum((exact - rank[:-1]).abs(), (exact - rank[1:]).abs()).max())


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize(
    "make",
    [
        lambda tau: DAS(tau),
        lambda tau: PsiSampler(tau),
        lambda tau: FKSteering(tau, potential="max"),
        lambda tau: FKSteering(tau, potential="diff"),
        lambda tau: FKSteering(tau, potential="sum"),
    ],
    ids=["DAS", "Psi", "FKS max", "FKS diff", "FKS sum"],
)
def test_large_populations_follow_the_tilted_law(tilt, make):
    world, reward, temperature = TILTS[tilt]
    tilted = world.tilted(reward, temperature)
    out = sample(world, reward, make(temperature), steps=100, particles=1500)
    goal, before = tilted.expected_reward(reward), world.expected_reward(reward)
    spread = float(reward(tilted.sample(2000, torch.Generator().manual_seed(0))).std())
    assert abs(float(out.reward.mean()) - goal) < 0.1 * spread
    assert abs(before - goal) > 0.5 * spread  # which the prior would not pass
    for direction in torch.eye(world.size, dtype=torch.float64):
        assert distance(out.images, tilted, direction) < 0.06


# --- the others


REWARDED = {
    "NTRK": NTRK(0.1),
    "BoN": BestOfN(),
    "SVDD": SVDD(4),
    "RBF": RBF(4),
    "TFG": TFG(2.0),
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
                benchmark.SHAPE,
                reward=latent.reward,
                method=one,
                seed=seed,
                particles=8,
                check_noise=False,
            )
            for seed in range(8 if name == "BoN" else 2)
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

    def velocity(x, t):
        evaluated.append(len(x))
        return PLANE.velocity(x, t)

    shape, reward = (2,), LinearReward([1.0, 0.0])
    if isinstance(method, BestOfN) and method.needs_gradient or isinstance(method, NTRK):
        shape, reward = (16, 16), LinearReward(torch.ones(16, 16))

        def velocity(x, t):
            evaluated.append(len(x))
            return x * (2 * t - 1) / (t**2 + (1 - t) ** 2)

    out = ntrk.sample(
        velocity, shape, reward=reward, method=method, particles=particles, check_noise=False
    )
    assert out.nfe == sum(evaluated) == nfe


def test_rollover_never_exceeds_its_budget():
    nfe = [sample(PLANE, LinearReward([1.0, 0.0]), RBF(20), seed=s).nfe for s in range(5)]
    assert 26 <= min(nfe) <= max(nfe) <= 500


# --- the study
