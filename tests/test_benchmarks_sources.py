"""Each source of the benchmark is what its line in the table says it is.

Statistical checks use fixed seeds and tolerances of 4.9 standard errors: each would fail by chance
once in a million seeds.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

# Behind the installed package, which the tests are about.
sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.sources import generators, inversion, marks, mixture, quasi, warps, weak
from benchmarks.sources.mixture import GaussianMixture
from benchmarks.sources.source import ATYPICAL, HEADER, OPEN, TYPICAL, Row, Source

SIGMAS = 4.9


def equal_pairs(x):
    _, counts = np.unique(x, return_counts=True)
    return float(np.sum(counts * (counts - 1.0)) / 2)


# Generators


def test_float32_ziggurat_repeats_values_more_often_than_rounding():
    side = 2048
    pairs_per_value = side**2 * (side**2 - 1) / 2

    def square(x):
        return stats.norm.pdf(x) ** 2

    expected = 2 * pairs_per_value
    expected *= sum(
        2.0 ** (e - 23) * integrate.quad(square, 2.0**e, 2.0 ** (e + 1))[0] for e in range(-30, 4)
    )
    drawn = np.random.default_rng(4).standard_normal((side, side)).astype(np.float32)
    assert abs(equal_pairs(drawn) - expected) < SIGMAS * np.sqrt(expected)
    # Two values of one of 256 layers coincide with probability 2^-24, where rounding alone would
    # rarely make them: 1.2 % more pairs on average, 4 standard errors for one array of this size.
    arrays = generators._numpy(np.random.PCG64, (3, side, side), "float32")
    excess = sum(equal_pairs(x) for x in arrays) - 3 * expected
    assert excess > SIGMAS * np.sqrt(3 * expected)
    assert excess < 0.02 * 3 * expected


def test_low_precision_torch_draws_are_rounded_float32_draws():
    shape = (64, 64)
    wide = generators._torch(shape, "float32")
    for dtype in ("float16", "bfloat16"):
        assert torch.equal(generators._torch(shape, dtype), wide.to(getattr(torch, dtype)))


# Weak generators


@pytest.mark.parametrize(
    ("multiplier", "increment", "bits"), [(65539, 0, 31), (25173, 13849, 16), (131, 0, 35)]
)
def test_lcg_is_the_recursion(multiplier, increment, bits):
    state, expected = 1, []
    for _ in range(1000):
        state = (multiplier * state + increment) % 2**bits
        expected.append(state)
    assert weak.lcg(1000, multiplier, increment, bits, seed=1).tolist() == expected


def test_randu_lies_on_planes():
    u = special.ndtr(weak.randu((64, 64))).ravel()
    planes = 9 * u[:-2] - 6 * u[1:-1] + u[2:]
    np.testing.assert_allclose(planes, np.round(planes), atol=1e-9)
    assert len(np.unique(np.round(planes))) == 15


def test_lcg16_has_full_period():
    x = weak.lcg16((2, 65536))
    np.testing.assert_array_equal(x[0], x[1])
    assert len(np.unique(x[0])) == 65536


def test_neave_cuts_the_tails():
    cosine, sine = weak.neave((1024, 1024)).reshape(-1, 2).T
    # Genuine noise of this size has 220 values below -3.34.
    assert cosine.min() > -3.34
    assert -3.22 < sine.min() < sine.max() < 3.55
    assert abs(cosine.std() - 1) < 0.01 > abs(sine.std() - 1)


def test_box_muller_is_the_polar_form():
    rng = np.random.default_rng(0)
    u, v = 1 - rng.random(500), rng.random(500)
    z = weak.box_muller(u, v)[::2] + 1j * weak.box_muller(u, v)[1::2]
    np.testing.assert_allclose(np.exp(-(np.abs(z) ** 2) / 2), u, rtol=1e-12)
    np.testing.assert_allclose(np.angle(z) / (2 * np.pi) % 1, v, atol=1e-12)
    assert weak.box_muller_8bit((256, 256)).abs().max() == np.float32(3.328125)  # sqrt(2 log 256)


def test_23_bit_uniforms_collide():
    count = 2**16
    expected = count * (count - 1) / 2 / 2**23
    found = equal_pairs(weak.inverse_23bit((256, 256)))
    assert abs(found - expected) < SIGMAS * np.sqrt(expected)


def test_sum_of_12_uniforms_has_its_cumulants():
    x = weak.sum_of_12((1024, 1024))
    n = x.size
    assert abs(x.mean()) < SIGMAS / np.sqrt(n)
    assert abs(x.var() - 1) < SIGMAS * np.sqrt(2 / n)
    assert abs(stats.kurtosis(x, axis=None) + 0.1) < SIGMAS * np.sqrt(24 / n)


def test_wallace_rows_have_one_norm():
    energy = np.sum(weak.wallace((16, 256)) ** 2, axis=1)
    np.testing.assert_allclose(energy, energy[0], rtol=1e-12)


# Quasi-random points


def test_columns_are_stratified():
    for source in quasi.sources():
        x = source.draw()
        if "Sobol" in source.name or "Latin" in source.name:
            columns = x.reshape(-1, 1) if "in 1-D" in source.name else x
            places = np.sort(np.floor(special.ndtr(columns) * len(columns)), axis=0)
            np.testing.assert_array_equal(places, np.arange(len(columns))[:, None] + 0 * columns)


# Mixture and inversion


def log_density(model, y, alpha, sigma):
    """Of one noisy array of coefficients, through SciPy's multivariate normal."""
    covariance = np.diag(alpha**2 * model.variances.ravel() + sigma**2)
    logs = [
        stats.multivariate_normal(alpha * m.ravel(), covariance).logpdf(y.ravel())
        for m in model.means
    ]
    return special.logsumexp(logs) - np.log(len(model.means))


