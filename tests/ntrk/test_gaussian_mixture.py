import doctest
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from ntrk.worlds import GaussianMixture, LinearReward, QuadraticReward, divergence, gaussian_mixture
from ntrk.worlds import rewards as reward_module

WEIGHTS = [0.3, 0.7]
MEANS = {1: [[-1.0], [1.5]], 2: [[-1.0, 0.5], [1.5, -0.4]]}
COVARIANCES = {1: [[[0.5]], [[1.2]]], 2: [[[0.9, 0.4], [0.4, 0.5]], [[0.6, -0.3], [-0.3, 1.1]]]}
PATH = [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9), (0.0, 1.0), (1.0, 2.0), (0.6, 0.8)]


def world(dimension):
    return GaussianMixture(WEIGHTS, MEANS[dimension], COVARIANCES[dimension])


def rewards(dimension):
    ones = [1.0] * dimension
    return [LinearReward([0.7, -1.2][:dimension])] + [QuadraticReward(ones, w) for w in (2.0, -0.3)]


def mixture_logpdf(weights, means, covariances, x):
    parts = zip(weights, means, covariances, strict=True)
    terms = [math.log(w) + stats.multivariate_normal(m, c).logpdf(x) for w, m, c in parts]
    return logsumexp(terms, axis=0)


@pytest.fixture(params=[1, 2], scope="module")
def brute(request):
    """Dimension, points of a fine grid, log mass of the prior in each cell, log of the cell."""
    dimension = request.param
    axis = np.linspace(-13, 13, {1: 8001, 2: 601}[dimension])
    grid = np.stack(np.meshgrid(*[axis] * dimension), -1).reshape(-1, dimension)
    logpdf = mixture_logpdf(WEIGHTS, MEANS[dimension], COVARIANCES[dimension], grid)
    log_cell = dimension * math.log(axis[1] - axis[0])
    return dimension, grid, logpdf + log_cell, log_cell


def log_joint(brute, x, alpha, sigma):
    """The log-density of ``x_t = x`` jointly with the cell of x_0."""
    dimension, grid, log_mass, _ = brute
    squares = ((x - alpha * grid) ** 2).sum(1) / (2 * sigma**2)
    return log_mass - squares - dimension * math.log(sigma * math.sqrt(2 * math.pi))


def points(dimension, n=5):
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(n, dimension, generator=generator, dtype=torch.float64)


def random_world(size, count=3, form="full"):
    rng = np.random.default_rng(5)
    roots = rng.standard_normal((count, size, 2 * size)) / math.sqrt(size)
    full = roots @ roots.transpose(0, 2, 1)
    covariances = {
        "isotropic": full[:, 0, 0],
        "diagonal": np.stack([np.diag(c) for c in full]),
        "full": full,
    }[form]
    return rng.dirichlet(np.ones(count)), 2 * rng.standard_normal((count, size)), covariances


def dense(form):
    return [c * np.eye(3) if np.ndim(c) < 2 else c for c in random_world(3, form=form)[2]]


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_density_mean_and_covariance_agree_with_scipy_and_the_definition(form):
    weights, means, covariances = random_world(3, form=form)
    mixture = GaussianMixture(weights, means, covariances)
    x = points(3)
    expected = mixture_logpdf(weights, means, dense(form), x.numpy())
    np.testing.assert_allclose(mixture.log_density(x), expected, rtol=1e-12)
    second = sum(
        w * (c + np.outer(m, m)) for w, m, c in zip(weights, means, dense(form), strict=True)
    )
    mean = weights @ means
    np.testing.assert_allclose(mixture.mean(), mean, rtol=1e-12)
    np.testing.assert_allclose(mixture.covariance(), second - np.outer(mean, mean), rtol=1e-11)


