"""The kernels for the CPU give the bits of the generic implementation, which is the oracle here.

Bits, not values: the sign of a zero counts. Distances are sums in another order, and are compared
with the moves themselves, summed in float64. Threads and compiling are in `test_kernel_threads`.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import fft
from scipy.linalg import hadamard

import whitenoise as wn
from whitenoise import isometries, two_level
from whitenoise._kernels import find, numba_cpu
from whitenoise._kernels.numba_cpu import doubly_sorted, orders
from whitenoise._kernels.numba_cpu.sorting import COUNTS, radix_sort, sorting_network
from whitenoise._namespace import array_namespace
from whitenoise._random import RandomSource
from whitenoise.nearest import nearest
from whitenoise.sets import Tiles, TwoLevel
from whitenoise.two_level import nearest_doubly_sorted

DTYPES = (np.float32, np.float64)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)

CONTENTS = {
    "random": lambda rng, n, top: 2 * rng.standard_normal(n),
    "tied": lambda rng, n, top: np.round(3 * rng.standard_normal(n)),
    "constant": lambda rng, n, top: np.full(n, 1.7),
    "steps": lambda rng, n, top: np.repeat(3 * rng.standard_normal(n), 7)[:n],
    "huge": lambda rng, n, top: top * rng.standard_normal(n),
    "tiny": lambda rng, n, top: 1e-40 * rng.standard_normal(n),  # denormal in float32
    "least": lambda rng, n, top: np.finfo(float).smallest_subnormal * rng.integers(-3, 4, n),
    "zeros": lambda rng, n, top: np.where(rng.random(n) < 0.6, rng.choice([0.0, -0.0], n), 2.0),
    "heavy": lambda rng, n, top: rng.standard_cauchy(n),
    "scales": lambda rng, n, top: rng.standard_normal(n) * 10 ** rng.uniform(-20, 20, n),
    "sorted": lambda rng, n, top: np.sort(3 * rng.standard_normal(n)),
    "reversed": lambda rng, n, top: -np.sort(rng.standard_normal(n)),
}
contents = pytest.mark.parametrize("content", CONTENTS)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Without this the first comparisons would be of the generic implementation with itself."""
    for dtype in DTYPES:
        x = np.ones(1, dtype)
        wn.compile_kernels(x)
        for operation in numba_cpu.__all__:
            assert find(operation, x) is not None


def values(content, dtype, *shape, seed=0):
    """Numbers of a kind; "huge" ones are large, but their squares fit into float64."""
    rng = np.random.default_rng(seed)
    top = 1e36 if dtype == np.float32 else 1e150
    return CONTENTS[content](rng, math.prod(shape), top).astype(dtype).reshape(shape)


def both(call):
    """Results of the kernels and of the generic implementation."""
    fast = call()
    with wn.generic_path():
        return fast, call()


def assert_same_bits(one, other, note=""):
    one, other = (np.ascontiguousarray(x) for x in (one, other))
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    kind = f"u{one.itemsize}"
    np.testing.assert_array_equal(one.view(kind), other.view(kind), err_msg=str(note))


def random_bounds(rng, shape, dtype):
    """Two matrices that increase along both axes, the lower one below the upper."""
    pair = [np.sort(np.sort(rng.standard_normal(shape), axis=1), axis=0) for _ in range(2)]
    return [np.asarray(end(*pair).astype(dtype), order="F") for end in (np.minimum, np.maximum)]


def project(x, lower, upper, seed=0):
    source = RandomSource(seed, x)
    return nearest_doubly_sorted(x, lower, upper, array_namespace(x), source, exchanges=0)


def nearest_in(target, x):
    return nearest(target, x, array_namespace(x), RandomSource(1, x))


def in_set(x, lower, upper):
    matrix = np.sort(np.sort(x.reshape(*x.shape[:-1], *lower.shape), axis=-1), axis=-2)
    return bool(np.all((lower <= matrix) & (matrix <= upper)))