@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.3), (0.2, 0.98)])
def test_denoiser_is_tweedies(alpha, sigma):
    """``alpha * clean = y + sigma^2 score``, the score by central differences."""
    model = GaussianMixture.of_images((1, 3, 3), components=4, seed=0)
    y = alpha * model.means[:2].mean(axis=0) + sigma * 0.3
    score, h = np.zeros_like(y), 1e-5
    for index in np.ndindex(*y.shape):
        step = np.zeros_like(y)
        step[index] = h
        up, down = (log_density(model, y + s * step, alpha, sigma) for s in (1, -1))
        score[index] = (up - down) / (2 * h)
    clean, noise = model.denoise(y[None], alpha, sigma)
    np.testing.assert_allclose(alpha * clean[0], y + sigma**2 * score, atol=1e-7)
    np.testing.assert_allclose(noise[0], -sigma * score, atol=1e-7)


@pytest.mark.parametrize("path", [mixture.flow_path, mixture.stable_diffusion_path])
def test_inversion_converges_to_the_exact_map(path):
    """For one Gaussian the ODE is solved by scaling each coefficient; Euler's error halves."""
    model = GaussianMixture.of_images((1, 8, 8), components=1, seed=0)
    x = model.sample(5, np.random.default_rng(0))
    alpha, sigma = path(10)[-1]
    gain = np.sqrt((alpha**2 * model.variances + sigma**2) / model.variances)
    exact = alpha * model.means + gain * (x - model.means)
    errors = [np.abs(model.follow(x, path(n)) - exact).max() for n in (250, 500, 1000)]
    assert errors[2] < 0.05
    assert 1.6 < errors[0] / errors[1] < 2.4
    assert 1.6 < errors[1] / errors[2] < 2.4


def test_inversion_reconstructs():
    model = GaussianMixture.of_images((2, 16, 16), components=4, seed=0)
    x = model.sample(4, np.random.default_rng(1))
    for path in (mixture.flow_path(1000), mixture.stable_diffusion_path(1000)):
        back = model.follow(model.follow(x, path), path[::-1])
        assert np.sqrt(np.mean((back - x) ** 2)) < 0.02


def test_latents_on_the_page():
    """79 % of the energy of noise after 50 steps, and 0.07 from the image after 50 steps back."""
    path = mixture.stable_diffusion_path(50)
    images = inversion.world().sample(inversion.COUNT, np.random.default_rng(0))
    latents = inversion.world().follow(images, path)
    assert round(np.mean(latents**2), 2) == 0.79
    back = inversion.world().follow(latents, path[::-1])
    assert round(np.sqrt(np.mean((back - images) ** 2)), 2) == 0.07
    assert round(np.sqrt(np.mean(images**2))) == 1


