"""What every projection keeps: membership, bits, dtype, symmetry, batches, chance and gradients."""

from __future__ import annotations

from functools import partial

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from strategies import CONTENTS, arrays, every_set, order_statistic_sets, seeds, tie_free, tile_sets

import whitenoise as wn
from whitenoise.nearest import nearest
from whitenoise.order_statistics import two_level_interval
from whitenoise.sets import Global, OneLevel, Sphere, Tiles, TwoLevel


def projection_onto(target):
    """The public function for a set."""
    match target:
        case Global(level, joint):
            return partial(wn.project_global, confidence_level=level, simultaneous=joint)
        case OneLevel(level, joint):
            return partial(wn.project_1os, confidence_level=level, simultaneous=joint, rng=0)
        case TwoLevel(chunk, level, joint):
            return partial(
                wn.project_2os,
                chunk_size=chunk,
                confidence_level=level,
                simultaneous=joint,
                rng=0,
            )
        case Tiles(tile, chunk, statistics, level, joint):
            return partial(
                wn.project_tiles,
                tile_size=tile,
                chunk_size=chunk,
                statistics=statistics,
                confidence_level=level,
                simultaneous=joint,
                rng=0,
            )
        case Sphere():
            return partial(wn.project_sphere, rng=0)


SETS = {
    "global": Global(0.5),
    "1os": OneLevel(0.5),
    "2os": TwoLevel(4, 0.5),
    "tile mean": Tiles(4, 2, ("mean",), 0.5),
    "tile energy": Tiles(4, 2, ("energy",), 0.5),
    "tiles": Tiles(4, 2, ("mean", "energy"), 0.5),
    "sphere": Sphere(),
}
every_projection = pytest.mark.parametrize("target", SETS.values(), ids=SETS)


@settings(max_examples=400)
@given(st.data())
def test_result_is_in_the_set_and_its_certificate_is_true(data):
    x = data.draw(arrays())
    target = data.draw(every_set(x.size))
    x.flags.writeable = False
    before = x.copy()
    y, certificate = projection_onto(target)(x, return_certificate=True)

    assert certificate.feasible
    assert target.contains(y)
    assert 0 <= certificate.lower_bound <= certificate.distance
    rounding = 64 * np.finfo(x.dtype).eps
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    largest = max(np.linalg.norm(wide_x), np.linalg.norm(wide_y))
    moved = np.linalg.norm((wide_x - wide_y).ravel())
    np.testing.assert_allclose(certificate.distance, moved, atol=rounding * largest)
    np.testing.assert_array_equal(x, before)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)


@every_projection
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("size", [8, 64])
def test_every_content_ends_in_every_set(target, content, size):
    for seed in range(4):
        x = CONTENTS[content](np.random.default_rng(seed), size).astype(np.float32)
        assert target.contains(projection_onto(target)(x))


@settings(max_examples=200)
@given(st.data())
def test_order_statistic_projections_are_idempotent_bit_for_bit(data):
    x = data.draw(arrays())
    project = projection_onto(data.draw(order_statistic_sets(x.size)))
    y = project(x)
    again, certificate = project(y, return_certificate=True)
    np.testing.assert_array_equal(again, y)
    assert certificate.distance == certificate.lower_bound == 0


@settings(max_examples=200)
@given(st.data())
def test_tile_and_sphere_projections_are_idempotent_to_rounding(data):
    x = data.draw(arrays())
    project = projection_onto(data.draw(st.one_of(tile_sets(x.size), st.builds(Sphere))))
    y = project(x)
    rounding = 64 * np.finfo(x.dtype).eps * max(1.0, np.linalg.norm(y.astype(np.float64)))
    np.testing.assert_allclose(project(y), y, rtol=0, atol=rounding)