def assert_is_projection(fast, generic, x, lower, upper, note=""):
    """Bits, membership, and distances against sums over the entries in float64."""
    assert_same_bits(fast.point, generic.point, note)
    assert in_set(fast.point, lower, upper)
    assert fast.distance.dtype == fast.lower_bound.dtype == np.float64
    wide, point = x.astype(float), fast.point.astype(float)
    ranked = np.sort(np.sort(wide.reshape(*x.shape[:-1], *lower.shape), axis=-1), axis=-2)
    over = (ranked - np.clip(ranked, lower, upper)).reshape(x.shape)
    bound, distance = np.linalg.norm(over, axis=-1), np.linalg.norm(point - wide, axis=-1)
    np.testing.assert_allclose(fast.lower_bound, bound, rtol=1e-13)
    np.testing.assert_allclose(fast.distance, np.maximum(distance, bound), rtol=1e-13)
    close = 1e-13 if x.dtype == np.float64 else 1e-6
    np.testing.assert_allclose(fast.distance, generic.distance, rtol=close)
    np.testing.assert_allclose(fast.lower_bound, generic.lower_bound, rtol=close)


# Sorting


def sorts(network, vectors):
    vectors = vectors.copy()
    for i, j in network:
        small = np.minimum(vectors[:, i], vectors[:, j])
        vectors[:, j] = np.maximum(vectors[:, i], vectors[:, j])
        vectors[:, i] = small
    return bool((np.diff(vectors, axis=1) >= 0).all())


@pytest.mark.parametrize("size", range(1, 13))
def test_networks_sort_every_sequence_of_zeros_and_ones(size):
    """Then they sort everything (Knuth, 5.3.4, theorem Z)."""
    network = sorting_network(size)
    every = np.array(list(itertools.product((0, 1), repeat=size)), np.int8)
    assert sorts(network, every)
    if size > 1:  # the check can fail
        assert not sorts(network[:-1], every)


def test_longer_networks_sort_samples_of_zeros_and_ones():
    """Exhaustive up to 12; beyond, every step function reversed, and random ones."""
    rng = np.random.default_rng(0)
    for size in (*range(13, 70), 127, 128, 129, 255, 257, 511, 512, 513, 600):
        network = sorting_network(size)
        assert (network[:, 0] < network[:, 1]).all()
        assert network.max() == size - 1
        steps = np.tri(size, dtype=np.int8)
        some = rng.random((64, size)) < rng.random((64, 1))
        assert sorts(network, np.concatenate([steps, some.astype(np.int8)])), size


@pytest.mark.parametrize("size", [1, 2, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 5000])
def test_radix_sort_is_the_stable_sort_by_the_upper_half(size):
    rng = np.random.default_rng(size)
    keys = {
        "random": rng.integers(2**32, size=size),
        "few": rng.integers(3, size=size),
        "equal": np.full(size, 2**32 - 1),
        "one digit": rng.integers(2048, size=size) << 11,
        "two digits": rng.integers(2**10, size=size) << 22 | rng.integers(2048, size=size),
        "reversed": np.arange(size)[::-1] * 700_000 % 2**32,
    }
    spare, counts = np.empty(size, np.uint64), np.empty(COUNTS, np.uint32)
    for name, upper in keys.items():
        order = np.argsort(upper, kind="stable")
        words = (upper.astype(np.uint64) << np.uint64(32)) | np.arange(size, dtype=np.uint64)
        result = radix_sort(words, spare, counts) & np.uint64(2**32 - 1)
        np.testing.assert_array_equal(result, order, err_msg=name)


@dtypes
@contents
def test_order_by_value_is_the_stable_order(content, dtype):
    x = values(content, dtype, 700)
    bits = x.view(f"u{x.itemsize}")
    order = np.random.default_rng(1).permutation(700).astype(np.uint32)
    expected = order[np.argsort(x[order], kind="stable")]
    words, spare = np.empty((2, 700), np.uint64)
    top = bits.dtype.type(1 << (8 * x.itemsize - 1))
    orders.order_by_value(bits, top, order, words, spare, np.empty(COUNTS, np.uint32))
    np.testing.assert_array_equal(order, expected)


def test_kernels_draw_the_keys_of_a_stream():
    stream = RandomSource(5, np.zeros(1)).stream()
    words = stream.first, stream.second
    index = np.r_[0:1000, 2**32 - 3 : 2**32 + 3, 2**40]
    assert [orders.random_key(k, words) for k in index] == stream._keys_at(index).tolist()