def test_mixture_has_unit_mean_square_in_either_basis():
    model = GaussianMixture.of_images((2, 16, 16), components=4, seed=0)
    x = model.sample(3, np.random.default_rng(0))
    np.testing.assert_allclose(mixture.coefficients(mixture.pixels(x)), x, atol=1e-12)
    np.testing.assert_allclose(np.sum(mixture.pixels(x) ** 2), np.sum(x**2))
    np.testing.assert_allclose(model.variances.mean(), 0.5)


# Schedulers

# diffusers 0.42 turns tensors into NumPy arrays in a way that NumPy 2 warns of.
OWN_WARNINGS = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")


@OWN_WARNINGS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_recovered_noise_is_what_the_generator_drew(dtype):
    pytest.importorskip("diffusers")
    from benchmarks.sources import schedulers

    for recover in (schedulers.ddpm, schedulers.euler_ancestral):
        found = recover(dtype)
        generator = torch.Generator().manual_seed(0)
        torch.randn((1, *schedulers.SHAPE), generator=generator)
        like = {"generator": generator, "dtype": getattr(torch, dtype)}
        drawn = [torch.randn((1, *schedulers.SHAPE), **like) for _ in found]
        error = np.abs(found - torch.cat(drawn).double().numpy())
        assert found.shape == (schedulers.STEPS - 1, *schedulers.SHAPE)
        if dtype == "float32":
            assert error.max() < 1e-4
        else:  # small at the first steps, where noise is large beside the latent's rounding
            assert error[0].max() < 0.05


@OWN_WARNINGS
def test_flow_euler_swallows_noise_in_bfloat16():
    pytest.importorskip("diffusers")
    from benchmarks.sources import schedulers

    precise, coarse = schedulers.flow_euler("float32"), schedulers.flow_euler("bfloat16")
    energy = np.mean(precise.astype(float) ** 2, axis=(1, 2, 3))
    assert np.abs(energy - 1).max() < SIGMAS * np.sqrt(2 / np.prod(schedulers.SHAPE))
    assert np.abs(coarse[0] - precise[0]).max() < 0.02
    assert np.mean(coarse[-1].astype(float) ** 2) > 2


@OWN_WARNINGS
def test_stable_diffusion_path_is_that_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    from benchmarks.sources.schedulers import BETAS

    kept = diffusers.DDIMScheduler(**BETAS).alphas_cumprod.double().numpy()
    path = np.array(mixture.stable_diffusion_path(1000))
    np.testing.assert_allclose(path[1:, 0] ** 2, kept, rtol=1e-5)
    np.testing.assert_allclose(np.sum(path**2, axis=1), 1)


# Warps


def smooth(positions):
    """Make a picture without edges on the torus, at positions of shape (2, ...)."""
    y, x = 2 * np.pi * positions / warps.SIDE
    return np.sin(2 * y) * np.cos(x) + 0.5 * np.cos(3 * x)


@pytest.mark.parametrize("warp", [warps.TURN, warps.WAVE], ids=["turn", "wave"])
def test_warps_move_a_picture_alike(warp):
    grid = np.mgrid[: warps.SIDE, : warps.SIDE].astype(float)
    np.testing.assert_allclose(warp.forward(warp.backward(grid)), grid, atol=1e-9)
    exact = smooth(warp.backward(grid))
    picture = smooth(grid)[None]
    # A pixel is 1/40 of the shortest wave's radian: errors are gradients (at most 0.1) times that.
    np.testing.assert_allclose(warps.sampled(picture, warp, 1)[0], exact, atol=0.002)
    np.testing.assert_allclose(warps.sampled(picture, warp, 0)[0], exact, atol=0.08)
    k, size = warps.SUBPIXELS, warps.SIDE**2
    target, inside = warps.landing(warp)
    fine = np.mgrid[: warps.SIDE * k, : warps.SIDE * k].reshape(2, -1)
    values = smooth((fine[:, inside] + 0.5) / k - 0.5)
    count = np.bincount(target, minlength=size)
    assert count.min() > 0
    mean = np.bincount(target, values, size) / count
    np.testing.assert_allclose(mean.reshape(exact.shape), exact, atol=0.03)


