"""Resampling: counts, means and order."""

import numpy as np
import pytest
import torch

from ntrk.resampling import effective_sample_size, normalized_weights, ssp_resample


def weights_of(seed, n):
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.full(n, 0.3)))


@pytest.mark.parametrize("n", [1, 2, 5, 64])
@pytest.mark.parametrize("seed", range(20))
def test_counts_are_the_expected_ones_rounded(n, seed):
    weights = weights_of(seed, n)
    counts = np.bincount(ssp_resample(weights, np.random.default_rng(seed)), minlength=n)
    assert counts.sum() == n
    assert (np.abs(counts - n * weights.numpy()) < 1 + 1e-8).all()


def test_expected_counts_are_exact():
    """Each mean over 20,000 draws, at a false alarm of 1e-6 over the eight together."""
    n, draws, rng = 8, 20_000, np.random.default_rng(0)
    weights = weights_of(3, n)
    total = sum(
        np.bincount(ssp_resample(weights, rng), minlength=n).astype(float) for _ in range(draws)
    )
    expected = n * weights.numpy()
    fraction = expected - np.floor(expected)
    spread = np.sqrt(fraction * (1 - fraction) / draws)
    assert (np.abs(total / draws - expected) <= 5.4 * spread + 1e-9).all()


def test_equal_weights_change_nothing():
    weights = normalized_weights(torch.full((7,), -3000.0))
    assert ssp_resample(weights, np.random.default_rng(0)).tolist() == list(range(7))
    assert effective_sample_size(weights) == pytest.approx(7)


def test_survivors_keep_their_places():
    for seed in range(50):
        ancestors = ssp_resample(weights_of(seed, 9), np.random.default_rng(seed))
        for survivor in set(ancestors.tolist()):
            assert ancestors[survivor] == survivor


def test_one_heavy_particle_takes_all():
    weights = normalized_weights(torch.tensor([0.0, 5000.0, -5000.0]))
    assert ssp_resample(weights, np.random.default_rng(0)).tolist() == [1, 1, 1]
    assert effective_sample_size(weights) == pytest.approx(1)


def test_what_cannot_be_weighed_has_no_weight():
    nan = float("nan")
    assert normalized_weights(torch.tensor([nan, 0.0, 0.0])).tolist() == [0.0, 0.5, 0.5]
    assert normalized_weights(torch.tensor([nan, nan])).tolist() == [0.5, 0.5]
