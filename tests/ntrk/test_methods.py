"""Every method against a hand computation of one step, in the world of `hand`."""

import math

import numpy as np
import pytest
import torch
from hand import ESTIMATE, LAST, MEAN, STD, play
from scipy import stats

from ntrk import methods
from ntrk.methods.dno import improbability
from ntrk.whitening import OPERATORS

A = np.array([3.0, 4.0])  # the reward is <A, x>, its gradient at t = 0.8 is 0.6 A
X = np.array([1.0, 2.0])
Z = np.array([0.5, -1.0])


def reward(x, prompts):
    return x @ torch.from_numpy(A)


def check(result, state, rtol=1e-12):
    """The state at 0.5, of which the result is 0.75."""
    np.testing.assert_allclose(result[0].numpy(), LAST * np.asarray(state), rtol=rtol)


def step_from_09(x, z, shift=lambda std: 0.0):
    """The step from 0.9 to 0.8: the estimate is 0.55 x, the noise 1.05 x."""
    kept = math.exp(-math.log(1 / 0.36) / 0.75 * (1 / 0.8 - 1 / 0.9) / 2)
    std = 0.8 * math.sqrt(1 - kept**2)
    return (0.2 * 0.55 + 0.8 * kept * 1.05) * x + std * z + shift(std)


def test_base():
    result, run = play(methods.Base(), reward, [X, Z, Z])
    check(result, MEAN * X + STD * Z)
    assert run.nfe == 2
    assert [entry["reward"][0] for entry in run.history] == pytest.approx(
        [A @ (ESTIMATE * X), A @ result[0].numpy()]
    )


@pytest.mark.parametrize("strength", [0.0, 0.36, 1.0])
def test_ntrk_with_the_raw_gradient(strength):
    result, _ = play(methods.NTRK(strength, "identity"), reward, [X, Z, Z])
    noise = math.sqrt(strength) * ESTIMATE * A + math.sqrt(1 - strength) * Z
    check(result, MEAN * X + STD * noise)


def test_ntrk_on_the_sphere():
    result, run = play(methods.NTRK(0.36, "sphere"), reward, [X, Z, Z])
    check(result, MEAN * X + STD * (0.6 * A / 5 * math.sqrt(2) + 0.8 * Z))
    assert run.history[0]["cosine"] == pytest.approx([1.0])


def test_ntrk_takes_any_operator():
    result, _ = play(methods.NTRK(1.0, lambda g, rng: g.flip(0)), reward, [X, Z, Z])
    check(result, MEAN * X + STD * ESTIMATE * A[::-1])


@pytest.mark.parametrize("whitening", OPERATORS)
def test_ntrk_at_strength_zero_is_the_base_sampler_bit_for_bit(whitening):
    noises = np.random.default_rng(0).standard_normal((3, 64))

    def peak(x, prompts):
        return -(x**4).sum(1)

    ours, _ = play(methods.NTRK(0.0, whitening), peak, noises, width=64)
    assert torch.equal(ours, play(methods.Base(), peak, noises, width=64)[0])


def test_dps():
    result, _ = play(methods.DPS(temperature=0.5), reward, [X, Z, Z])
    check(result, MEAN * X + STD * Z + STD**2 / 0.5 * ESTIMATE * A)


def test_tfg():
    """Ascents on a linear reward add up: mu sigma^2 / (alpha^2 + sigma^2) A, times alpha_s."""
    result, _ = play(methods.TFG(2.0, rho=0.7, mu=0.3, ascents=4), reward, [X, Z, Z])
    on_state = 0.7 * STD**2 / 2 * ESTIMATE * A
    on_data = 0.5 * 0.3 * (0.64 / 0.68) / 2 * A
    check(result, MEAN * X + STD * Z + on_state + on_data)