@settings(max_examples=60)
@given(seeds, st.sampled_from((0.5, 0.95, 0.9999)), st.sampled_from((1, 4, 16)), st.booleans())
def test_a_point_built_inside_the_two_level_set_is_kept_bit_for_bit(seed, level, chunk, joint):
    rng = np.random.default_rng(seed)
    lower, upper = two_level_interval(16, chunk, level, simultaneous=joint)
    matrix = lower + rng.random() * (upper - lower)  # increasing both ways, as the bounds are
    matrix = rng.permuted(matrix[rng.permutation(16)], axis=1)
    y = wn.project_2os(matrix, chunk, confidence_level=level, simultaneous=joint)
    np.testing.assert_array_equal(y, matrix)


def test_typical_tiles_are_kept_bit_for_bit():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 16))
    np.testing.assert_array_equal(
        wn.project_tiles(x, 16, chunk_size=4, confidence_level=1 - 1e-9), x
    )


@every_projection
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_dtype_is_kept_and_narrow_ones_are_rounded_once(target, dtype):
    x = (2 * np.random.default_rng(0).standard_normal((8, 16))).astype(dtype)
    project = projection_onto(target)
    y = project(x)
    wide = x if dtype == np.float64 else x.astype(np.float32)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(y, project(wide).astype(dtype))


@settings(max_examples=60)
@given(seeds, st.sampled_from((Global(0.5), OneLevel(0.5), OneLevel(0.95), OneLevel(0.9999))))
def test_global_and_one_level_commute_with_permutations(seed, target):
    rng = np.random.default_rng(seed)
    x, order = tie_free(rng, 60), rng.permutation(60)
    project = projection_onto(target)
    np.testing.assert_array_equal(project(x[order]), project(x)[order])


@settings(max_examples=60)
@given(seeds, st.sampled_from((0.5, 0.95, 0.9999)))
def test_two_level_commutes_with_permutations_of_and_within_chunks(seed, level):
    rng = np.random.default_rng(seed)
    x = tie_free(rng, (12, 5))
    within = rng.permuted(np.tile(np.arange(5), (12, 1)), axis=1)
    chunks = rng.permutation(12)

    def shuffled(a):
        return np.take_along_axis(a, within, axis=1)[chunks]

    project = projection_onto(TwoLevel(5, level))
    np.testing.assert_array_equal(project(shuffled(x)), shuffled(project(x)))


@settings(max_examples=40)
@given(seeds)
def test_tiles_commute_with_permutations_of_tiles(seed):
    rng = np.random.default_rng(seed)
    x, order = tie_free(rng, (10, 6)), rng.permutation(10)
    project = projection_onto(Tiles(6, 1, confidence_level=0.5))
    np.testing.assert_array_equal(project(x[order]), project(x)[order])


@every_projection
def test_sign_flip_commutes(target):
    """The law is symmetric; the exchange search alone takes sides, so it is off."""
    project = projection_onto(target)
    if isinstance(target, (TwoLevel, Tiles)):
        project = partial(project, exchanges=0)
    for seed in range(20):
        x = tie_free(np.random.default_rng(seed), 64)
        np.testing.assert_array_equal(project(-x), -project(x))


@every_projection
def test_batch_equals_loop(target):
    x = tie_free(np.random.default_rng(0), (3, 2, 64))
    x[1] *= 0.2  # entries of a batch need different numbers of passes and exchanges
    project = projection_onto(target)
    y, certificate = project(x, axis=-1, return_certificate=True)
    assert np.shape(certificate.distance) == (3, 2)
    for index in np.ndindex(3, 2):
        alone, own = project(x[index], return_certificate=True)
        np.testing.assert_array_equal(y[index], alone)
        # The search for exchanges sums in another order, if any vector of the batch needs it.
        assert certificate.distance[index] == pytest.approx(own.distance, rel=1e-14)
        assert certificate.lower_bound[index] == pytest.approx(own.lower_bound, rel=1e-14)
        assert certificate.feasible[index] == own.feasible