# Two-level sets

SHAPES = [(1, 1), (1, 5), (2, 1), (2, 2), (15, 16), (16, 5), (17, 64), (2, 600), (5, 513)]
SHAPES += [(127, 16), (129, 5), (511, 2), (512, 1), (513, 16), (700, 5)]


@dtypes
@contents
def test_two_level_projection_has_the_generic_bits(content, dtype):
    for n_rows, n_columns in SHAPES:
        for level in (
            0.9999,
            0.6,
        ):  # no bound is zero: there the sign of a clip may be that of either
            target = TwoLevel(n_columns, level)
            x = values(content, dtype, n_rows * n_columns, seed=n_rows)
            lower, upper = target.bounds(x, np)
            fast, generic = both(lambda x=x, ends=(lower, upper): project(x, *ends))
            assert_is_projection(fast, generic, x, lower, upper, (n_rows, n_columns, level))
            assert target.contains(fast.point)


@dtypes
@pytest.mark.parametrize(("n_rows", "n_columns"), [(700, 513), (129, 600)])
def test_large_matrices_have_the_generic_bits(n_rows, n_columns, dtype):
    target = TwoLevel(n_columns)
    for content in ("random", "tied"):
        x = values(content, dtype, n_rows * n_columns)
        fast, generic = both(lambda x=x: project(x, *target.bounds(x, np)))
        assert_is_projection(fast, generic, x, *target.bounds(x, np))


@dtypes
@contents
@pytest.mark.parametrize("group", [1, 2**9, 2**18])
def test_batches_have_the_generic_bits_in_groups_of_any_size(content, dtype, group, monkeypatch):
    """Ties are broken by the number of the matrix in the batch, not in its group."""
    monkeypatch.setattr(doubly_sorted, "_GROUP", group)
    x = values(content, dtype, 2, 3, 20 * 12)
    lower, upper = TwoLevel(12, 0.9).bounds(x, np)
    fast, generic = both(lambda: project(x, lower, upper))
    assert fast.point.shape == x.shape
    assert fast.distance.shape == (2, 3)
    assert_is_projection(fast, generic, x, lower, upper)


def test_an_input_in_the_set_keeps_its_bits():
    x = np.random.default_rng(3).standard_normal(64 * 16).astype(np.float32)
    found = project(x, *TwoLevel(16).bounds(x, np))
    assert_same_bits(found.point, x)
    assert found.distance == found.lower_bound == 0


def count_repairs(monkeypatch):
    """A list that grows by one for each matrix whose ranks are changed."""
    repaired, repair = [], doubly_sorted._repair
    monkeypatch.setattr(
        doubly_sorted, "_repair", lambda work, v: (repaired.append(v), repair(work, v))
    )
    return repaired


def poison(monkeypatch):
    """Fill new arrays of a projection with what would show: nobody may read it."""
    make_work = doubly_sorted.make_work

    def make_poisoned(*arguments):
        work = make_work(*arguments)
        for name in ("ranked", "point", "sums"):
            array = getattr(work, name)
            array[...] = np.finfo(array.dtype).max
        for name in ("tied_rows", "tied_columns", "stuck"):
            getattr(work, name)[...] = 255
        return work

    monkeypatch.setattr(doubly_sorted, "make_work", make_poisoned)


@dtypes
@pytest.mark.parametrize("passes", [0, 1, 64])
@pytest.mark.parametrize("shape", [(3, 4), (5, 2), (16, 4), (20, 8), (250, 3), (3, 513)])
def test_stuck_rows_are_repaired_as_on_the_generic_path(shape, passes, dtype, monkeypatch):
    """At tight levels most inputs have contradictory ranks; with no passes, the last resort."""
    repaired = count_repairs(monkeypatch)
    poison(monkeypatch)
    for module in (two_level, doubly_sorted):
        monkeypatch.setattr(module, "MAX_PASSES", passes)
    size, batch = math.prod(shape), 40 if math.prod(shape) < 200 else 3
    for content, level in itertools.product(("random", "tied", "heavy", "steps"), (0.05, 0.6)):
        target = TwoLevel(shape[1], level)
        x = values(content, dtype, batch, size, seed=size)
        fast, generic = both(lambda x=x, t=target: project(x, *t.bounds(x, np)))
        assert_is_projection(fast, generic, x, *target.bounds(x, np), (content, level))
        assert target.contains(fast.point, axis=1).all()
    assert repaired