def test_freedom_goes_back_and_takes_the_step_again():
    """Three steps, the second of which is made three times; noise 0.9 -> 0.8 -> 0.5 -> 0."""
    noises = [X, Z, Z, Z, Z, Z, Z, Z]
    times = (0.9, 0.8, 0.5, 0.0)
    result, run = play(methods.FreeDoM(temperature=0.5), reward, noises, times=times)
    assert run.nfe == 5
    x = step_from_09(X, Z, lambda std: std**2 / 0.5 * 0.55 * A)
    for again in (True, True, False):
        step = MEAN * x + STD * Z + STD**2 / 0.5 * ESTIMATE * A
        ratio = 0.2 / 0.5
        x = ratio * step + math.sqrt(0.8**2 - (ratio * 0.5) ** 2) * Z if again else step
    check(result, x)


@pytest.mark.parametrize(("steps", "nfe"), [(25, 41), (9, 15), (2, 2)])
def test_freedom_repeats_the_middle_third(steps, nfe):
    assert methods.FreeDoM().evaluations(steps) == nfe


def test_svdd_keeps_the_best_candidate_of_each_level():
    low, high = np.array([1.0, 0.0]), np.array([0.0, 1.0])  # rewards 3 and 4
    result, run = play(methods.SVDD(candidates=3), reward, [low, high, -high, Z, high, low, Z])
    check(result, MEAN * high + STD * high)
    assert run.nfe == 6


def test_svdd_searches_for_each_particle():
    draws = [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]], Z, Z, Z]
    result, run = play(methods.SVDD(candidates=2), reward, draws, particles=2)
    np.testing.assert_allclose(result.numpy(), LAST * (MEAN * np.eye(2) + STD * Z), rtol=1e-12)
    assert run.nfe == 8


def test_rbf_advances_at_the_first_improvement_and_saves_the_rest():
    """Quota 2 a level. The first draw improves on nothing; at 0.5 the third candidate improves."""
    worse, better = np.array([-9.0, 0.0]), np.array([9.0, 9.0])
    result, run = play(methods.RBF(candidates=2), reward, [X, worse, worse, better, Z])
    check(result, MEAN * X + STD * better)
    assert run.nfe == 1 + 3  # the quota was 1 left and 2 new


def test_rbf_keeps_the_best_if_none_improves():
    bad, worse = np.array([-9.0, 0.0]), np.array([-9.0, -9.0])
    result, run = play(methods.RBF(candidates=2), reward, [X, worse, bad, worse, Z])
    check(result, MEAN * X + STD * bad)
    assert run.nfe == 4


def test_das_weighs_what_its_proposal_gets_wrong(monkeypatch):
    """Two particles that stay two; log p - log q from SciPy's densities."""
    seen, original = [], methods.das.normalized_weights
    monkeypatch.setattr(
        methods.das, "normalized_weights", lambda w: seen.append(w.clone()) or original(w)
    )
    start, noise = np.array([[1.0, 2.0], [0.9, 1.9]]), np.array([[0.5, -1.0], [0.6, -0.9]])
    play(
        methods.DAS(temperature=8.0, growth=0.5),
        reward,
        [start, noise, noise, noise],
        particles=2,
        times=(0.9, 0.8, 0.5, 0.0),
    )
    x = step_from_09(start, noise)  # the tempering is 0 at level 0, (1 + 1/2) - 1 at level 1
    first = 0.5 / 8 * (ESTIMATE * x) @ A
    shift = 0.5 / 8 * STD**2 * ESTIMATE * A
    after = MEAN * x + shift + STD * noise
    log_ratio = (
        stats.norm.logpdf(after, MEAN * x, STD) - stats.norm.logpdf(after, MEAN * x + shift, STD)
    ).sum(1)
    second = log_ratio + 1.0 / 8 * (LAST * after) @ A  # (1 + 1/2)^2 - 1 is more than 1
    np.testing.assert_allclose(seen[0], [0, 0], atol=1e-12)
    np.testing.assert_allclose(seen[1], first, rtol=1e-12)
    np.testing.assert_allclose(seen[2], second, rtol=1e-12)
    np.testing.assert_allclose(seen[3], second, rtol=1e-12)  # the last step goes to the estimate


