"""Reverse kernels against closed forms, DDPM's posterior and the limit of small steps."""

import math

import pytest
import torch
from scipy import stats

import whitenoise as wn
from ntrk import kernels
from ntrk.diffusion import DIFFUSIONS, as_diffusion
from ntrk.kernels import reverse_kernel
from ntrk.path import PATHS, Denoised, Point, flow, variance_exploding, variance_preserving

COEFFICIENTS = [*DIFFUSIONS, 0.8]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", COEFFICIENTS)
@pytest.mark.parametrize(("t", "s"), [(0.9, 0.6), (0.5, 0.49), (0.3, 0.0)])
def test_the_bridge_preserves_the_marginal(path, name, t, s):
    """If x = alpha x0 + sigma eps, the next state has mean alpha_s x0 and variance sigma_s^2."""
    now, then = PATHS[path](t), PATHS[path](s)
    diffusion = as_diffusion(name)
    kernel_of = [
        reverse_kernel(0.0, Denoised(*pair), now, then, diffusion, "bridge")
        for pair in ((1.0, 0.0), (0.0, 1.0))
    ]
    (of_data, std), (of_noise, _) = kernel_of
    assert of_data == pytest.approx(then.alpha)
    assert of_noise**2 + std**2 == pytest.approx(then.sigma**2, abs=1e-15)


@pytest.mark.parametrize(("t", "s"), [(0.9, 0.6), (0.5, 0.49)])
def test_the_ancestral_bridge_is_the_posterior_of_ddpm(t, s):
    """q(x_s | x_t, x_0) from products of Gaussian densities, the chain being Markov."""
    now, then = variance_preserving(t), variance_preserving(s)
    ratio = now.alpha / then.alpha
    noise_between = now.sigma**2 - (ratio * then.sigma) ** 2
    x0, eps = 0.7, -1.3
    x = now.alpha * x0 + now.sigma * eps
    precision = 1 / then.sigma**2 + ratio**2 / noise_between
    mean = (then.alpha * x0 / then.sigma**2 + ratio * x / noise_between) / precision
    kernel = reverse_kernel(x, Denoised(x0, eps), now, then, as_diffusion("ancestral"), "bridge")
    assert kernel.mean == pytest.approx(mean)
    assert kernel.std == pytest.approx(precision**-0.5)


def test_the_ancestral_bridge_is_the_step_of_euler_ancestral():
    now, then = variance_exploding(2.0), variance_exploding(0.5)
    up = math.sqrt(then.sigma**2 * (now.sigma**2 - then.sigma**2) / now.sigma**2)
    down = math.sqrt(then.sigma**2 - up**2)
    x0, x = 0.3, 1.1
    derivative = (x - x0) / now.sigma
    known = Denoised(x0, derivative)
    kernel = reverse_kernel(x, known, now, then, as_diffusion("ancestral"), "bridge")
    assert kernel.mean == pytest.approx(x + derivative * (down - now.sigma))
    assert kernel.std == pytest.approx(up)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_both_forms_agree_for_small_steps(name):
    """Mean to second order in the step, std to order 3/2."""
    x0, eps, t = 0.7, -1.3, 0.6
    x = 0.4 * x0 + 0.6 * eps
    gaps = []
    for dt in (1e-2, 1e-3):
        both = [
            reverse_kernel(x, Denoised(x0, eps), flow(t), flow(t - dt), as_diffusion(name), form)
            for form in kernels.FORMS
        ]
        gaps.append([abs(a - b) for a, b in zip(*both, strict=True)])
    assert gaps[1][0] < gaps[0][0] / 50 or gaps[0][0] < 1e-12
    assert gaps[1][1] < gaps[0][1] / 15 or gaps[0][1] < 1e-12