def test_upsampled_noise_is_white_and_sums_to_its_pixels():
    images, k = warps.noise()[:1], warps.SUBPIXELS
    fine = warps.upsampled(images, np.random.default_rng(0))
    blocks = fine.reshape(warps.SIDE, k, warps.SIDE, k)
    np.testing.assert_allclose(blocks.sum(axis=(1, 3)), k * images[0], atol=1e-4)
    rows = blocks.transpose(0, 2, 1, 3).reshape(-1, k * k).astype(float)
    covariance = rows.T @ rows / len(rows)
    error = np.sqrt((1 + np.eye(k * k)) / len(rows))
    assert np.max(np.abs(covariance - np.eye(k * k)) / error) < 5.9  # 4.9 for each of 136 entries


def test_integrated_noise_follows_the_motion():
    """Energy near 1, and correlated with the nearest source value as it should be: positively."""
    images = warps.noise()[:2]
    for warp in (warps.TURN, warps.WAVE):
        moved = warps.integrated(images, warp)
        assert abs(np.mean(moved.astype(float) ** 2) - 1) < SIGMAS * np.sqrt(2 / moved.size)
        assert np.mean(moved * warps.sampled(images, warp, 0)) > 0.5


# Marks


def test_plain_gaussian_shading_repeats_its_signs():
    latents = marks.shaded(1, encrypted=False)
    signs = np.sign(latents).reshape(4, 8, 8, 8, 8)
    assert np.all(signs == signs[:, :1, :, :1, :])
    encrypted = marks.shaded(2, encrypted=True)
    np.testing.assert_array_equal(np.sign(encrypted[0]), np.sign(encrypted[1]))
    assert not np.any(encrypted[0] == encrypted[1])
    assert stats.kstest(marks.shaded(1, encrypted=True).ravel(), "norm").pvalue > 1e-6


def test_tree_rings_are_constant_and_the_rest_is_untouched():
    latents = marks.tree_ring()
    assert latents.dtype == np.float64
    spectrum = np.fft.fft2(latents[-1])
    frequency = np.fft.fftfreq(64, 1 / 64)
    radius = np.hypot(frequency[:, None], frequency)
    for outer in range(1, marks.RADIUS + 1):
        ring = spectrum[(radius <= outer) & (radius > (outer - 1 if outer > 1 else -1))]
        np.testing.assert_allclose(ring, ring[0], atol=1e-9)
        np.testing.assert_allclose(ring.imag, 0, atol=1e-9)
    before = np.fft.fft2(np.random.default_rng(0).standard_normal(marks.SHAPE)[-1])
    np.testing.assert_allclose(spectrum[radius > 10], before[radius > 10], atol=1e-9)


def test_privacy_noise_has_its_law():
    x = marks.laplace()
    assert stats.kstest(x.ravel(), stats.laplace(scale=0.5**0.5).cdf).pvalue > 1e-6
    k = marks.discrete_gaussian(16) * 16
    np.testing.assert_array_equal(k, np.round(k))
    values, counts = np.unique(k[np.abs(k) <= 40], return_counts=True)
    law = np.exp(-(values**2) / 512)
    assert stats.chisquare(counts, law / law.sum() * counts.sum()).pvalue > 1e-6


# The table


def test_row_flags_what_was_not_expected():
    def draw():
        return np.random.default_rng(0).standard_normal((3, 16, 16))

    def shifted():
        return draw() + 1

    rows = {
        (name, expected): Row.of(Source(name, make, expected, "why", axis=(1, 2)))
        for name, make in (("noise", draw), ("shifted", shifted))
        for expected in (TYPICAL, ATYPICAL, OPEN)
    }
    surprising = {key for key, row in rows.items() if row.surprising}
    assert surprising == {("noise", ATYPICAL), ("shifted", TYPICAL)}
    line = str(rows["shifted", TYPICAL])
    assert line.count("|") == HEADER.splitlines()[0].count("|")
    assert "3 of 16x16 float64" in line
    assert "3 of 3" in line
    assert f"**{TYPICAL}**" in line
    assert "0 of 3 | typical | typical |  |" in str(rows["noise", TYPICAL])