@pytest.mark.parametrize(("factor", "accepted"), [(0.999, True), (1.001, False)])
def test_psi_accepts_by_the_ratio_of_metropolis_and_hastings(factor, accepted):
    """One proposal; the uniform number is just below or above the ratio of SciPy's densities.

    A quadratic reward: the chain keeps the law of a linear one without any rejection.
    """
    h, tau, curvature = 0.5, 2.0, 5.0
    keep = (1 - h / 4) / (1 + h / 4)
    spread = math.sqrt(1 - keep**2)
    move = np.array([4.0, 4.0])

    def quadratic(x, prompts):
        return -curvature / 2 * (x**2).sum(1)

    def log_target(z):
        return stats.norm.logpdf(z).sum() - curvature / 2 * ((ESTIMATE * z) ** 2).sum() / tau

    def proposal_mean(z):
        gradient = -curvature * ESTIMATE**2 * z
        return keep * z + spread * math.sqrt(h) / 2 * gradient / tau

    proposal = proposal_mean(X) + spread * move
    log_ratio = (
        log_target(proposal)
        - log_target(X)
        + stats.norm.logpdf(X, proposal_mean(proposal), spread).sum()
        - stats.norm.logpdf(proposal, proposal_mean(X), spread).sum()
    )
    assert log_ratio < -0.01  # both outcomes can happen
    result, run = play(
        methods.PsiSampler(tau, 2, h),
        quadratic,
        [X, move, Z, Z],
        uniforms=[factor * math.exp(log_ratio)],
    )
    # DAS guides nothing at its first level
    check(result, MEAN * (proposal if accepted else X) + STD * Z)
    assert run.nfe == 2 + 2


@pytest.mark.parametrize(
    ("potential", "expected"),
    [
        # rewards of the estimates at the two resamplings, and at the end
        ("max", lambda r1, r2, end: (r1, max(r1, r2), end - r1 - max(r1, r2))),
        ("diff", lambda r1, r2, end: (r1, r2 - r1, end - r1 - (r2 - r1))),
        ("sum", lambda r1, r2, end: (r1, r1 + r2, end - r1 - (r1 + r2))),
    ],
)
def test_fks_potentials_multiply_to_the_tilt(potential, expected, monkeypatch):
    seen = []
    original = methods.fks.normalized_weights
    monkeypatch.setattr(
        methods.fks, "normalized_weights", lambda w: seen.append(float(w[0])) or original(w)
    )
    times = (0.9, 0.8, 0.5, 0.0)
    _, run = play(methods.FKSteering(2.0, 3, potential), reward, [X, Z, Z, Z], times=times)
    r1, r2 = (entry["reward"][0] for entry in run.history[1:])
    end = r2  # the last step goes to the estimate
    np.testing.assert_allclose(seen, np.array(expected(r1, r2, end)) / 2, rtol=1e-12)


def test_best_of_n_keeps_the_best():
    start = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    result, run = play(methods.BestOfN(), reward, [start, Z, Z], particles=3)
    assert result.shape == (1, 2)
    check(result, MEAN * start[1] + STD * Z)
    assert run.nfe == 6


def test_dno_makes_the_first_step_of_adam():
    """Adam's first step is the learning rate times the sign, after a decay by its hundredth."""
    lr = 0.01
    method = methods.DNO(passes=2, learning_rate=lr, penalty=0.0)
    result, run = play(method, reward, [X, Z, -Z])
    start, noise = (v * (1 - lr * 0.01) + lr for v in (X, Z))
    check(result, MEAN * start + STD * noise, rtol=1e-8)  # Adam's epsilon
    assert run.nfe == 4
    assert run.history[1]["reward"][0] > run.history[0]["reward"][0]


def test_reno_makes_the_first_step_of_nesterov():
    """A step of lr (1 + 0.9) along the gradient clipped to norm 0.1, in the initial noise alone."""
    method = methods.ReNO(passes=2, learning_rate=5.0, clip=0.1, penalty=0.0)
    result, run = play(method, reward, [X, Z, -Z])
    check(result, MEAN * (X + 5 * 1.9 * 0.1 * A / 5) + STD * Z)
    assert run.nfe == 4


