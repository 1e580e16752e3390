"""The confidence sets: membership, lower bounds of the distance, symmetries, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import doubly_sorted, nearest_by_enumeration
from scipy import stats

from whitenoise.order_statistics import two_level_interval
from whitenoise.sets import Global, OneLevel, Sphere, Tiles, TwoLevel

SETS = [
    Global(0.9),
    Global(0.9, simultaneous=True),
    OneLevel(0.9),
    OneLevel(0.9, simultaneous=True),
    TwoLevel(4, 0.9),
    TwoLevel(6, 0.9, simultaneous=True),
    Tiles(4, confidence_level=0.9),
    Tiles(2, chunk_size=3, confidence_level=0.9, simultaneous=True),
    Tiles(3, statistics=("mean",), confidence_level=0.9),
    Tiles(3, statistics=("energy",), confidence_level=0.9),
    Sphere(),
]
N = 24
all_sets = pytest.mark.parametrize("typical", SETS, ids=repr)


def vectors(count=6, scale=2.0, seed=0):
    return scale * np.random.default_rng(seed).standard_normal((count, N))


def excess(values, law, chunk_size, level):
    """Doubly sort, clip at SciPy's quantiles (Eqs. 82-85), return the norm of what was clipped."""
    ranked = doubly_sorted(values.reshape(-1, chunk_size))
    n_chunks = ranked.shape[0]
    i, j = np.arange(1, n_chunks + 1)[:, None], np.arange(1, chunk_size + 1)
    tail = (1 - level) / 2
    lower, upper = (
        law.ppf(stats.beta.ppf(stats.beta.ppf(p, i, n_chunks + 1 - i), j, chunk_size + 1 - j))
        for p in (tail, 1 - tail)
    )
    return np.linalg.norm(ranked - np.clip(ranked, lower, upper))


def tile_fields(x, tile_size):
    tiles = x.reshape(-1, tile_size)
    mean = tiles.mean(axis=1, keepdims=True)
    return mean[:, 0] * np.sqrt(tile_size), np.linalg.norm(tiles - mean, axis=1)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_distance_bounds_are_the_textbook_formulas(scale):
    """Eqs. 70-71, 77, 85, 89-93, 115 written with SciPy's distributions."""
    for x in vectors(scale=scale):
        z, r = tile_fields(x, 4)
        chi = stats.chi(3)
        ends = stats.norm.ppf([0.05, 0.95])
        expected = {
            Global(0.9): np.linalg.norm(x - np.clip(x, *ends)),
            OneLevel(0.9): excess(x, stats.norm, 1, 0.9),
            TwoLevel(4, 0.9): excess(x, stats.norm, 4, 0.9),
            Tiles(4, 3, ("mean",), 0.9): excess(z, stats.norm, 3, 0.9),
            Tiles(4, 2, ("energy",), 0.9): excess(r, chi, 2, 0.9),
            Tiles(4, 1, ("mean", "energy"), 0.9): np.hypot(
                excess(z, stats.norm, 1, 0.9), excess(r, chi, 1, 0.9)
            ),
            Sphere(): abs(np.linalg.norm(x) - np.sqrt(N)),
        }
        for typical, distance in expected.items():
            assert typical.distance_bound(x) == pytest.approx(distance, rel=1e-9, abs=1e-12)
            assert typical.contains(x) is bool(distance < 1e-12)


def test_bounding_the_energy_is_the_same_set():
    """Tiles are bounded by chi quantiles of the norm; Eqs. 90-92 bound the energy."""
    tiles, seen = Tiles(4, 2, ("energy",), 0.5), set()
    for x in vectors(count=400, scale=1.0):
        _, r = tile_fields(x[:16], 4)
        inside = bool(excess(r**2, stats.chi2(3), 2, 0.5) == 0)
        assert tiles.contains(x[:16]) is inside
        seen.add(inside)
    assert seen == {True, False}


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (4, 2), (3, 3)])
def test_two_level_bound_is_below_the_exact_distance(shape):
    """Exhaustive search over column permutations; equality where the doubly sorted clip fits."""
    level, ratios = 0.6, []
    for seed in range(12):
        x = np.random.default_rng(seed).standard_normal(shape) * 4
        exact = nearest_by_enumeration(x, *two_level_interval(*shape, level))
        bound = TwoLevel(shape[1], level).distance_bound(x)
        assert bound <= exact * (1 + 1e-12)
        ratios.append(bound / exact)
    assert max(ratios) == pytest.approx(1, rel=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(SETS[:-1]))