@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9), (1.0, 2.0)])
def test_diffused_density_posterior_and_tweedie_estimate_agree_with_quadrature(brute, alpha, sigma):
    dimension, grid, _, log_cell = brute
    mixture, xs = world(dimension), points(dimension)
    joints = [log_joint(brute, x.numpy(), alpha, sigma) for x in xs]
    evidence = logsumexp(joints, axis=1)
    means = np.exp(joints - evidence[:, None]) @ grid
    np.testing.assert_allclose(mixture.diffused(alpha, sigma).log_density(xs), evidence, atol=1e-9)
    np.testing.assert_allclose(mixture.tweedie_estimate(xs, alpha, sigma), means, atol=1e-9)
    law = mixture.posterior(xs[:1], alpha, sigma)
    np.testing.assert_allclose(law.mean(), means[0], atol=1e-9)
    shares = np.exp(joints[0] - evidence[0])
    second = (shares[:, None] * (grid - means[0])).T @ (grid - means[0])
    np.testing.assert_allclose(law.covariance(), second, atol=1e-9)
    found = law.log_density(torch.tensor(grid)).numpy() + log_cell
    np.testing.assert_allclose(found, joints[0] - evidence[0], rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["linear", "quadratic", "repelling"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_tilted_law_and_value_function_agree_with_quadrature(brute, which, temperature):
    dimension, grid, log_mass, log_cell = brute
    mixture, reward, xs = world(dimension), rewards(dimension)[which], points(dimension)
    direction, target, weight = np.array([0.7, -1.2])[:dimension], 1.0, (0.0, 2.0, -0.3)[which]
    r = grid @ direction if which == 0 else -weight / 2 * ((grid - target) ** 2).sum(1)
    np.testing.assert_allclose(reward(torch.tensor(grid)), r, atol=1e-9)

    tilted, log_tilted = mixture.tilted(reward, temperature), log_mass + r / temperature
    log_shares = log_tilted - logsumexp(log_tilted)
    found = tilted.log_density(torch.tensor(grid)).numpy() + log_cell
    np.testing.assert_allclose(found, log_shares, rtol=1e-10, atol=1e-9)
    assert float(tilted.weights.sum()) == pytest.approx(1, abs=1e-12)
    assert tilted.expected_reward(reward) == pytest.approx(np.exp(log_shares) @ r, abs=1e-9)

    for alpha, sigma in [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9), (0.0, 1.0)]:
        joints = np.stack([log_joint(brute, x.numpy(), alpha, sigma) for x in xs])
        value = logsumexp(joints + r / temperature, axis=1) - logsumexp(joints, axis=1)
        found = mixture.value(xs, alpha, sigma, reward, temperature)
        np.testing.assert_allclose(found, value, atol=1e-9)
    at_data = mixture.value(xs, 1.0, 0.0, reward, temperature)
    np.testing.assert_allclose(at_data, reward(xs) / temperature, atol=1e-9)


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_tilted_law_and_posterior_are_the_prior_times_a_known_factor(form):
    """In three dimensions, unlike two, axes are not their own transpose."""
    mixture, x, point = GaussianMixture(*random_world(3, form=form)), points(3, n=50), points(3, 1)
    likelihood = -(point - 0.6 * x).square().sum(1) / (2 * 0.8**2)
    pairs = [(mixture.posterior(point, 0.6, 0.8), likelihood)]
    for reward in (LinearReward([1.0, -2.0, 0.5]), QuadraticReward([1.0, 0.0, -1.0], 0.8)):
        pairs.append((mixture.tilted(reward, 0.7), reward(x) / 0.7))
    for law, log_factor in pairs:
        log_ratio = law.log_density(x) - mixture.log_density(x) - log_factor
        torch.testing.assert_close(log_ratio, log_ratio[:1].expand(50), rtol=1e-10, atol=1e-10)


def derivative(function, x):
    """Central differences of a function of each row."""
    steps = 1e-5 * torch.eye(x.shape[1], dtype=x.dtype)
    return torch.stack([(function(x + h) - function(x - h)) / 2e-5 for h in steps], 1)


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize(("alpha", "sigma"), PATH)
def test_score_and_the_gradient_of_the_value_agree_with_differences_and_autograd(
    form, alpha, sigma
):
    mixture, x = GaussianMixture(*random_world(3, form=form)), points(3).requires_grad_()
    score = mixture.score(x, alpha, sigma)
    log_density = mixture.diffused(alpha, sigma).log_density
    (automatic,) = torch.autograd.grad(log_density(x).sum(), x)
    torch.testing.assert_close(score, automatic, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(score, derivative(log_density, x.detach()), rtol=1e-6, atol=1e-7)

    reward = QuadraticReward([1.0, 0.0, -1.0], 0.8)
    slope = mixture.tilted(reward, 0.5).score(x, alpha, sigma) - score
    (automatic,) = torch.autograd.grad(mixture.value(x, alpha, sigma, reward, 0.5).sum(), x)
    torch.testing.assert_close(slope, automatic, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", ["isotropic", "full"])
def test_everything_is_differentiable(form):
    mixture, x = GaussianMixture(*random_world(3, form=form)), points(3, n=2).requires_grad_()
    functions = [
        mixture.log_density,
        lambda x: mixture.tweedie_estimate(x, 0.6, 0.4),
        lambda x: mixture.score(x, 0.6, 0.4),
        lambda x: mixture.velocity(x, 0.4),
        lambda x: mixture.value(x, 0.6, 0.4, LinearReward([1.0, 2.0, 0.0]), 1.0),
        lambda x: mixture.posterior(x[:1], 0.6, 0.4).mean(),
        LinearReward([1.0, 2.0, 0.0]),
        QuadraticReward([1.0, 2.0, 0.0], 0.5),
    ]
    assert all(torch.autograd.gradcheck(function, x) for function in functions)


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_velocity_is_expected_noise_less_data_and_holds_at_both_ends(form):
    mixture, x = GaussianMixture(*random_world(3, form=form)), points(3)
    for t in (1e-3, 0.3, 0.999, torch.tensor(0.5)):
        data = mixture.tweedie_estimate(x, 1 - t, t)
        noise = -t * mixture.score(x, 1 - t, t)  # Eq. 38, for which t must not be zero
        torch.testing.assert_close(mixture.velocity(x, t), noise - data, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close((1 - t) * data + t * noise, x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mixture.velocity(x, 0.0), -x, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(mixture.velocity(x, 1.0), x - mixture.mean(), rtol=1e-13, atol=0)


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_samples_follow_the_law(form):
    """Four tests a form, each at level 1e-6: a false alarm in 12 runs of a million."""
    mixture, n = GaussianMixture(*random_world(3, form=form)), 20_000
    samples = mixture.sample(n, torch.Generator().manual_seed(3))
    offset = (samples.mean(0) - mixture.mean()).numpy()
    statistic = n * offset @ np.linalg.solve(mixture.covariance().numpy(), offset)
    assert stats.chi2(3).sf(statistic) > 1e-6
    for direction in np.random.default_rng(0).standard_normal((3, 3)):
        line = mixture.projected(direction[None])
        scales = [math.sqrt(direction @ c @ direction) for c in dense(form)]

        def cdf(s, line=line, scales=scales):
            components = zip(line.weights, line.means[:, 0], scales, strict=True)
            return sum(float(w) * stats.norm(float(m), c).cdf(s) for w, m, c in components)

        assert stats.kstest(samples.numpy() @ direction, cdf).pvalue > 1e-6


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_projected_law_has_the_density_of_the_image(form):
    weights, means, covariances = random_world(3, form=form)
    matrix = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5]])
    images = [matrix @ c @ matrix.T for c in dense(form)]
    found = GaussianMixture(weights, means, covariances).projected(matrix)
    x = points(2)
    expected = mixture_logpdf(weights, means @ matrix.T, images, x.numpy())
    np.testing.assert_allclose(found.log_density(x), expected, rtol=1e-11)


def test_thousands_of_dimensions_reduce_to_one_where_the_means_lie_on_a_line():
    size, t = 4096, 0.4
    direction = torch.nn.functional.normalize(points(size, n=1)[0], dim=0)
    line = GaussianMixture([0.2, 0.3, 0.5], [[-3.0], [0.0], [2.0]], [0.5] * 3)
    mixture = GaussianMixture(line.weights, line.means * direction, [0.5] * 3)
    x = points(size, n=4)
    along = (x @ direction)[:, None]
    across = x - along * direction
    slope = (t - (1 - t) * 0.5) / ((1 - t) ** 2 * 0.5 + t**2)
    expected = line.velocity(along, t) * direction + slope * across
    torch.testing.assert_close(mixture.velocity(x, t), expected, rtol=1e-10, atol=1e-10)
    value = mixture.value(x, 1 - t, t, LinearReward(3 * direction), 0.7)
    expected = line.value(along, 1 - t, t, LinearReward([3.0]), 0.7)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_latents_keep_their_shape_and_type_and_are_not_modified(dtype):
    mixture = GaussianMixture(*random_world(12))
    x = points(12).reshape(5, 3, 2, 2).to(dtype)
    kept, flat = x.clone(), x.to(torch.float64).reshape(5, 12)
    found, expected = mixture.velocity(x, 0.4), mixture.velocity(flat, 0.4)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.reshape(x.shape).to(dtype), rtol=0, atol=0)
    reward = QuadraticReward(torch.zeros(3, 2, 2))
    assert reward(x, prompts=["a"] * 5).shape == (5,)
    assert mixture.value(x, 0.6, 0.4, reward, 1.0).dtype == reward(x).dtype == dtype
    torch.testing.assert_close(x, kept, rtol=0, atol=0)


def test_a_mixture_does_not_follow_later_changes_of_its_arguments():
    arguments = [torch.as_tensor(part) for part in random_world(3, form="diagonal")]
    mixture, x = GaussianMixture(*arguments), points(3)
    before = mixture.log_density(x)
    for argument in arguments:
        argument.mul_(2)
    torch.testing.assert_close(mixture.log_density(x), before, rtol=0, atol=0)


def test_weights_too_small_for_a_float_still_count_where_they_matter():
    far = GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0])
    tilted = far.tilted(LinearReward([-2000.0]), 1.0)
    assert float(tilted.weights[1]) == 0
    back = tilted.tilted(LinearReward([2000.0]), 1.0)
    torch.testing.assert_close(back.weights, far.weights, rtol=1e-9, atol=0)


