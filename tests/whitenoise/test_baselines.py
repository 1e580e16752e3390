"""The baselines against their published figures, other optimisers and finite differences."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize

import whitenoise as wn
from whitenoise import baselines
from whitenoise._random import RandomSource

BLOCK = 16
MEAN_MODULUS = math.sqrt(math.pi) / 2


def blocks(y):
    """Complex blocks of WGNC by NumPy's full FFT: the two real coefficients make one number."""
    n = y.shape[-1]
    spectrum = np.fft.fft(y, norm="ortho")
    first = (spectrum[..., :1].real + 1j * spectrum[..., n // 2 : n // 2 + 1].real) / math.sqrt(2)
    half = np.concatenate([first, spectrum[..., 1 : n // 2]], axis=-1)
    return half.reshape(*y.shape[:-1], -1, BLOCK)


def vector(complex_blocks):
    """The real vector that has these blocks: the inverse of `blocks`."""
    half = complex_blocks.reshape(-1)
    root, n = math.sqrt(2), 2 * half.size
    ends = [root * half[0].real], [root * half[0].imag]
    spectrum = np.concatenate([ends[0], half[1:], ends[1], half[:0:-1].conj()])
    return np.fft.ifft(spectrum, n=n, norm="ortho").real


def assert_on_the_set(y, rtol=1e-9):
    """Both norms of every block: ``|y|_1 = sqrt(pi)/2 B`` and ``|y|_2^2 = B``."""
    moduli = np.abs(blocks(np.asarray(y, np.float64)))
    np.testing.assert_allclose(moduli.sum(-1), MEAN_MODULUS * BLOCK, rtol=rtol)
    np.testing.assert_allclose((moduli**2).sum(-1), BLOCK, rtol=rtol)


def test_identity_and_sphere():
    x = np.random.default_rng(0).standard_exponential((3, 50))
    assert baselines.identity(x) is x
    on_sphere = baselines.sphere(x, axis=1)
    expected = np.stack([row * math.sqrt(50) / np.linalg.norm(row) for row in x])
    np.testing.assert_allclose(on_sphere, expected, rtol=1e-14)


def test_wgnc_moves_noise_as_published():
    """Figure 15 of the paper: cosine 0.989371 and distance 37.24 at N = 65,536.

    Single draws vary by 0.0003 and 0.53 (one standard deviation), their mean by a quarter of that.
    """
    x = np.random.default_rng(0).standard_normal((16, 65_536))
    y = baselines.wgnc(x, axis=1)
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert cosine.mean() == pytest.approx(0.989, abs=1e-3)
    assert np.linalg.norm(x - y, axis=1).mean() == pytest.approx(37, abs=1)


@pytest.mark.parametrize("size", [32, 96, 4096])
def test_wgnc_fixes_both_norms_of_every_block(size):
    rng = np.random.default_rng(1)
    for x in (rng.standard_normal(size), np.sin(np.arange(size) ** 1.1), rng.standard_cauchy(size)):
        assert_on_the_set(baselines.wgnc(x))


@pytest.mark.parametrize("seed", range(8))
def test_wgnc_is_the_nearest_point_found_by_slsqp(seed):
    """One block: minimise the distance of the moduli under the two norms, from many starts."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(32) * rng.choice([0.1, 1.0, 4.0], 32)
    moduli = np.abs(blocks(x)[0])
    reached = math.sqrt(2) * np.linalg.norm(moduli - np.abs(blocks(baselines.wgnc(x))[0]))
    norms = (
        {"type": "eq", "fun": lambda m: m.sum() - MEAN_MODULUS * BLOCK},
        {"type": "eq", "fun": lambda m: m @ m - BLOCK},
    )
    best = math.inf
    for _ in range(10):
        found = optimize.minimize(
            lambda m: ((m - moduli) ** 2).sum(),
            rng.rayleigh(1 / math.sqrt(2), BLOCK),
            jac=lambda m: 2 * (m - moduli),
            bounds=[(0, None)] * BLOCK,
            constraints=norms,
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        if found.success:
            best = min(best, math.sqrt(2 * found.fun))
    assert reached == pytest.approx(best, rel=1e-5)
    assert reached == pytest.approx(np.linalg.norm(x - baselines.wgnc(x)), rel=1e-9)


def test_no_random_point_of_the_set_is_nearer_than_wgnc():
    """Members of the set near its answer and far from it, in the original coordinates."""
    rng = np.random.default_rng(2)
    x = 2 * rng.standard_normal(32)
    y = baselines.wgnc(x)
    for spread in (0.01, 0.1, 1.0, 10.0):
        members = baselines.wgnc(y + spread * rng.standard_normal((500, 32)), axis=1)
        assert_on_the_set(members)
        assert np.linalg.norm(x - members, axis=1).min() >= np.linalg.norm(x - y)


@pytest.mark.parametrize(
    "kind", ["zero", "constant", "impulse", "one frequency", "one equal block"]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_wgnc_of_degenerate_input_is_on_the_set(kind, dtype):
    """Blocks whose moduli are all equal have no single nearest point; the generator picks one."""
    t = np.arange(128.0)
    equal = np.random.default_rng(3).standard_normal((4, BLOCK)) + 0j
    equal[2] = np.exp(1j * np.arange(BLOCK))
    x = {
        "zero": np.zeros(128),
        "constant": np.full(128, 3.0),
        "impulse": np.where(t == 5, 1.0, 0.0),
        "one frequency": np.cos(2 * np.pi * t / 16),
        "one equal block": vector(equal),
    }[kind].astype(dtype)
    first, second, again = (baselines.wgnc(x, rng=seed) for seed in (0, 1, 0))
    assert_on_the_set(first, rtol=1e-9 if dtype == np.float64 else 1e-5)
    np.testing.assert_array_equal(first, again)
    if kind != "one frequency":  # there, rounding has given every frequency a phase
        assert not np.array_equal(first, second)


def test_wgnc_batches_over_the_other_axes():
    x = np.random.default_rng(4).standard_normal((3, 8, 4, 8))
    found = baselines.wgnc(x, axis=(1, 3))
    rows = x.transpose(0, 2, 1, 3).reshape(12, 64)
    expected = np.stack([baselines.wgnc(row) for row in rows]).reshape(3, 4, 8, 8)
    np.testing.assert_array_equal(found, expected.transpose(0, 2, 1, 3))


def test_wgnc_refuses_sizes_that_blocks_do_not_divide():
    with pytest.raises(ValueError, match="multiple of 32 entries per vector, got 48"):
        baselines.wgnc(np.zeros(48))


def mpgr_by_loop(x, order):
    """The penalty of arXiv:2509.07027, one block at a time, by NumPy's full FFT."""
    n = x.size
    modulus = np.abs(np.fft.fft(x[order]))[1 : (n + 1) // 2] / math.sqrt(n)
    parts = [modulus[i : i + BLOCK] for i in range(0, modulus.size, BLOCK)]
    spectral = np.mean([abs(part.mean() - MEAN_MODULUS) for part in parts])
    return abs(x.mean()) + abs(math.sqrt((x**2).mean()) - 1) + 25 * spectral


@pytest.mark.parametrize("size", [3, 4, 33, 34, 64, 100])
def test_mpgr_penalty_is_its_definition(size):
    x = 1.3 * np.random.default_rng(5).standard_normal(size) + 0.2
    order = np.argsort(RandomSource(7, x).stream().keys((size,)))
    assert baselines.mpgr_penalty(x, rng=7) == pytest.approx(mpgr_by_loop(x, order), rel=1e-12)


@pytest.mark.parametrize("size", [3, 4, 33, 34, 64, 100])
def test_mpgr_gradient_is_that_of_finite_differences_and_of_torch(size):
    x = 1.3 * np.random.default_rng(6).standard_normal(size) + 0.2
    _, gradient = baselines.mpgr_penalty(x, rng=0, return_gradient=True)
    step = 1e-6 * np.eye(size)
    ahead, behind = (baselines.mpgr_penalty(x + s * step, axis=1, rng=0) for s in (1, -1))
    np.testing.assert_allclose(gradient, (ahead - behind) / 2e-6, atol=1e-7)

    leaf = torch.tensor(x, requires_grad=True)
    penalty, explicit = baselines.mpgr_penalty(leaf, rng=torch.manual_seed(0), return_gradient=True)
    penalty.backward()
    np.testing.assert_allclose(leaf.grad, explicit.detach(), rtol=1e-11, atol=1e-13)


def test_mpgr_penalty_batches_and_tells_noise_from_structure():
    x = np.random.default_rng(8).standard_normal((4, 256))
    x[3] = 2 * np.sin(0.01 * np.arange(256))
    penalty, gradient = baselines.mpgr_penalty(x, axis=1, rng=0, return_gradient=True)
    alone = [baselines.mpgr_penalty(row, rng=0, return_gradient=True) for row in x]
    np.testing.assert_allclose(penalty, [p for p, _ in alone], rtol=1e-14)
    np.testing.assert_allclose(gradient, [g for _, g in alone], rtol=1e-13, atol=1e-15)
    assert penalty[:3].max() < penalty[3] / 2


@pytest.mark.parametrize("x", [np.zeros(64), np.ones(64)])
def test_mpgr_gradient_of_degenerate_input_is_finite(x):
    penalty, gradient = baselines.mpgr_penalty(x, rng=0, return_gradient=True)
    assert np.isfinite(penalty)
    assert np.isfinite(gradient).all()


def test_mpgr_penalty_needs_a_frequency():
    with pytest.raises(ValueError, match="at least 3 entries per vector, got 2"):
        baselines.mpgr_penalty(np.ones(2))


def test_whitening_beats_the_hard_constraints_on_noise():
    """Figure 15 of the paper: the order of the operators by distance from their input."""
    x = np.random.default_rng(9).standard_normal(4096)
    moved = [np.linalg.norm(x - f(x)) for f in (baselines.sphere, baselines.wgnc)]
    assert np.linalg.norm(x - wn.whiten(x, preset="paper")) < max(moved) / 10