@dtypes
def test_random_bounds_have_the_generic_bits(dtype, monkeypatch):
    """Bounds that no law has: wide here, narrow there, far from the input."""
    repaired = count_repairs(monkeypatch)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(1, 24, 2))
        lower, upper = random_bounds(rng, shape, dtype)
        content = list(CONTENTS)[seed % len(CONTENTS)]
        x = values(content, dtype, 3, math.prod(shape), seed=seed)
        fast, generic = both(lambda x=x, e=(lower, upper), s=seed: project(x, *e, seed=s))
        assert_is_projection(fast, generic, x, lower, upper, (seed, content))
    assert len(repaired) > 20


# Tiles


@dtypes
@contents
@pytest.mark.parametrize("statistics", [("mean", "energy"), ("mean",), ("energy",)], ids="+".join)
def test_tiles_have_the_generic_bits(statistics, content, dtype):
    for b, tiles in ((2, 16), (2, 1040), (3, 32), (4, 48), (16, 16), (64, 80), (1000, 16)):
        target = Tiles(b, 16, statistics, 0.9)
        x = values(content, dtype, 2, tiles * b, seed=b)
        x[0, : 2 * b] = -0.4  # two constant tiles among others
        x[1, -b:] = 0
        fast, generic = both(lambda x=x, t=target: nearest_in(t, x))
        assert_same_bits(fast.point, generic.point, b)
        np.testing.assert_allclose(fast.distance, generic.distance, rtol=1e-6)
        if content not in ("huge", "scales"):  # membership is up to roundings of the input
            assert target.contains(fast.point, axis=1).all()
        if "energy" in statistics:
            moved = fast.point.reshape(2, tiles, b)
            assert np.ptp(moved[0, :2], axis=-1).all()
            assert np.ptp(moved[1, -1])


# Isometries

LENGTHS = (*range(1, 21), 256, 300, 4096, 8192, 65536, 131072)


@dtypes
@pytest.mark.parametrize("length", LENGTHS)
def test_butterflies_have_the_generic_bits(length, dtype):
    for repeats in {0, 1, 2, round(math.log2(length))}:
        for tile in {None, 1, 3, 256, length, length + 1}:
            q = isometries.Butterfly(repeats, tile)
            for content in ("random", "zeros") if length < 5000 else ("random",):
                x = values(content, dtype, 2 if length < 5000 else 1, length)
                for transform in (q.forward, q.adjoint):
                    assert_same_bits(*both(lambda x=x, f=transform: f(x)), (repeats, tile))


@dtypes
@pytest.mark.parametrize("power", [0, 1, 2, 5, 8, 12, 13])
def test_the_full_butterfly_is_the_hadamard_matrix(power, dtype):
    size = 2**power
    x = values("random", dtype, 2, size)
    expected = x.astype(float) @ (hadamard(size) / math.sqrt(size))
    q = isometries.Butterfly(power)
    close = 8 * np.finfo(dtype).eps * np.abs(expected).max()
    np.testing.assert_allclose(q.forward(x), expected, rtol=0, atol=close)
    np.testing.assert_allclose(q.adjoint(x), expected, rtol=0, atol=close)


@dtypes
@pytest.mark.parametrize("content", ["random", "zeros", "huge", "scales"])
def test_fourier_transforms_have_the_generic_bits(content, dtype):
    q = isometries.RealFourier()
    for length in (*range(1, 21), 300, 1021, 4096, 30030, 65536):
        x = values(content, dtype, 2, length) / dtype(length)  # so that no sum overflows
        assert_same_bits(*both(lambda x=x: q.forward(x)), length)
        assert_same_bits(*both(lambda x=x: q.adjoint(x)), length)


