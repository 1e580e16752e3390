"""How often true noise is rejected. benchmarks/levels.py measures more shapes and draws."""

import ml_dtypes
import numpy as np
import pytest
from scipy import stats

import whitenoise as wn
from whitenoise.verify.joining import rate_of

LEVELS = (0.05, 0.01, 0.001)
AT_MOST = tuple(map(rate_of, LEVELS))  # what a union bound grants, see joining.join


def rejections(shape, draws, dtype, seed):
    rng = np.random.default_rng(seed)
    counts = np.zeros(len(LEVELS), int)
    done = 0
    while done < draws:
        many = min(2000, draws - done)
        x = rng.standard_normal((many, *shape))
        if dtype == "bfloat16":
            x = x.astype(ml_dtypes.bfloat16).astype(np.float32)
        p = wn.typicality(
            x.astype(np.float32) if dtype == "float32" else x, tuple(range(1, x.ndim)), dtype=dtype
        ).pvalues
        counts += [int(np.sum(p <= level)) for level in LEVELS]
        done += many
    return counts


def check(counts, draws):
    """Within 4 standard errors above nominal, and not below the bound's distance from it.

    False alarm 3e-5 for each level and side, if the level were exactly nominal.
    """
    for count, level, most in zip(counts, LEVELS, AT_MOST, strict=True):
        error = np.sqrt(level * (1 - level) / draws)
        assert count / draws < level + 4 * error
        assert stats.binom.sf(count - 1, draws, most) > 1e-6
        assert count / draws > 0.85 * level - 4 * error


def test_level_of_small_images():
    """20,000 draws of 4x8x8 values."""
    check(rejections((4, 8, 8), 20_000, "float64", 1), 20_000)


@pytest.mark.parametrize("shape", [(16,), (40,), (64,), (5, 5)], ids=str)
def test_level_of_few_values(shape):
    """4,000 draws: discrete counts, of which there are few, must not be taken for too regular."""
    counts = rejections(shape, 4000, "float64", 5)
    for count, most in zip(counts, AT_MOST, strict=True):
        assert stats.binom.sf(count - 1, 4000, most) > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(256,), (4, 8, 8), (64,), (7, 11)], ids=str)
def test_levels_of_shapes_and_dtypes(shape, dtype):
    check(rejections(shape, 20_000, dtype, 2), 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4096,), (4, 32, 32)], ids=str)
def test_levels_of_4096_values(shape):
    check(rejections(shape, 4000, "float32", 3), 4000)


def test_vectors_of_a_batch_keep_the_level_together():
    """500 batches of 8 vectors of 64 values, the pairs included: false alarm 1e-5 and less."""
    x = np.random.default_rng(4).standard_normal((500, 8, 64))
    p = np.array([wn.typicality(batch, 1).pvalue for batch in x[:200]])
    assert stats.binom.sf(np.sum(p <= 0.05) - 1, p.size, AT_MOST[0]) > 1e-5
    assert np.sum(p <= 0.5) > 0.25 * p.size