def estimates(law, mixture, n, repeats):
    generator = torch.Generator().manual_seed(7)
    return np.array(
        [divergence(law.sample(n, generator), mixture, generator) for _ in range(repeats)]
    )


@pytest.mark.parametrize("size", [1, 2, 6])
def test_divergence_of_exact_samples_has_mean_zero(size):
    """A t-test at level 1e-6; the mean of 40 runs must also be known to 0.02."""
    mixture = GaussianMixture(*random_world(size))
    found = estimates(mixture, mixture, n=400, repeats=40)
    assert found.std(ddof=1) / math.sqrt(40) < 0.02
    assert stats.ttest_1samp(found, 0).pvalue > 1e-6


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (10.0, 1.0), (1.0, 0.2), (0.0, 2.0)])
def test_divergence_of_gaussian_laws_is_the_closed_form(size, shift, scale):
    """A t-test at level 1e-6: no bias, even ten standard deviations away."""
    exact = GaussianMixture([1.0], [[0.0] * size], [1.0])
    law = GaussianMixture([1.0], [[shift] + [0.0] * (size - 1)], [scale**2])
    closed_form = (shift**2 + size * (scale**2 - 1 - 2 * math.log(scale))) / 2
    found = estimates(law, exact, n=400, repeats=40)
    assert found.std(ddof=1) / math.sqrt(40) < 0.02 + closed_form / 100
    assert stats.ttest_1samp(found, closed_form).pvalue > 1e-6