@pytest.mark.parametrize("sign", [1, -1])
def test_fourier_adjoint_of_zeros_has_the_generic_bits(sign):
    for length in range(1, 12):
        y = np.full(length, sign * 0.0)
        assert_same_bits(*both(lambda y=y: isometries.RealFourier().adjoint(y)), length)


@dtypes
def test_cosine_transforms_are_within_roundings_of_the_norm(dtype):
    """In units of eps times the norm of the vector: 2 for the kernel, 3 generically."""
    for length in (*range(1, 21), 64, 300, 1021, 4096):
        x = values("random", dtype, 2, length)
        q = isometries.Cosine((length,))
        for transform, exact in ((q.forward, fft.dct), (q.adjoint, fft.idct)):
            expected = exact(x.astype(np.longdouble), type=2, norm="ortho")
            unit = np.finfo(dtype).eps * np.linalg.norm(expected, axis=-1, keepdims=True)
            for y, most in zip(both(lambda f=transform, x=x: f(x)), (2, 3), strict=True):
                assert np.max(np.abs(y - expected) / unit) < most, length


# The operator


def picture(shape, dtype, seed=0):
    """A ramp with flat parts, far from noise: ties, constant tiles, and moves in every stage."""
    x = np.linspace(-3, 3, math.prod(shape)) + 0.1 * np.random.default_rng(seed).standard_normal()
    return np.where(np.abs(x) < 1, 0.0, x).astype(dtype).reshape(shape)


@dtypes
@pytest.mark.parametrize("preset", ["paper", "default-1"])
@pytest.mark.parametrize("shape", [(16, 64, 64), (3, 5, 7), (10, 13), (1,), (4, 8, 8)])
def test_the_operator_has_the_generic_bits(shape, preset, dtype):
    noise = values("random", dtype, *shape)
    large = math.prod(shape) > 10_000
    for x in (noise,) if large else (noise, picture(shape, dtype), 0 * noise):
        for refine in (0,) if large else (0, 2):
            operator = wn.Whitener(shape, preset=preset, refine=refine)
            before = x.copy()
            assert_same_bits(*both(lambda x=x, w=operator: w(x, rng=7)))
            assert_same_bits(x, before)


@dtypes
def test_the_operator_on_a_batch_has_the_generic_bits(dtype):
    x = np.stack(
        [
            values("random", dtype, 4, 8, 8),
            picture((4, 8, 8), dtype),
            *2 * [0 * picture((4, 8, 8), dtype)],
        ]
    )
    operator = wn.Whitener((4, 8, 8), preset="default-1", refine=2)
    assert_same_bits(*both(lambda: operator(x, rng=7)))


@pytest.mark.parametrize("exchanges", [0, 20])
def test_exchanges_begin_where_the_kernel_ends(exchanges):
    for seed in range(20):
        x = values("heavy", np.float64, 60, seed=seed)
        fast, generic = both(
            lambda x=x: wn.project_2os(x, 5, confidence_level=0.3, rng=1, exchanges=exchanges)
        )
        assert_same_bits(fast, generic)


# Other arrays


@dtypes
@contents
@pytest.mark.parametrize(
    "target", [TwoLevel(16, 0.9), Tiles(4, 8, confidence_level=0.9)], ids=["two-level", "tiles"]
)
def test_projected_torch_tensors_have_the_generic_bits(target, content, dtype):
    x = torch.from_numpy(values(content, dtype, 3, 512))
    fast, generic = both(lambda: nearest_in(target, x))
    assert fast.point.dtype == x.dtype
    assert fast.distance.dtype == generic.distance.dtype == torch.float64
    assert_same_bits(fast.point, generic.point)


@dtypes
@contents
def test_mixed_torch_tensors_have_the_generic_bits(content, dtype):
    x = torch.from_numpy(values(content, dtype, 3, 512))
    for q in (isometries.Butterfly(9), isometries.Butterfly(2, 100)):
        assert_same_bits(*both(lambda q=q: q.forward(x)))
        assert_same_bits(*both(lambda q=q: q.adjoint(x)))


