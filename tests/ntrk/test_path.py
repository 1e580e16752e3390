"""Paths, what predictions mean on them, and diffusion coefficients."""

import math

import pytest
from scipy.integrate import quad, solve_ivp

from ntrk.diffusion import DIFFUSIONS, as_diffusion
from ntrk.path import PATHS, PREDICTIONS, Denoised, flow, variance_preserving

TIMES = [0.1, 0.37, 0.5, 0.9]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("t", TIMES)
def test_the_derivatives_are_those_of_the_scales(path, t):
    make, h = PATHS[path], 1e-6
    point, before, after = make(t), make(t - h), make(t + h)
    per_time = math.pi / 2 if path == "variance_preserving" else 1.0  # its own time is the angle
    assert (after.alpha - before.alpha) / (2 * h) == pytest.approx(point.alpha_dot * per_time)
    assert (after.sigma - before.sigma) / (2 * h) == pytest.approx(point.sigma_dot * per_time)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("kind", PREDICTIONS)
def test_every_prediction_gives_back_the_data_and_the_noise(path, t, kind):
    point, data, noise = PATHS[path](t), 1.7, -0.4
    x = point.alpha * data + point.sigma * noise
    prediction = {
        "velocity": point.alpha_dot * data + point.sigma_dot * noise,
        "noise": noise,
        "data": data,
        # d/dx log N(x; alpha data, sigma^2)
        "score": (point.alpha * data - x) / point.sigma**2,
    }[kind]
    found = point.denoise(x, prediction, kind)
    assert found.data == pytest.approx(data)
    assert found.noise == pytest.approx(noise)
    assert point.velocity(found) == pytest.approx(point.alpha_dot * data + point.sigma_dot * noise)
    assert point.score(found) == pytest.approx((point.alpha * data - x) / point.sigma**2)


def test_a_velocity_says_everything_at_both_ends():
    assert flow(1.0).denoise(3.0, 3.0 - 2.0, "velocity") == Denoised(2.0, 3.0)
    assert flow(0.0).denoise(2.0, 3.0 - 2.0, "velocity") == Denoised(2.0, 3.0)


def test_what_a_prediction_does_not_determine_is_refused():
    for kind in ("noise", "score"):
        with pytest.raises(ValueError, match="alpha = 0"):
            flow(1.0).denoise(1.0, 1.0, kind)
    with pytest.raises(ValueError, match="sigma = 0"):
        flow(0.0).denoise(1.0, 1.0, "data")
    with pytest.raises(ValueError, match="sigma = 0"):
        flow(0.0).score(Denoised(1.0, 1.0))
    with pytest.raises(ValueError, match="kind must be one of velocity, noise, data, score"):
        flow(0.5).denoise(1.0, 1.0, "epsilon")


def test_the_variance_preserving_velocity_is_the_v_prediction():
    point = variance_preserving(0.3)
    assert point.alpha**2 + point.sigma**2 == pytest.approx(1)
    assert point.velocity(Denoised(2.0, 3.0)) == pytest.approx(point.alpha * 3 - point.sigma * 2)


@pytest.mark.parametrize("name", [*DIFFUSIONS, 0.8])
@pytest.mark.parametrize(("s", "t"), [(0.05, 0.1), (0.3, 0.9), (0.6, 0.99)])
def test_the_decay_is_the_integral_of_the_coefficient(name, s, t):
    diffusion = as_diffusion(name)
    integral, _ = quad(lambda u: (diffusion.coefficient(u) / u) ** 2, s, t)
    assert diffusion.decay(s, t) == pytest.approx(integral)


def test_a_function_is_integrated():
    assert as_diffusion(lambda t: 3 * t * t).decay(0.2, 0.7) == pytest.approx(
        DIFFUSIONS["3t^2"].decay(0.2, 0.7)
    )


def test_the_ancestral_coefficient_forgets_all_noise_at_the_start():
    assert DIFFUSIONS["ancestral"].decay(0.9, 1.0) == math.inf


@pytest.mark.parametrize("name", [*DIFFUSIONS, 0.8])
def test_the_decay_solves_the_moments_of_the_sde(name):
    """Mean and variance of dy = -g^2 y / (2 u^2) d(-u) + g / u dw, integrated as equations."""
    s, t, start = 0.2, 0.9, 1.5
    diffusion = as_diffusion(name)

    def rate(elapsed, moments):
        rate = (diffusion.coefficient(t - elapsed) / (t - elapsed)) ** 2
        return [-rate / 2 * moments[0], rate * (1 - moments[1])]

    end = solve_ivp(rate, (0, t - s), [start, 0.0], rtol=1e-10, atol=1e-12).y[:, -1]
    decay = diffusion.decay(s, t)
    assert end[0] == pytest.approx(start * math.exp(-decay / 2), rel=1e-7)
    assert end[1] == pytest.approx(1 - math.exp(-decay), abs=1e-8)


@pytest.mark.parametrize("wrong", ["4t", -1.0, math.inf, math.nan])
def test_other_coefficients_are_refused(wrong):
    with pytest.raises(ValueError, match="diffusion must be"):
        as_diffusion(wrong)