def test_euler_maruyama_is_equation_34():
    """x - (v - g^2 / 2 s) dt, with numbers put in by hand: g = 3 (1/2)^2 = 3/4, s = -eps / t."""
    x, x0, eps = 1.0, 3.0, -1.0  # 1 = 3/2 - 1/2
    kernel = reverse_kernel(
        x, Denoised(x0, eps), flow(0.5), flow(0.25), as_diffusion("3t^2"), "euler_maruyama"
    )
    assert kernel.mean == pytest.approx(1 - (-4 - 0.5 * 0.5625 * 2) * 0.25)
    assert kernel.std == pytest.approx(0.375)


@pytest.mark.parametrize("form", kernels.FORMS)
def test_a_path_is_a_flow_path_at_another_scale(form):
    """The same step on the scaled state, whatever the scale."""
    known, diffusion = Denoised(0.7, -1.3), as_diffusion("3t^2")
    now, then = flow(0.6), flow(0.4)
    on_flow = reverse_kernel(0.4 * 0.7 - 0.6 * 1.3, known, now, then, diffusion, form)
    scaled = [
        Point(5 * now.alpha, 5 * now.sigma, -1, 1),
        Point(2 * then.alpha, 2 * then.sigma, -1, 1),
    ]
    other = reverse_kernel(5 * (0.4 * 0.7 - 0.6 * 1.3), known, *scaled, diffusion, form)
    assert other.mean == pytest.approx(2 * on_flow.mean)
    assert other.std == pytest.approx(2 * on_flow.std)


def test_what_cannot_be_a_step_is_refused():
    known, diffusion = Denoised(0.0, 0.0), as_diffusion("3t^2")
    with pytest.raises(ValueError, match="time must decrease"):
        reverse_kernel(0.0, known, flow(0.5), flow(0.5), diffusion, "bridge")
    with pytest.raises(ValueError, match="form must be one of bridge, euler_maruyama"):
        reverse_kernel(0.0, known, flow(0.5), flow(0.4), diffusion, "heun")
    with pytest.raises(ValueError, match="infinite at time 1"):
        reverse_kernel(
            0.0, known, flow(1.0), flow(0.9), as_diffusion("ancestral"), "euler_maruyama"
        )


def test_the_four_kernels_by_hand():
    kernel, z = kernels.Gaussian(torch.tensor([1.0, 2.0]), 0.5), torch.tensor([2.0, -2.0])
    shift, direction = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 4.0])
    assert kernels.base(kernel, z).tolist() == [2.0, 1.0]
    assert kernels.mean_shifted(kernel, z, shift).tolist() == [3.0, 1.0]
    assert kernels.search(kernel, torch.stack([z, -z])).tolist() == [[2.0, 1.0], [0.0, 3.0]]
    # sqrt(0.36) = 0.6 of the direction, 0.8 of the noise
    assert kernels.noise_tilted(kernel, z, direction, 0.36).tolist() == pytest.approx([1.8, 2.4])


def test_tilted_noise_is_rounded_once():
    """Sums of float32 fit into fewer bits where they cancel: with them the p-value is 1e-5."""
    generator = torch.Generator().manual_seed(0)
    w, z = torch.randn((2, 16, 64, 64), generator=generator)
    mixed = kernels.tilted_noise(z, w, 0.3)
    assert mixed.dtype == torch.float32
    assert wn.typicality(mixed).pvalue > 0.01
    assert wn.typicality(0.3**0.5 * w + 0.7**0.5 * z).families["exactness"] < 1e-3
    torch.testing.assert_close(kernels.tilted_noise(z, w, 0.0), z, rtol=0, atol=0)


def test_tilted_noise_is_standard_normal_where_its_parts_are():
    """Equation 10; false alarm 1e-6."""
    generator = torch.Generator().manual_seed(0)
    w, z = torch.randn(2, 100_000, generator=generator, dtype=torch.float64)
    mixed = kernels.tilted_noise(z, w, 0.3)
    assert stats.kstest(mixed.numpy(), "norm").pvalue > 1e-6
