"""Means, directions and norms of tiles against plain formulas, over the range of the dtype."""

import numpy as np
import pytest

from whitenoise.sets import Tiles


def split(x, tile_size):
    return Tiles(tile_size).split(np.asarray(x), np)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-300, -30, -3, 0, 3, 30, 300])
@pytest.mark.parametrize("tile_size", [2, 3, 16])
def test_split_is_mean_and_norm(tile_size, exponent, dtype):
    """Nothing overflows or underflows over the range of the dtype."""
    if abs(exponent) > np.log10(float(np.finfo(dtype).max)) - 2:
        return
    unit = np.random.default_rng(6).standard_normal((2, 5 * tile_size)).astype(dtype)
    factor = 10.0**exponent
    x = (unit * dtype(factor)).reshape(2, 5, tile_size)
    wide = x.astype(np.longdouble)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=-1))
    mean, direction, radius = split(x.reshape(2, -1), tile_size)
    close = 40 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(mean, wide.mean(axis=-1).astype(dtype), rtol=0, atol=close * factor)
    np.testing.assert_allclose(radius, length.astype(dtype), rtol=close)
    np.testing.assert_allclose(direction, centred / length[..., None], rtol=0, atol=close)


@pytest.mark.parametrize("x", [[3e38, -3e38, 3e38, 1.0], [1e30, 2e30, 3e30, 4e30]])
def test_split_of_huge_values(x):
    x = np.array(x, np.float32)
    mean, direction, radius = split(x / 2, 4)
    half = x.astype(float) / 2
    assert mean == pytest.approx(half.mean(), rel=1e-6)
    assert radius == pytest.approx(np.linalg.norm(half - half.mean()), rel=1e-6)
    assert np.isfinite(direction).all()


def test_split_of_denormal_values():
    """Multiples of the smallest float32: exact up to one of them."""
    smallest = 2.0**-149
    x = np.array([100, -30, 7, 3], np.float32) * np.float32(smallest)
    mean, direction, radius = split(x, 4)
    exact = np.array([100, -30, 7, 3.0])
    assert abs(float(mean[0]) / smallest - 20) <= 1
    assert abs(float(radius[0]) / smallest - np.linalg.norm(exact - 20)) <= 1
    np.testing.assert_allclose(
        direction[0], (exact - 20) / np.linalg.norm(exact - 20), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-42])
@pytest.mark.parametrize("tile_size", [3, 10, 64])
def test_constant_tiles_have_norm_and_direction_exactly_zero(value, tile_size):
    x = np.full(2 * tile_size, value, np.float32)
    x[tile_size:] = np.arange(tile_size)
    mean, direction, radius = split(x, tile_size)
    assert mean[0] == x[0]
    assert radius[0] == 0
    assert radius[1] > 0
    assert not direction[0].any()


def test_split_next_to_a_large_mean():
    """The tile is centred twice, so the direction is orthogonal to the constant vector."""
    x = (1e4 + np.random.default_rng(7).standard_normal(64)).astype(np.float32)
    mean, direction, radius = split(x, 64)
    exact = x.astype(float)
    assert abs(float(direction.sum(dtype=float))) < 1e-5
    assert mean == pytest.approx(exact.mean(), rel=1e-6)
    # Entries of 1e4 carry roundings of 1e4 * 2**-24 = 6e-4, norm 8 times that at most.
    assert radius == pytest.approx(np.linalg.norm(exact - exact.mean()), abs=5e-3)
