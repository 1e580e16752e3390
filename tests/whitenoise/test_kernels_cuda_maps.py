"""The CUDA kernels of tiles and of linear maps against the generic implementation, emulated."""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest
from cuda_emulator import COMPILER, Emulator
from cuda_emulator.inputs import EVERY_CONTENT, content

import whitenoise as wn
from whitenoise._random import RandomSource
from whitenoise.isometries import Butterfly, RealFourier
from whitenoise.nearest import _tile_fields
from whitenoise.sets import Tiles

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """Blocks of 16 threads that hold 72 entries of tiles, or 32 of a butterfly."""
    return Emulator(tmp_path_factory.mktemp("kernels"))


@needs_compiler
@both_dtypes
@pytest.mark.parametrize("tile", [2, 3, 16, 100, 700])
@pytest.mark.parametrize("name", EVERY_CONTENT)
def test_tiles_have_the_bits_of_the_generic_path(emulator, name, tile, dtype):
    """In and beyond what a block holds. A random direction is within 64 roundings."""
    x = content(name, tile, (2, 6 * tile), dtype) / dtype(2 * np.sqrt(tile))
    x[0, :tile] = x[0, 0]
    rng = np.random.default_rng(1)
    with wn.generic_path():
        fields, move = _tile_fields(Tiles(tile), x, xp, RandomSource(3, x).stream())
        typical = {
            "mean": rng.standard_normal((2, 6)).astype(dtype),
            "energy": rng.uniform(1, 9, (2, 6)).astype(dtype),
        }
        for changed in typical:
            typical[changed][1, 2] = fields[changed][1, 2]  # a tile that stays
        moves = [typical, {**fields, "energy": typical["energy"]}]
        expected = [move(m) for m in moves]
    found = emulator.launcher.tile_fields(x, tile)
    np.testing.assert_array_equal(found[0], fields["mean"])
    np.testing.assert_array_equal(found[1], fields["energy"])
    pair, varies = (fields["mean"], fields["energy"]), fields["energy"] > 0
    for values, moved in zip(moves, expected, strict=True):
        y = emulator.launcher.move_tiles(
            x, tile, pair, (values["mean"], values["energy"]), RandomSource(3, x).stream()
        )
        moved, y = moved.reshape(2, 6, tile), y.reshape(2, 6, tile)
        np.testing.assert_array_equal(y[varies], moved[varies])
        np.testing.assert_array_equal(y[1, 2], x.reshape(2, 6, tile)[1, 2])
        largest = np.abs(moved).max(axis=-1, keepdims=True)
        assert np.all(np.abs(y - moved) <= 64 * np.finfo(dtype).eps * largest)


@needs_compiler
@both_dtypes
@pytest.mark.parametrize("tile", [None, 32, 64, 50])
@pytest.mark.parametrize(
    ("size", "repeats"),
    [(1, 3), (8, 0), (64, 6), (64, 3), (96, 5), (70, 6), (1000, 3), (1024, 10), (1024, 23)],
)
def test_butterflies_have_the_bits_of_the_generic_path(emulator, size, repeats, tile, dtype):
    """One launch and several, rotations left over, remainders, other lengths."""
    for name in ("gaussian", "largest", "denormal", "both zeros"):
        x = content(name, 0, (2, 3, size), dtype) / dtype(size)
        q = Butterfly(repeats, tile)
        with wn.generic_path():
            expected = q.apply(x, xp), q.apply_adjoint(x, xp)
        for adjoint, y in enumerate(expected):
            found = emulator.launcher.butterfly(x, repeats, tile, adjoint=bool(adjoint))
            np.testing.assert_array_equal(found, y)
            assert found.shape == x.shape


@needs_compiler
@both_dtypes
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 64, 1000, 1001])
def test_fourier_is_that_of_the_generic_path(emulator, size, dtype, monkeypatch):
    """Within 4 roundings of the largest entry of the result."""
    spectra, inverse = [], np.fft.irfft
    monkeypatch.setattr(np.fft, "irfft", lambda s, **k: spectra.append(s) or inverse(s, **k))
    for name in ("gaussian", "constant", "largest", "tiny"):
        x = content(name, 0, (3, size), dtype) / dtype(size)
        q = RealFourier()
        with wn.generic_path():
            expected = q.apply(x, xp), q.apply_adjoint(x, xp)
        for adjoint, y in enumerate(expected):
            found = emulator.launcher.real_fourier(x, adjoint=bool(adjoint))
            assert found.dtype == dtype
            scale = 4 * np.finfo(dtype).eps * np.abs(y).max() + np.finfo(dtype).tiny
            np.testing.assert_allclose(found, y, rtol=0, atol=scale)
        alone = [0, size // 2] if size % 2 == 0 else [0]  # FFTs may or may not ignore these
        assert not np.any(spectra[-1][:, alone].imag)
