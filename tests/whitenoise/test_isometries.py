"""Isometries against explicit matrices, loops and SciPy (Section B.4 of the paper)."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, linalg, optimize

import whitenoise as wn
from whitenoise import isometries as iso

SIZES = (1, 2, 3, 4, 5, 7, 8, 12, 13, 16, 31, 32, 60, 61, 63, 64)
GRIDS = ((1,), (7,), (8,), (3, 5), (4, 6), (2, 3, 4), (16, 4))


def matrix(isometry, size):
    """The matrix of `isometry`: its columns are the images of the unit vectors."""
    return isometry.forward(np.eye(size)).T


def every_isometry(size):
    """One of each kind for vectors of this length."""
    grid = (size // 2, 2) if size % 2 == 0 else (size,)
    back = tuple(range(len(grid)))[::-1]
    return [
        iso.Identity(),
        iso.RealFourier(),
        iso.Hartley(grid),
        iso.Cosine(grid),
        iso.Cosine((size,), block=math.gcd(size, 4)),
        iso.Butterfly(3),
        iso.Butterfly(2, tile_size=5),
        iso.AxisPermutation(grid, back),
        iso.BlockPermutation(grid, (3,) * len(grid)),
        iso.SignedPermutation(size, seed=1),
        iso.RealFourier() @ iso.SignedPermutation(size, seed=2) @ iso.Butterfly(1),
        iso.Hartley(grid).T,
    ]


def butterfly_by_loop(x, repeats):
    """Eq. 113 of the paper, one pair at a time."""
    x = list(x)
    for _ in range(repeats):
        pairs = [(x[i], x[i + 1]) for i in range(0, len(x) - 1, 2)]
        sums = [(a + b) / math.sqrt(2) for a, b in pairs]
        differences = [(a - b) / math.sqrt(2) for a, b in pairs]
        x = sums + differences + x[2 * len(pairs) :]
    return np.array(x)


def real_fourier_by_sums(x):
    """Eqs. 111-112 of the paper, one cosine and one sine sum at a time."""
    n = len(x)
    t = np.arange(n)
    alternating = [(x * (-1.0) ** t).sum() / math.sqrt(n)] if n % 2 == 0 else []
    pairs = range(1, (n + 1) // 2)
    angles = [2 * np.pi * k * t / n for k in pairs]
    real = [math.sqrt(2 / n) * (x * np.cos(a)).sum() for a in angles]
    imag = [-math.sqrt(2 / n) * (x * np.sin(a)).sum() for a in angles]
    return np.array([x.sum() / math.sqrt(n), *alternating, *real, *imag])


@given(
    size=st.one_of(st.integers(1, 40), st.sampled_from([97, 128, 251, 500])),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_norm_is_kept_and_the_adjoint_inverts(size, seed):
    x = np.random.default_rng(seed).standard_normal((2, size))
    for q in every_isometry(size):
        y = q.forward(x)
        assert y.shape == x.shape
        np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), 1e-13)
        np.testing.assert_allclose(q.adjoint(y), x, atol=1e-13)
        np.testing.assert_allclose(q.forward(q.adjoint(x)), x, atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_adjoint_is_the_transpose_and_white_noise_stays_white(size):
    """The covariance of Qx is Q Q^T = I, and Q^T is what `adjoint` and `.T` apply."""
    for q in every_isometry(size):
        m = matrix(q, size)
        np.testing.assert_allclose(m @ m.T, np.eye(size), atol=1e-13)
        np.testing.assert_allclose(q.adjoint(np.eye(size)), m, atol=1e-13)
        np.testing.assert_allclose(matrix(q.T, size), m.T, atol=1e-13)
        np.testing.assert_allclose(matrix(q.T.T, size), m, atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_real_fourier_is_its_cosine_and_sine_sums(size):
    expected = np.stack([real_fourier_by_sums(e) for e in np.eye(size)], axis=1)
    np.testing.assert_allclose(matrix(iso.RealFourier(), size), expected, atol=1e-13)


@pytest.mark.parametrize("shape", GRIDS)
def test_hartley_is_the_cas_matrix(shape):
    """``cos + sin`` of the summed phases, over sqrt(N): not the product of one-dimensional ones."""
    places = np.indices(shape).reshape(len(shape), -1) / np.array(shape)[:, None]
    phase = 2 * np.pi * (np.indices(shape).reshape(len(shape), -1).T @ places)
    cas = (np.cos(phase) + np.sin(phase)) / math.sqrt(math.prod(shape))
    np.testing.assert_allclose(matrix(iso.Hartley(shape), math.prod(shape)), cas, atol=1e-13)


def test_hartley_of_one_axis_leaves_the_other():
    x = np.random.default_rng(0).standard_normal((3, 5))
    rows = np.stack([iso.Hartley((5,)).forward(row) for row in x])
    found = iso.Hartley((3, 5), axes=1).forward(x.reshape(-1)).reshape(3, 5)
    np.testing.assert_allclose(found, rows, atol=1e-14)


@pytest.mark.parametrize("shape", GRIDS)
@pytest.mark.parametrize("axes", [None, 0, (-1,)])
def test_cosine_is_scipys_dct(shape, axes):
    x = np.random.default_rng(1).standard_normal(shape)
    expected = fft.dctn(x, axes=(axes,) if axes == 0 else axes, norm="ortho")
    found = iso.Cosine(shape, axes).forward(x.reshape(-1)).reshape(shape)
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_cosine_in_blocks_is_a_loop_over_blocks():
    x = np.random.default_rng(2).standard_normal((3, 16, 24))
    expected = np.empty_like(x)
    for channel in range(3):
        for i in range(0, 16, 8):
            for j in range(0, 24, 8):
                cut = np.s_[channel, i : i + 8, j : j + 8]
                expected[cut] = fft.dctn(x[cut], norm="ortho")
    q = iso.Cosine(x.shape, axes=(1, 2), block=8)
    np.testing.assert_allclose(q.forward(x.reshape(-1)).reshape(x.shape), expected, atol=1e-13)


@pytest.mark.parametrize("order", range(7))
def test_butterfly_repeated_log2_times_is_the_hadamard_transform(order):
    """Section B.4: the rows of the Hadamard matrix, in some order."""
    size = 2**order
    found = matrix(iso.Butterfly(order), size) * math.sqrt(size)
    expected = linalg.hadamard(size)
    assert {tuple(row) for row in np.rint(found).astype(int)} == {tuple(row) for row in expected}
    np.testing.assert_allclose(found, np.rint(found), atol=1e-13)


@pytest.mark.parametrize("size", [1, 2, 5, 9, 16, 31])
@pytest.mark.parametrize("repeats", [0, 1, 2, 5])
def test_butterfly_is_a_loop_over_pairs(size, repeats):
    x = np.random.default_rng(3).standard_normal(size)
    found = iso.Butterfly(repeats).forward(x)
    np.testing.assert_allclose(found, butterfly_by_loop(x, repeats), atol=1e-14)


@pytest.mark.parametrize("tile", [1, 2, 3, 4, 8, 21, 22, 100])
def test_butterfly_transforms_each_tile_and_the_remainder(tile):
    x = np.random.default_rng(4).standard_normal(21)
    parts = [butterfly_by_loop(x[i : i + tile], 3) for i in range(0, 21, tile)]
    np.testing.assert_allclose(
        iso.Butterfly(3, tile_size=tile).forward(x), np.concatenate(parts), atol=1e-14
    )


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, -1, 0)])
def test_axis_permutation_is_a_transpose(axes):
    x = np.arange(24.0).reshape(2, 3, 4)
    found = iso.AxisPermutation(x.shape, axes).forward(x.reshape(-1))
    np.testing.assert_array_equal(found, x.transpose(axes).reshape(-1))


@pytest.mark.parametrize(("shape", "block"), [((4, 6), (2, 3)), ((5, 7), (2, 3)), ((9,), (4,))])
def test_block_permutation_is_a_loop_over_blocks(shape, block):
    x = np.arange(float(math.prod(shape))).reshape(shape)
    corners = [range(0, n, b) for n, b in zip(shape, block, strict=True)]
    expected = []
    for corner in np.stack(np.meshgrid(*corners, indexing="ij"), -1).reshape(-1, len(shape)):
        cut = tuple(slice(c, c + b) for c, b in zip(corner, block, strict=True))
        expected += x[cut].reshape(-1).tolist()
    assert iso.BlockPermutation(shape, block).forward(x.reshape(-1)).tolist() == expected


def test_permutation_and_signed_permutation_move_entries_exactly():
    x = np.random.default_rng(5).standard_normal(50)
    order = np.random.default_rng(6).permutation(50)
    assert iso.Permutation(order).forward(x).tolist() == [x[k] for k in order]
    signed = iso.SignedPermutation(50, seed=7).forward(x)
    np.testing.assert_array_equal(np.sort(np.abs(signed)), np.sort(np.abs(x)))
    assert not np.array_equal(signed, iso.SignedPermutation(50, seed=8).forward(x))
    np.testing.assert_array_equal(signed, iso.SignedPermutation(50, seed=7).forward(x))


def test_composition_applies_its_last_factor_first():
    a, b, c = iso.Butterfly(1), iso.RealFourier(), iso.SignedPermutation(6, seed=0)
    expected = matrix(a, 6) @ matrix(b, 6) @ matrix(c, 6)
    np.testing.assert_allclose(matrix(a @ b @ c, 6), expected, atol=1e-14)
    np.testing.assert_allclose(matrix(iso.Composition(a, b, c), 6), expected, atol=1e-14)
    np.testing.assert_allclose(matrix((a @ b @ c).T, 6), expected.T, atol=1e-14)
    assert (a @ b @ c).size == (a @ b @ c).T.size == 6


def test_leading_axes_are_a_batch():
    x = np.random.default_rng(8).standard_normal((2, 3, 12))
    for q in every_isometry(12):
        one_by_one = np.stack([[q.forward(v) for v in rows] for rows in x])
        np.testing.assert_array_equal(q.forward(x), one_by_one)


def test_pullback_returns_a_vector_already_inside_bit_for_bit():
    """Proposition B.5 with P the identity on its set: no rounding of the transform is left."""
    project = functools.partial(wn.project_global, confidence_level=0.999)
    inside, outside = np.full(64, 0.1), np.full(64, 7.3)
    rows = np.stack([inside, outside]) * np.random.default_rng(9).choice([-1.0, 1.0], (2, 64))
    y = wn.pullback(project, iso.Cosine((64,)))(rows, axis=-1)
    np.testing.assert_array_equal(y[0], rows[0])
    assert not np.array_equal(y[1], rows[1])


def test_pullback_is_nearest_among_members():
    """Proposition B.5: no random member of ``{x : Qx in C}`` is nearer than the projection."""
    rng = np.random.default_rng(10)
    q, interval = iso.RealFourier(), wn.order_statistics.global_interval(0.5)
    x = 3 * rng.standard_normal(8)
    pulled = wn.pullback(functools.partial(wn.project_global, confidence_level=0.5), q)
    y, certificate = pulled(x, return_certificate=True)
    spectrum = rng.uniform(interval.lower, interval.upper, (20_000, 8))
    nearby = np.clip(q.forward(y) + 0.1 * rng.standard_normal((20_000, 8)), *interval)
    members = q.adjoint(np.concatenate([spectrum, nearby]))
    assert np.linalg.norm(x - y) <= np.linalg.norm(x - members, axis=1).min()
    np.testing.assert_allclose(certificate.distance, np.linalg.norm(x - y), rtol=1e-13)


def test_pullback_agrees_with_a_search_in_the_original_coordinates():
    """The nearest point of {x : Qx in [l, u]} as a bounded least-squares problem in x."""
    q, x = iso.Butterfly(2), np.array([3.0, -2.0, 0.5, 1.0, -4.0])
    lower, upper = wn.order_statistics.global_interval(0.5)
    found = wn.pullback(functools.partial(wn.project_global, confidence_level=0.5), q)(x)
    m = matrix(q, 5)
    searched = optimize.lsq_linear(m.T, x, bounds=(lower, upper), tol=1e-14)
    np.testing.assert_allclose(found, m.T @ searched.x, atol=1e-7)


@pytest.mark.parametrize("q", [iso.Hartley((4, 4)), iso.Cosine((16,)), iso.Permutation(range(16))])
def test_another_length_is_refused(q):
    for call in (q.forward, q.adjoint, q.T.forward, wn.pullback(wn.project_1os, q)):
        with pytest.raises(ValueError, match="takes vectors of length 16, got 15"):
            call(np.zeros(15))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: iso.Hartley(()), ValueError, "shape must hold one or more lengths, got \\(\\)"),
        (lambda: iso.Cosine((4, 0)), ValueError, "shape must be at least 1, got 0"),
        (lambda: iso.Cosine((4, 2.5)), TypeError, "shape must be an integer, got 2.5"),
        (lambda: iso.Cosine((4, 6), block=4), ValueError, "block must divide .* 4 for \\[6\\]"),
        (lambda: iso.Cosine((4,), block=0), ValueError, "block must be at least 1, got 0"),
        (lambda: iso.Cosine((4,), axes=(0, 0)), ValueError, "axis must name .* got \\(0, 0\\)"),
        (lambda: iso.Butterfly(-1), ValueError, "repeats must be at least 0, got -1"),
        (lambda: iso.Butterfly(1.5), TypeError, "repeats must be an integer, got 1.5"),
        (lambda: iso.Butterfly(1, tile_size=0), ValueError, "tile_size must be at least 1, got 0"),
        (lambda: iso.Permutation([0, 0]), ValueError, "order must hold .* got \\[0, 0\\]"),
        (lambda: iso.Permutation([0.0, 1.0]), TypeError, "order must be .* got \\[0.0, 1.0\\]"),
        (lambda: iso.AxisPermutation((2, 3), (0,)), ValueError, "axes must name every axis"),
        (lambda: iso.BlockPermutation((4,), (0,)), ValueError, "block must hold 1 .* got \\(0,\\)"),
        (lambda: iso.Composition(), ValueError, "factors must be one or more"),
        (lambda: iso.Composition(iso.Identity(), 3), TypeError, "factors must be isometries"),
        (lambda: iso.Hartley((4,)) @ iso.Hartley((5,)), ValueError, "isometries of one size"),
        (lambda: iso.Identity() @ np.eye(2), TypeError, "factors must be isometries"),
    ],
)
def test_what_cannot_be_an_isometry_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