def test_bound_is_one_lipschitz_in_x(seed, typical):
    """What makes it a lower bound: it is zero on the set, and S and the tile fields contract."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(N)
    y = x + rng.exponential() * rng.standard_normal(N)
    change = abs(typical.distance_bound(x) - typical.distance_bound(y))
    assert change <= np.linalg.norm(x - y) * (1 + 1e-12)


def permuted_chunks(x, size, rng):
    return rng.permutation(x.reshape(-1, size), axis=0).ravel()


def permuted_within(x, size, rng):
    return rng.permuted(x.reshape(-1, size), axis=1).ravel()


def rotated_about_the_mean(x, size, rng):
    """Orthogonal map of each tile that fixes the constant vector."""
    basis = np.linalg.qr(np.column_stack([np.ones(size), rng.standard_normal((size, size - 1))]))[0]
    turn = np.linalg.qr(rng.standard_normal((size - 1, size - 1)))[0]
    matrix = np.outer(basis[:, 0], basis[:, 0]) + basis[:, 1:] @ turn @ basis[:, 1:].T
    return (x.reshape(-1, size) @ matrix).ravel()


def negated(x, size, rng):
    return -x


def permuted(x, size, rng):
    return rng.permutation(x)


SYMMETRIES = [
    *[(s, 1, f) for s in (Global(0.9), OneLevel(0.9), Sphere()) for f in (permuted, negated)],
    *[(TwoLevel(4, 0.9), 4, f) for f in (permuted_chunks, permuted_within, negated)],
    *[
        (Tiles(4, 1, confidence_level=0.9), 4, f)
        for f in (permuted_chunks, permuted_within, rotated_about_the_mean, negated)
    ],
    # Fields cut into chunks of 2 tiles: chunks of 8 entries move as one.
    (Tiles(4, 2, confidence_level=0.9), 8, permuted_chunks),
    (Tiles(4, 2, confidence_level=0.9), 4, permuted_within),
    (Sphere(), N, rotated_about_the_mean),
]


@pytest.mark.parametrize(("typical", "size", "symmetry"), SYMMETRIES)
def test_sets_keep_their_symmetries(typical, size, symmetry):
    rng = np.random.default_rng(3)
    before = vectors()
    after = np.stack([symmetry(x, size, rng) for x in before])
    assert not np.allclose(before, after)
    bound = typical.distance_bound(before, axis=1)
    np.testing.assert_allclose(typical.distance_bound(after, axis=1), bound, rtol=1e-10, atol=1e-10)


def test_two_level_is_not_symmetric_under_other_permutations():
    """A sorted vector is one-level typical at most; its chunks are not."""
    x = stats.norm.ppf((np.arange(64) + 0.5) / 64)
    assert OneLevel(0.9).contains(x)
    assert not TwoLevel(8, 0.9).contains(x)
    assert not Tiles(8, confidence_level=0.9).contains(x)


@all_sets
@pytest.mark.parametrize("axis", [None, 0, -1, 2, (1, 3), (3, 1), (0, 2, 3), [-2, 0]])
def test_axis_is_the_same_as_a_loop(typical, axis):
    x = 1.2 * np.random.default_rng(4).standard_normal((12, 6, 24, 4))
    axes = (0, 1, 2, 3) if axis is None else axis if np.iterable(axis) else (axis,)
    axes = [a % 4 for a in axes]
    length = int(np.prod([x.shape[a] for a in axes]))
    try:
        typical.check_size(length)
    except ValueError:
        with pytest.raises(ValueError, match=r"does not divide|at most"):
            typical.distance_bound(x, axis=axis)
        return
    batch = [a for a in range(4) if a not in axes]
    rows = x.transpose(*batch, *axes).reshape(-1, length)
    shape = tuple(x.shape[a] for a in batch)
    bound, inside = typical.distance_bound(x, axis=axis), typical.contains(x, axis=axis)
    if shape:
        assert bound.dtype == np.float64
        assert inside.dtype == bool
    else:
        assert isinstance(bound, float)
        assert isinstance(inside, bool)
    expected = [typical.distance_bound(row) for row in rows]
    np.testing.assert_allclose(np.reshape(expected, shape), bound, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(np.reshape([typical.contains(r) for r in rows], shape), inside)


def ends_of(typical, dtype):
    like = np.zeros(N, dtype)
    lower, upper = typical.bounds(like, np)
    shape = (N // getattr(typical, "chunk_size", N), getattr(typical, "chunk_size", N))
    return [np.broadcast_to(end, shape).ravel() for end in (lower, upper)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("typical", [Global(0.9), TwoLevel(1, 0.9), TwoLevel(4, 0.9)])
def test_membership_is_decided_to_the_last_bit(typical, dtype):
    """The ends belong to the set; one unit in the last place beyond any of them does not."""
    for ends, outwards in zip(ends_of(typical, dtype), (-np.inf, np.inf), strict=True):
        assert typical.contains(ends)
        assert typical.distance_bound(ends) == 0
        for k in range(N):
            beyond = ends.copy()
            beyond[k] = np.nextafter(ends[k], dtype(outwards))
            assert not typical.contains(beyond)


@pytest.mark.parametrize("level", [0.5, 0.9999, 1 - 1e-9])
@pytest.mark.parametrize("shape", [(64, 16), (1000, 1), (1, 30)])
def test_bounds_are_rounded_inwards(shape, level):
    """What is typical in float32 is typical in float64, and no float32 is excluded needlessly."""
    exact = two_level_interval(*shape, level)
    like = np.zeros(shape[0] * shape[1], np.float32)
    lower, upper = TwoLevel(shape[1], level).bounds(like, np)
    assert lower.dtype == upper.dtype == np.float32
    assert (lower.astype(float) >= exact.lower).all()
    assert (upper.astype(float) <= exact.upper).all()
    assert (np.nextafter(lower, np.float32(-np.inf)).astype(float) < exact.lower).all()
    assert (np.nextafter(upper, np.float32(np.inf)).astype(float) > exact.upper).all()


def test_bounds_are_made_once():
    x, typical = np.zeros(N), TwoLevel(4, 0.9)
    first, second = typical.bounds(x, np)[0], TwoLevel(4, 0.9).bounds(x, np)[0]
    assert first is second
    assert typical.bounds(x.astype(np.float32), np)[0] is not first


@pytest.mark.parametrize("statistics", [("mean",), ("energy",), ("mean", "energy")])
def test_tile_statistics_on_their_bounds_are_inside(statistics):
    """Sums round: a vector built to sit on the bounds is inside, 1e-4 beyond it is not."""
    tiles = Tiles(4, 2, statistics, 0.9)
    rng = np.random.default_rng(5)
    direction = rng.standard_normal((6, 4)).astype(np.float32)
    direction -= direction.mean(axis=1, keepdims=True)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    like = np.zeros(6, np.float32)
    both = Tiles(4, 2, confidence_level=0.9).typical_fields({"mean": like, "energy": like})
    z = both["mean"].typical.bounds(like, np)[0].ravel()
    r = both["energy"].typical.bounds(like, np, both["energy"].law)[1]
    for stretch, inside in ((1.0, True), (1.0001, False)):
        x = z[:, None] / 2 * np.float32(stretch) + direction * r.ravel()[:, None] * stretch
        assert tiles.contains(x.astype(np.float32)) is inside


BAD_LEVELS = [0, 1, -0.5, 4.0, float("nan"), float("inf")]
MAKE = [
    lambda level, joint: Global(level, joint),
    lambda level, joint: OneLevel(level, joint),
    lambda level, joint: TwoLevel(4, level, joint),
    lambda level, joint: Tiles(4, confidence_level=level, simultaneous=joint),
    lambda level, joint: Tiles(4, 1, ("mean",), level, joint),
]


@pytest.mark.parametrize("method", ["contains", "distance_bound"])
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("level", BAD_LEVELS)
@pytest.mark.parametrize("make", MAKE)
def test_bad_level_is_named(make, level, joint, method):
    with pytest.raises(ValueError, match=f"confidence_level must lie .* got {level!r}"):
        getattr(make(level, joint), method)(np.zeros(N))


@pytest.mark.parametrize("typical", [OneLevel(1e-9), TwoLevel(4, 1e-9)])
def test_level_too_small_for_the_dtype_is_named(typical):
    """Between neighbouring floats there would be nothing to project onto."""
    with pytest.raises(ValueError, match=r"confidence_level=1e-09 is too small.*float32"):
        typical.contains(np.zeros(N, np.float32))
    assert not typical.contains(np.zeros(N))


@pytest.mark.parametrize(
    ("typical", "message"),
    [
        (TwoLevel(25), "chunk_size must be at most the 24 values given, got 25"),
        (TwoLevel(5), "chunk_size=5 does not divide the 24"),
        (TwoLevel(0), "chunk_size must be an integer of at least 1, got 0"),
        (TwoLevel(2.0), "chunk_size must be an integer of at least 1, got 2.0"),
        (TwoLevel(True), "chunk_size must be an integer of at least 1, got True"),
        (Tiles(25), "tile_size must be at most the 24 values given, got 25"),
        (Tiles(5), "tile_size=5 does not divide the 24"),
        (Tiles(-2), "tile_size must be an integer of at least 1, got -2"),
        (Tiles(4, 7), "chunk_size must be at most the 6 values given, got 7"),
        (Tiles(4, 4), "chunk_size=4 does not divide the 6"),
        (Tiles(1), "tile_size must be at least 2 for the energy, got 1"),
    ],
)
def test_bad_sizes_are_named(typical, message):
    for method in (typical.contains, typical.distance_bound):
        with pytest.raises(ValueError, match=message):
            method(np.zeros(N))


def test_tiles_of_one_entry_have_means():
    x = vectors(1)[0]
    assert Tiles(1, 1, ("mean",), 0.9).distance_bound(x) == OneLevel(0.9).distance_bound(x)


@pytest.mark.parametrize("statistics", [(), ("median",), ("mean", "mean"), "mean", ("mean", 3)])
def test_bad_statistics_are_named(statistics):
    with pytest.raises(ValueError, match="statistics must be a tuple of 'mean', 'energy' or both"):
        Tiles(4, statistics=statistics)