@every_projection
@pytest.mark.parametrize("axis", [0, -1, (0, 2), (2, 0), (3, 1, 0)])
def test_axes_are_flattened_in_the_order_given(target, axis):
    x = tie_free(np.random.default_rng(1), (8, 3, 4, 16))
    axes = (axis,) if isinstance(axis, int) else axis
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    batch = moved.shape[: 4 - len(axes)]
    flat = moved.reshape(*batch, -1)
    project = projection_onto(target)
    expected = project(flat, axis=-1).reshape(moved.shape)
    expected = np.moveaxis(expected, range(-len(axes), 0), axes)
    np.testing.assert_array_equal(project(x, axis=axis), expected)


N = 4096
FIVE_SIGMA = 5.0  # false alarm 5.7e-7 for each of the handful of fixed-seed statistics below
tied_projections = pytest.mark.parametrize(
    "project",
    [wn.project_1os, partial(wn.project_2os, chunk_size=16)],
    ids=["1os", "2os"],
)


@tied_projections
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_constant_input_is_not_ordered_by_index(project, value):
    """Spearman's correlation of random chunks in random order has variance at most 1/(256 - 1)."""
    y = project(np.full(N, value), rng=0)
    sigma = 1 / np.sqrt((N if project is wn.project_1os else N // 16) - 1)
    assert abs(stats.spearmanr(np.arange(N), y).statistic) < FIVE_SIGMA * sigma
    within = stats.spearmanr(np.arange(N) % 16, y).statistic
    assert abs(within) < FIVE_SIGMA / np.sqrt(N - 1)


@tied_projections
@pytest.mark.parametrize("content", ["sparse", "bfloat16", "integers"])
def test_tied_entries_are_not_ordered_by_index(project, content):
    """Among the entries equal to the commonest value, order and index are independent."""
    rng = np.random.default_rng(1)
    gaussian = 3 * rng.standard_normal(N)
    x = {
        "sparse": np.where(rng.random(N) < 0.1, gaussian, 0.0),
        "bfloat16": (gaussian.astype(ml_dtypes.bfloat16)).astype(np.float64),
        "integers": np.round(gaussian),
    }[content]
    y = project(x, confidence_level=0.5, rng=2)
    values, counts = np.unique(x, return_counts=True)
    tied = np.flatnonzero(x == values[np.argmax(counts)])
    assert np.unique(y[tied]).size > 0.5 * tied.size
    result = stats.spearmanr(tied, y[tied]).statistic
    blocks = tied.size if project is wn.project_1os else min(tied.size, N // 16)
    assert abs(result) < FIVE_SIGMA / np.sqrt(blocks - 1)


@tied_projections
def test_seed_decides_the_order_of_ties(project):
    x = np.zeros(256)
    np.testing.assert_array_equal(project(x, rng=3), project(x, rng=3))
    assert np.any(project(x, rng=3) != project(x, rng=4))
    assert np.any(project(x) != project(x))


@every_projection
@pytest.mark.parametrize("tied", [False, True])
def test_generator_advances_by_one_draw_whatever_the_data(target, tied):
    x = np.zeros(64) if tied else tie_free(np.random.default_rng(0), 64)
    rng, other = np.random.default_rng(5), np.random.default_rng(5)
    wn.project(x, target, rng=rng)
    other.integers(2**32, size=2)
    assert rng.bit_generator.state == other.bit_generator.state
    native, other = (torch.Generator().manual_seed(5) for _ in range(2))
    wn.project(torch.asarray(x), target, rng=native)
    torch.randint(2**32, (2,), generator=other)
    assert torch.equal(native.get_state(), other.get_state())


@every_projection
def test_gradient_is_the_derivative_almost_everywhere(target):
    """Against central differences; at random points kinks and changes of order are far away."""
    x = torch.asarray(tie_free(np.random.default_rng(7), (2, 32), scale=1.5))
    x.requires_grad_(True)
    project = partial(projection_onto(target), axis=-1)
    y = project(x)
    assert torch.any(y != x)
    assert torch.autograd.gradcheck(project, (x,), eps=1e-6, atol=1e-7, rtol=1e-6)


def test_a_set_without_a_projection_is_refused():
    with pytest.raises(TypeError, match="no projection is known for object"):
        nearest(object(), np.zeros(3), np, None)
