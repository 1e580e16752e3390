"""The CUDA kernels of two_level, and of all together, against the generic implementation.

The emulator compiles the released source for the host (see cuda_emulator). What only a device can
show, speed above all, is not tested here.
"""

from __future__ import annotations

import itertools

import array_api_compat.numpy as xp
import numpy as np
import pytest
from cuda_emulator import COMPILER, Emulator
from cuda_emulator.inputs import EVERY_CONTENT, content

import whitenoise as wn
from whitenoise import nearest, two_level
from whitenoise._kernels.cupy_cuda import launch
from whitenoise._random import RandomSource, Stream
from whitenoise.isometries import butterfly, fourier
from whitenoise.order_statistics import two_level_interval
from whitenoise.two_level import nearest_doubly_sorted

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """Blocks of 16 threads and tiles of 64 entries, so that small inputs need merges."""
    return Emulator(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The sizes that devices get."""
    return Emulator.as_released(tmp_path_factory.mktemp("released"))


def bounds(rows, width, level, dtype):
    return tuple(
        np.asarray(end.astype(dtype), order="F") for end in two_level_interval(rows, width, level)
    )


def generic(x, lower, upper, seed=0):
    with wn.generic_path():
        return nearest_doubly_sorted(x, lower, upper, xp, RandomSource(seed, x), exchanges=0)


def fast(device, x, lower, upper, seed=0):
    source = RandomSource(seed, x)
    return device.launcher.two_level(x, lower, upper, source.stream(), source.stream())


def assert_same(found, expected):
    """Bits of the point, four roundings of the rest."""
    point, distance, bound = found
    bits = f"u{point.itemsize}"
    np.testing.assert_array_equal(point.view(bits), expected.point.view(bits))
    close = 4 * np.finfo(point.dtype).eps
    tiny = np.finfo(point.dtype).smallest_subnormal
    np.testing.assert_allclose(distance, expected.distance, rtol=close, atol=tiny)
    np.testing.assert_allclose(bound, expected.lower_bound, rtol=close, atol=tiny)
    assert (distance.dtype, distance.shape) == (expected.distance.dtype, expected.distance.shape)


@needs_compiler
@both_dtypes
@pytest.mark.parametrize("name", EVERY_CONTENT)
def test_two_level_has_the_bits_of_the_generic_path(emulator, name, dtype):
    """One tile, many tiles, rows and columns longer than a tile, odd sizes, batches."""
    for seed, (batch, rows, width) in enumerate(
        [((), 1, 1), ((3,), 7, 5), ((2,), 16, 4), ((2, 2), 100, 3), ((), 33, 40), ((), 3, 150)]
    ):
        x = content(name, seed, (*batch, rows * width), dtype)
        ends = bounds(rows, width, 0.5, dtype)
        assert_same(fast(emulator, x, *ends), generic(x, *ends))


@needs_compiler
@both_dtypes
@pytest.mark.parametrize(("rows", "width"), [(2000, 1), (1, 2000), (257, 65), (65, 70)])
def test_segments_of_many_tiles(emulator, rows, width, dtype):
    for name in ("gaussian", "tied", "zero"):
        x = content(name, 3, (2, rows * width), dtype)
        ends = bounds(rows, width, 0.9, dtype)
        assert_same(fast(emulator, x, *ends), generic(x, *ends))


@needs_compiler
@both_dtypes
def test_released_sizes(released, dtype):
    for rows, width in ((5000, 2), (100, 16), (2, 4500)):
        x = content("tied", 4, (rows * width,), dtype)
        ends = bounds(rows, width, 0.9, dtype)
        assert_same(fast(released, x, *ends), generic(x, *ends))


def narrow_bounds(rng, rows, width, dtype):
    """Intervals that few assignments of ranks satisfy."""
    lower = np.sort(np.sort(rng.standard_normal((rows, width)), axis=0), axis=1)
    upper = lower + 0.1 * rng.random(lower.shape)
    upper = np.maximum.accumulate(np.maximum.accumulate(upper, axis=0), axis=1)
    return tuple(np.asarray(end.astype(dtype), order="F") for end in (lower, upper))


@needs_compiler
@both_dtypes
def test_repair_has_the_bits_of_the_generic_path(emulator, dtype, monkeypatch):
    """Few passes, many with a pull, and the last resort; in and beyond a tile."""
    assignments, assign = [], two_level._assign
    monkeypatch.setattr(two_level, "_assign", lambda *a: assignments.append(0) or assign(*a))
    passes = set()
    shapes = [(5, 4), (8, 3), (3, 6), (90, 2), (20, 9), (3, 130)]
    for seed, (rows, width) in itertools.product(range(3), shapes):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((2, rows * width))
        x = (np.round(x) if seed % 2 else x).astype(dtype)
        for ends in (
            narrow_bounds(rng, rows, width, dtype),
            bounds(rows, width, 0.02, dtype),
            bounds(rows, width, 0.3, dtype),
        ):
            assignments.clear()
            expected = generic(x, *ends)
            passes.add(len(assignments) - 1)
            assert_same(fast(emulator, x, *ends), expected)
    assert passes & {1, 2}  # without a pull
    assert passes & set(range(3, 65))
    assert 65 in passes  # 64 passes and the last resort


@needs_compiler
def test_last_pass_counts(tmp_path, monkeypatch):
    """With three passes in all, matrices that need two, three or more."""
    monkeypatch.setattr(launch, "MAX_PASSES", 3)
    monkeypatch.setattr(two_level, "MAX_PASSES", 3)
    emulator = Emulator(tmp_path)
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal((4, 20))
        ends = bounds(5, 4, 0.3, x.dtype)
        assert_same(fast(emulator, x, *ends), generic(x, *ends))


@needs_compiler
def test_matrices_of_a_batch_are_repaired_apart(emulator):
    """Some are stuck and some are not; each as if alone."""
    rng = np.random.default_rng(0)
    ends = bounds(30, 6, 0.5, np.float32)
    middle = (ends[0] + ends[1]) / 2
    x = rng.standard_normal((6, 180)).astype(np.float32)
    x[::2] = rng.permuted(middle[rng.permutation(30)], axis=1).reshape(-1)
    found = fast(emulator, x, *ends)
    np.testing.assert_array_equal(found[0][::2], x[::2])
    assert_same(found, generic(x, *ends))


@needs_compiler
@both_dtypes
@pytest.mark.parametrize("size", ["huge", "large", "one", "small", "tiny", "mixed"])
def test_distance_and_bound_are_sums_in_extended_precision(emulator, dtype, size):
    limits = np.finfo(dtype)
    rng = np.random.default_rng(0)
    factor = {
        "huge": limits.max / 1e3,
        "large": 4 * limits.max**0.5,  # squares overflow
        "small": limits.tiny**0.5 / 4,  # squares underflow
        "tiny": limits.tiny * 8,
        "mixed": (limits.tiny**0.5) ** rng.uniform(0.9, 1.1, 300),
    }.get(size, 1.0)
    x = (rng.standard_normal((2, 300)) * factor).astype(dtype)
    lower, upper = bounds(100, 3, 0.5, np.float64)
    around = min(np.max(factor), 1.0)
    ends = [np.asarray((end * around).astype(dtype), order="F") for end in (lower, upper)]
    point, distance, bound = fast(emulator, x, *ends)
    wide, ends = x.astype(np.longdouble), [e.astype(np.longdouble) for e in ends]
    ranked = np.sort(np.sort(wide.reshape(2, 100, 3), axis=2), axis=1)
    moves = (wide - point).reshape(2, -1), (ranked - np.clip(ranked, *ends)).reshape(2, -1)
    for value, move in zip((distance, bound), moves, strict=True):
        exact = np.sqrt((move**2).sum(axis=1))
        assert np.all(np.abs(value - exact) <= limits.eps * exact + limits.smallest_subnormal)


@needs_compiler
def test_order_of_threads_and_blocks_does_not_matter(emulator, monkeypatch):
    """A result that depended on it would miss a barrier, or one block would read another's."""
    for rows, width in ((8, 8), (100, 3), (3, 150), (33, 20)):
        x = content("tied", 5, (2, rows * width), np.float32)
        ends = narrow_bounds(np.random.default_rng(6), rows, width, np.float32)
        fields = [np.ones((2, rows), np.float32) for _ in range(4)]
        results = []
        for stride in (1, 15, 5, 11):
            monkeypatch.setattr(emulator, "stride", stride)
            run = emulator.launcher
            results.append(
                (
                    *fast(emulator, x, *ends),
                    *run.tile_fields(x, width),
                    run.move_tiles(x, width, fields[:2], fields[2:], RandomSource(0, x).stream()),
                    run.butterfly(x[:, :64], 5, None, adjoint=False),
                )
            )
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


@needs_compiler
def test_blocks_write_in_different_places(emulator, monkeypatch):
    """Here blocks run one after another; on a device they would overwrite each other's work."""
    monkeypatch.setattr(emulator, "watching", True)
    for rows, width in ((8, 8), (70, 3), (3, 80)):
        x = content("tied", 5, (3, rows * width), np.float32)
        fast(emulator, x, *narrow_bounds(np.random.default_rng(6), rows, width, np.float32))
        run, stream = emulator.launcher, RandomSource(0, x).stream()
        fields = run.tile_fields(x, width)
        run.move_tiles(x, width, fields, tuple(np.ones_like(f) for f in fields), stream)
        run.butterfly(x, 3, width, adjoint=False)
        run.real_fourier(x, adjoint=True)


@needs_compiler
def test_number_of_launches_depends_on_the_shape_alone(emulator):
    """Tiles of 64: one launch if all fits, else four, and one more for each doubling beyond."""
    for rows, width, launches in ((16, 4, 1), (65, 1, 5), (60, 60, 4), (300, 3, 7), (3, 300, 7)):
        for name in ("gaussian", "zero", "sorted"):
            x = content(name, 0, (2, rows * width), np.float32)
            emulator.launches.clear()
            fast(emulator, x, *bounds(rows, width, 0.02, np.float32))
            assert len(emulator.launches) == launches
    x = content("gaussian", 0, (2, 1024), np.float32)
    stream, run = RandomSource(0, x).stream(), emulator.launcher
    for launches, operation in (
        (1, lambda: run.tile_fields(x, 16)),
        (1, lambda: run.move_tiles(x, 16, *([np.ones((2, 64), np.float32)] * 2,) * 2, stream)),
        (1, lambda: run.butterfly(x, 5, 32, adjoint=False)),
        (2, lambda: run.butterfly(x, 10, None, adjoint=True)),
        (1, lambda: run.real_fourier(x, adjoint=False)),
        (1, lambda: run.real_fourier(x, adjoint=True)),
    ):
        emulator.launches.clear()
        operation()
        assert len(emulator.launches) == launches


@needs_compiler
def test_seed_words_may_be_on_the_device(emulator):
    x = np.zeros(96, np.float32)
    ends = bounds(32, 3, 0.5, x.dtype)
    numbers = [Stream(2**32 - 5, 7, x), Stream(11, 2**31 + 3, x)]
    arrays = [Stream(*(np.array(w, np.int64) for w in (s.first, s.second)), x) for s in numbers]
    expected = emulator.launcher.two_level(x, *ends, *numbers)
    found = emulator.launcher.two_level(x, *ends, *arrays)
    np.testing.assert_array_equal(found[0], expected[0])
    other = emulator.launcher.two_level(x, *ends, *numbers[::-1])
    assert np.any(other[0] != expected[0])


@needs_compiler
def test_whole_operator(emulator, monkeypatch):
    """All operations in the places where the package asks for them."""
    x = np.random.default_rng(0).standard_normal((2, 1024)).cumsum(axis=1)
    W = wn.Whitener(1024, preset="paper")
    with wn.generic_path():
        expected = W(x, rng=0)
    for module in (two_level, nearest, butterfly, fourier):
        monkeypatch.setattr(module, "find", lambda name, x: getattr(emulator.launcher, name))
    emulator.launches.clear()
    np.testing.assert_allclose(W(x, rng=0), expected, rtol=0, atol=1e-9)
    assert {"whole_matrix", "settle_ranks", "move_tiles", "butterfly", "unpack_fourier"} <= set(
        emulator.launches
    )