def test_divergence_of_a_lost_mode_is_minus_the_logarithm_of_what_is_left():
    mixture = GaussianMixture([0.25, 0.75], [[-6.0, 0.0], [6.0, 0.0]], [1.0, 1.0])
    left = GaussianMixture([1.0], [[-6.0, 0.0]], [1.0])
    found = estimates(left, mixture, n=400, repeats=40)
    assert found.mean() == pytest.approx(math.log(4), abs=0.05)


def test_divergence_of_an_atom_is_infinite():
    mixture = world(2)
    samples = mixture.sample(50, torch.Generator().manual_seed(0))
    samples[:6] = samples[0]
    assert divergence(samples, mixture, torch.Generator().manual_seed(0)) == math.inf


def test_only_tilts_with_a_finite_integral_are_made():
    mixture = GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [0.5, 2.0])
    assert mixture.tilted(QuadraticReward([0.0], -0.49), 1.0).size == 1  # bound: -1 / 2
    with pytest.raises(ValueError, match=r"weight must exceed .* = -0\.5, .*got -0\.5"):
        mixture.tilted(QuadraticReward([0.0], -0.5), 1.0)


X = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: GaussianMixture([0.5, 0.4], [[0.0], [1.0]], [1, 1]), ValueError, r"weights.*0\.9"),
        (lambda: GaussianMixture([1.5, -0.5], [[0.0], [1.0]], [1, 1]), ValueError, "weights"),
        (lambda: GaussianMixture([1.0], [[0.0], [1.0]], [1, 1]), ValueError, "weights must be 2"),
        (lambda: GaussianMixture([1.0], [0.0], [1.0]), ValueError, r"means.*\(1,\)"),
        (lambda: GaussianMixture([1.0], [[math.nan]], [1.0]), ValueError, "means.*nan"),
        (lambda: GaussianMixture([1.0], [[0.0]], [0.0]), ValueError, "covariances.*positive"),
        (lambda: GaussianMixture([1.0], [[0.0]], [1.0, 2.0]), ValueError, r"covariances.*\(2,\)"),
        (
            lambda: GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.4, 1.0]]]),
            ValueError,
            "symmetric",
        ),
        (
            lambda: GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 1.0], [1.0, 1.0]]]),
            ValueError,
            "positive definite",
        ),
        (lambda: world(2).log_density(torch.zeros(2)), ValueError, r"x must.* 2 numbers.*\(2,\)"),
        (lambda: world(2).log_density(torch.zeros(2, 2).int()), TypeError, "x must.*int32"),
        (lambda: world(2).log_density(np.zeros((2, 2))), TypeError, "x must.*"),
        (lambda: world(2).diffused(0.0, 0.0), ValueError, "alpha and sigma"),
        (lambda: world(2).diffused(-1.0, 1.0), ValueError, r"alpha.*-1\.0"),
        (lambda: world(2).velocity(X, 1.5), ValueError, r"t must.*1\.5"),
        (lambda: world(2).velocity(X, torch.rand(2)), ValueError, r"t must be one number.*\(2,\)"),
        (lambda: world(2).posterior(X, 0.5, 0.5), ValueError, "one row, got 2"),
        (lambda: world(2).posterior(X[:1], 1.0, 0.0), ValueError, r"sigma.*0\.0"),
        (lambda: world(2).tilted(lambda x: x, 1.0), TypeError, "linear or quadratic.*function"),
        (lambda: world(2).tilted(LinearReward([1.0, 0]), 0.0), ValueError, r"temperature.*0\.0"),
        (
            lambda: world(2).tilted(LinearReward([1.0]), 1.0),
            ValueError,
            "reward must be one of 2 numbers.* 1",
        ),
        (lambda: world(2).projected([1.0, 2.0]), ValueError, r"matrix.*\(2,\)"),
        (lambda: LinearReward([math.inf]), ValueError, "direction.*inf"),
        (lambda: QuadraticReward([0.0], math.nan), ValueError, "weight.*nan"),
        (
            lambda: divergence(torch.zeros(5, 2), world(2), torch.Generator()),
            ValueError,
            "samples.*got 5",
        ),
        (
            lambda: divergence(torch.full((9, 2), math.nan), world(2), torch.Generator()),
            ValueError,
            "samples.*0 of them finite",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("module", [gaussian_mixture, reward_module])
def test_examples_in_docstrings_run(module):
    results = doctest.testmod(module)
    assert results.failed == 0
    assert results.attempted >= 4