def test_noise_optimisation_keeps_its_best_pass():
    """A step that overshoots a narrow optimum is not what is returned."""

    def narrow(x, prompts):
        return -((x - LAST * torch.from_numpy(MEAN * X + STD * Z)) ** 2).sum(1)

    for method in (methods.ReNO(passes=3), methods.DNO(passes=3, learning_rate=1.0)):
        result, _ = play(method, narrow, [X + 1e-3, Z, Z])
        check(result, MEAN * (X + 1e-3) + STD * Z)


def test_improbability_bounds_how_often_noise_looks_so():
    """P(I >= c) <= 2 exp(-c): a union of the two bounds, over 2,000 draws of 400 values."""
    rng = np.random.default_rng(0)
    values = np.array(
        [
            float(improbability(torch.from_numpy(rng.standard_normal(400)), rng))
            for _ in range(2_000)
        ]
    )
    for c in (0.5, 1.0, 2.0):
        assert (values >= c).mean() <= min(1.0, 2 * math.exp(-c / 2))
    shifted = torch.from_numpy(rng.standard_normal(400) + 0.5)
    wide = torch.from_numpy(rng.standard_normal(400) * 2)
    assert float(improbability(shifted, rng)) > values.max()
    assert float(improbability(wide, rng)) > values.max()


@pytest.mark.parametrize("name", methods.METHODS)
def test_the_expected_evaluations_are_the_counted_ones(name):
    method = methods.as_method(name)
    if name in ("dno", "reno", "svdd", "rbf"):
        method = type(method)(4)
    noises = [X] * 4_000
    _, run = play(method, reward, noises, times=np.linspace(1, 0, 7), uniforms=[0.5] * 30)
    if name == "rbf":
        assert run.nfe <= method.evaluations(6)
    else:
        assert run.nfe == method.evaluations(6)


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_says_what_it_is(name):
    method = methods.as_method(name)
    assert method.name == name
    assert method.label
    assert method.summary
    assert method.kind
    assert method.settings["name"] == name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.NTRK(1.1), r"strength must be in \[0, 1\], got 1.1"),
        (lambda: methods.NTRK(float("nan")), "strength must be in"),
        (lambda: methods.DPS(0.0), r"temperature must be in \(0, inf\], got 0.0"),
        (lambda: methods.FKSteering(potential="min"), "potential must be one of max, diff, sum"),
        (lambda: methods.SVDD(0), "candidates must be at least 1"),
        (lambda: methods.as_method("dpps"), "method must be one of ntrk, base, best_of_n"),
    ],
)
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.DPS("abc"), "temperature must be a number, got 'abc'"),
        (lambda: methods.NTRK(True), "strength must be a number, got True"),
        (lambda: methods.SVDD(2.5), "candidates must be an integer, got 2.5"),
        (lambda: methods.DNO(True), "passes must be an integer, got True"),
    ],
)
def test_parameters_of_another_type_are_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    "method", [methods.SVDD(2), methods.RBF(2), methods.BestOfN()], ids=lambda m: m.name
)
def test_a_reward_that_is_nan_is_never_chosen(method):
    def broken_on_the_right(x, prompts):
        return torch.where(x[:, 0] > 0, torch.nan, x[:, 1])

    bad, good = np.array([9.0, 9.0]), np.array([-9.0, 0.0])
    particles = 2 if method.name == "best_of_n" else 1
    start = np.stack([bad, good]) if particles == 2 else bad
    draws = [start, np.zeros(2), np.zeros(2)] if particles == 2 else [bad, good, bad, good, good]
    result, _ = play(method, broken_on_the_right, draws, particles=particles)
    assert result[0, 0] < 0


def test_parameters_that_a_method_does_not_have_are_refused():
    with pytest.raises(TypeError, match="'svdd' has no parameter 'strength'; it has: candidates"):
        methods.as_method("svdd", strength=0.3)
    with pytest.raises(TypeError, match="belong into it"):
        methods.as_method(methods.Base(), strength=0.3)


def test_an_unknown_operator_is_refused():
    with pytest.raises(ValueError, match="whitening must be one of identity, sphere, wgnc, paper"):
        play(methods.NTRK(0.3, "zca"), reward, [X, Z, Z])