@dtypes
def test_torch_tensors_have_the_bits_of_numpy_arrays(dtype):
    """Fourier transforms included, which on the generic path are Torch's own."""
    x = values("random", dtype, 4, 16, 16)
    operator = wn.Whitener((4, 16, 16), preset="paper")
    assert_same_bits(operator(torch.from_numpy(x), rng=3), operator(x, rng=3))
    q = isometries.RealFourier()
    fast, generic = both(lambda: q.forward(torch.from_numpy(x.reshape(1, -1))))
    unit = np.finfo(dtype).eps * np.linalg.norm(x)
    assert float(abs(fast - generic).max()) < unit


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, ::2],
        lambda x: x.t().contiguous().t()[:, :96],
        lambda x: x[:1, :96].expand(4, 96),
        lambda x: torch.nn.Parameter(x[:, :96], requires_grad=False),
        lambda x: torch.complex(x, x).conj().imag[:, :96],
    ],
    ids=["strided", "transposed", "expanded", "parameter", "negated"],
)
def test_torch_tensors_of_any_layout(make):
    x = make(torch.from_numpy(values("tied", np.float32, 4, 192)))
    before = torch.from_numpy(np.array(x.tolist(), np.float32))  # nothing but the values
    for call in (
        lambda x: wn.project_2os(x, 16, axis=1, rng=0),
        lambda x: wn.project_tiles(x, 4, axis=1, rng=0),
        lambda x: isometries.Butterfly(2, 40).forward(x),
    ):
        fast, generic = both(lambda call=call: call(x))
        assert_same_bits(fast, generic)
        assert_same_bits(fast, call(before))
    assert_same_bits(isometries.RealFourier().adjoint(x), isometries.RealFourier().adjoint(before))
    assert torch.equal(x, before)


def test_gradients_take_the_generic_path():
    x = torch.from_numpy(values("random", np.float64, 96)).requires_grad_()
    assert wn.kernel_path(x) == "generic"
    y = wn.project_2os(x, 16, rng=0)
    y.sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert wn.kernel_path(x) == "numba_cpu"
        assert_same_bits(wn.project_2os(x, 16, rng=0), y.detach())
    assert wn.kernel_path(x.detach()) == "numba_cpu"


def read_only(x, path):
    x = x.copy()
    x.flags.writeable = False
    return x


def mapped(mode):
    def make(x, path):
        np.save(path, x)
        return np.load(path, mmap_mode=mode)

    return make


@dtypes
@pytest.mark.parametrize(
    "make",
    [
        read_only,
        mapped("r"),
        mapped("r+"),
        lambda x, path: np.asfortranarray(x),
        lambda x, path: np.repeat(x, 3, axis=1)[:, ::3],
        lambda x, path: x[:, ::-1].copy()[:, ::-1],
        lambda x, path: (
            np.frombuffer(b"0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
        ),
    ],
    ids=["read-only", "mapped", "mapped writable", "columns", "strided", "reversed", "unaligned"],
)
def test_numpy_arrays_of_any_layout_are_read_and_left_alone(make, dtype, tmp_path):
    x = values("tied", dtype, 4, 96)
    same = make(x, tmp_path / "x.npy")
    for call in (
        lambda x: wn.project_2os(x, 16, axis=1, rng=0),
        lambda x: wn.project_tiles(x, 4, axis=1, rng=0),
        lambda x: isometries.Butterfly(2, 40).forward(x),
        lambda x: isometries.RealFourier().adjoint(x),
        lambda x: wn.whiten(x, rng=0),
    ):
        assert_same_bits(call(same), call(x))
        assert_same_bits(same, x)


@pytest.mark.parametrize(
    "x",
    [
        np.ones(1, np.float16),
        torch.ones(1, dtype=torch.float16),
        torch.ones(1, dtype=torch.bfloat16),
    ],
    ids=lambda x: f"{type(x).__name__} {x.dtype}",
)
def test_kernels_compile_for_the_working_dtype(x):
    """Half precision works in float32, and so must compiling for it."""
    wn.compile_kernels(x)
    assert_same_bits(
        *(
            y.float() if isinstance(y, torch.Tensor) else y
            for y in both(lambda: wn.project_1os(x, rng=0))
        )
    )
