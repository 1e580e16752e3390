"""The Triton kernels against the generic path, on a GPU or in Triton's interpreter, and compiled.

Triton decides when it is imported whether to compile or to interpret, so the kernels run in
processes of their own: this file, as a script, is what they run.
"""

import importlib
import importlib.util
import math
import os
import pickle
import subprocess
import sys
import traceback

import numpy as np
import pytest
import torch

import whitenoise as wn
from whitenoise import two_level as generic
from whitenoise._namespace import array_namespace
from whitenoise._random import RandomSource, Stream
from whitenoise.isometries import Butterfly, RealFourier
from whitenoise.nearest import _tile_fields
from whitenoise.sets import Tiles, TwoLevel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PASSES = 5  # before the last resort, which 64 would take the interpreter too long to reach


class Process:
    """This file in another process; calls of its functions go through pipes."""

    def __init__(self, mode, **environment):
        self._process = subprocess.Popen(
            [sys.executable, __file__, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        )

    def __call__(self, function, *args, **kwargs):
        pickle.dump((function.__name__, args, kwargs), self._process.stdin)
        self._process.stdin.flush()
        failure, result = pickle.load(self._process.stdout)
        assert not failure, failure
        return result

    def close(self):
        self._process.communicate()


def serve(mode):
    """Answer calls until the pipe is closed; whatever prints does not print into it."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    generic.MAX_PASSES = PASSES
    {"run": prepare_to_run, "compile": prepare_to_compile}[mode]()
    while True:
        try:
            name, args, kwargs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = None, globals()[name](*args, **kwargs)
        except Exception:
            answer = traceback.format_exc(), None
        pickle.dump(answer, answers)
        answers.flush()


def skip_without_triton():
    if importlib.util.find_spec("triton") is None:  # not imported: that would settle it for all
        pytest.skip("the kernels need triton")


@pytest.fixture(scope="module")
def run():
    skip_without_triton()
    process = Process("run", **({} if DEVICE == "cuda" else {"TRITON_INTERPRET": "1"}))
    yield process
    process.close()


# In the process that runs the kernels.

LOG = []  # kernels and Torch operations, in order


def prepare_to_run():
    from torch.utils._python_dispatch import _disable_current_modes
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    for kind in (InterpretedFunction, JITFunction):

        def logged(self, *args, original=kind.run, **kwargs):
            LOG.append(self.fn.__name__)
            with _disable_current_modes():
                return original(self, *args, **kwargs)

        kind.run = logged
    if DEVICE == "cpu":
        vectorise_the_interpreter()


def vectorise_the_interpreter():
    """Whole slices where the interpreter goes entry by entry."""
    import triton.language as tl
    from triton.runtime import interpreter

    def reduce(self, inputs):
        (x,), axis = self.unravel(inputs, self.axis)
        assert self.combine_fn == tl.standard._xor_combine
        found = np.bitwise_xor.reduce(x.handle.data, axis=axis, keepdims=self.keep_dims)
        return [self.to_tensor(found, x.dtype)]

    def scan(self, inputs):
        (x,) = inputs
        found = np.array(np.moveaxis(x.handle.data, self.axis, 0))
        for k in range(1, len(found)):
            pair = (self.to_tensor(part, x.dtype) for part in found[k - 1 : k + 1])
            found[k] = self.combine_fn.fn(*pair).handle.data
        return [self.to_tensor(np.moveaxis(found, 0, self.axis), x.dtype)]

    interpreter.ReduceOps.generic_reduce = reduce
    interpreter.ScanOps.generic_scan = scan


class TorchOperations(torch.utils._python_dispatch.TorchDispatchMode):
    """Logs what Torch does, other than to allocate and to look at arrays in another shape."""

    SILENT = (
        *("empty", "new_empty", "empty_like"),
        *("alias", "view", "view_as_real", "view_as_complex", "unsafe_view"),
        *("slice", "permute", "transpose", "t", "detach"),
    )

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).split(".")[1].removeprefix("_")
        if name not in self.SILENT:
            LOG.append(name)
        return function(*args, **(kwargs or {}))


def call(operation, x, *args, **kwargs):
    """Result of a kernel of the package."""
    kernels = importlib.import_module("whitenoise._kernels.triton_cuda")
    assert kernels.is_ready(operation, x)
    LOG.clear()
    with TorchOperations():
        return getattr(kernels, operation)(x, *args, **kwargs)


def as_numpy(x):
    return x.cpu().numpy() if isinstance(x, torch.Tensor) else x


def two_level(x, chunk_size, level, limits, words_on_device=False):
    """The kernels and the generic path, and how often the latter assigned ranks."""
    module = importlib.import_module("whitenoise._kernels.triton_cuda.two_level")
    kept = {name: getattr(module, name) for name in limits}
    vars(module).update(limits)
    module._highest.cache_clear()
    lower, upper = TwoLevel(chunk_size, level).bounds(x, array_namespace(x))
    tensor = torch.as_tensor(x, device=DEVICE)
    ends = (torch.as_tensor(end, device=DEVICE) for end in (lower, upper))
    source = RandomSource(0, tensor)
    ties = source.stream(), source.stream()
    if words_on_device:
        on_device = [[torch.tensor(w, device=DEVICE) for w in (t.first, t.second)] for t in ties]
        ties = [Stream(*pair, tensor) for pair in on_device]
    try:
        found = call("two_level", tensor, *ends, *ties)
    finally:
        vars(module).update(kept)
    ranked = []
    assign = generic._assign
    generic._assign = lambda *args: ranked.append(1) or assign(*args)
    with wn.generic_path():
        expected = generic.nearest_doubly_sorted(
            x, lower, upper, array_namespace(x), RandomSource(0, x), exchanges=0
        )
    generic._assign = assign
    return [as_numpy(f) for f in found], list(expected), len(ranked), LOG


def tiles(x, tile_size, statistics):
    """Fields and moved tiles, by the kernels and by the generic path."""
    tensor = torch.as_tensor(x, device=DEVICE)
    fields = call("tile_fields", tensor, tile_size)
    log = list(LOG)

    def typical(z, radius):
        return (
            z.clip(-0.5, 0.5) if "mean" in statistics else z,
            radius.clip(0.5, 2) if "energy" in statistics else radius,
        )

    moved = call(
        "move_tiles", tensor, tile_size, fields, typical(*fields), RandomSource(0, tensor).stream()
    )
    target = Tiles(tile_size, statistics=statistics)
    with wn.generic_path():
        expected, move = _tile_fields(target, x, array_namespace(x), RandomSource(0, x).stream())
        z, radius = expected["mean"], expected["energy"]
        new_z, new_radius = typical(z, radius)
        result = move({"mean": new_z, "energy": new_radius})
    return [as_numpy(f) for f in (*fields, moved)], [z, radius, result], log + LOG


def isometry(name, parameters, x, adjoint):
    """An isometry by the kernels and by the generic path."""
    q = {"butterfly": Butterfly, "real_fourier": RealFourier}[name](*parameters)
    found = call(name, torch.as_tensor(x, device=DEVICE), *parameters, adjoint=adjoint)
    with wn.generic_path():
        expected = (q.apply_adjoint if adjoint else q.apply)(x, array_namespace(x))
    return as_numpy(found), expected, LOG


# The tests.


def vectors(size, dtype=np.float32):
    """A batch of vectors that are hard in different ways."""
    rng = np.random.default_rng(size)
    x = rng.standard_normal((9, size))
    rows = [
        x[0],
        np.round(2 * x[1]),
        np.full(size, 0.1),
        np.where(x[2] > 0, 0.0, -0.0),
        np.finfo(dtype).max / 4 * x[3].clip(-3, 3),
        np.finfo(dtype).tiny * x[4],
        np.where(rng.random(size) < 0.5, 0, 3 * x[5]),
        x[6] * rng.choice([0.1, 1, 10], size),
        x[7] + 1e6,
    ]
    return np.stack(rows).astype(dtype)


def bits(x):
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


def ulps(found, expected):
    """Largest difference in roundings of the largest entry."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    spacing = np.finfo(found.dtype).eps * np.abs(expected).max(initial=np.finfo(found.dtype).tiny)
    return float((np.abs(found - expected) / spacing).max())


ONE = {}
FOUR = {"_ONE_LAUNCH": 0, "_BLOCK": 8, "_CHUNK": 4}
SORT = FOUR | {"_HIGHEST": 2}
KERNELS = {
    "one": ["_small_matrix"],
    "four": ["_sort_rows", "_rank_columns", "_clip_rows", "_settle"],
    "sort": ["_sort_rows_to_keys", "sort", "_invert", "_clip_rows", "_settle"],
}
SCHEMES = [pytest.param(s, n, id=n) for s, n in ((ONE, "one"), (FOUR, "four"), (SORT, "sort"))]


@pytest.mark.parametrize(("limits", "scheme"), SCHEMES)
@pytest.mark.parametrize(("shape", "level"), [((12, 4), 0.9999), ((7, 5), 0.9), ((17, 1), 0.5)])
def test_two_level_has_the_bits_of_the_generic_path(run, shape, level, limits, scheme):
    """One number of launches, and nothing else runs: nobody waits for the device."""
    found, expected, _, log = run(two_level, vectors(math.prod(shape)), shape[1], level, limits)
    np.testing.assert_array_equal(bits(found[0]), bits(expected[0]))
    for norm, reference in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(norm, reference, rtol=1e-6)
    assert log == KERNELS[scheme]


def hard_to_rank():
    """Matrices of 6 rows of 3, found by search: of those tried, they need the rarest repairs.

    The first comes to the last resort, with rows of equal mean; the others are ranked anew four and
    five times, and every rule of the repair shows in one of them.
    """
    rows = []
    for seed in (24, 806, 867):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(18)
        rows.append(np.round(2 * x) if seed == 24 else x * rng.choice([0.1, 1, 10], 18))
    return np.stack(rows).astype(np.float32)


@pytest.mark.parametrize(("limits", "scheme"), SCHEMES)
def test_ranks_are_repaired_as_on_the_generic_path(run, limits, scheme):
    """In as many launches as if there were nothing to repair."""
    found, expected, ranked, log = run(two_level, hard_to_rank(), 3, 0.3, limits)
    np.testing.assert_array_equal(bits(found[0]), bits(expected[0]))
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)
    assert ranked == PASSES + 2
    assert log == KERNELS[scheme]


@pytest.mark.parametrize("shape", [(1,), (2, 3, 1), (40,)])
def test_batches_of_any_shape_and_one_row(run, shape):
    x = vectors(shape[-1])[0] * np.ones(shape, np.float32)
    found, expected, _, _ = run(two_level, x, shape[-1], 0.9, ONE)
    for part, reference in zip(found, expected, strict=True):
        assert part.shape == reference.shape
    np.testing.assert_array_equal(bits(found[0]), bits(expected[0]))


def test_infinite_values_are_clipped(run):
    """The mean of a huge tile overflows when it is scaled."""
    x = vectors(20)
    x[0, :3], x[1, 4] = np.inf, -np.inf
    found, expected, _, _ = run(two_level, x, 4, 0.9, ONE)
    np.testing.assert_array_equal(bits(found[0]), bits(expected[0]))
    np.testing.assert_array_equal(np.isinf(found[1]), np.isinf(expected[1]))


@pytest.mark.parametrize("limits", [ONE, SORT], ids=["one", "sort"])
def test_ties_follow_a_seed_on_the_device(run, limits):
    found, expected, _, log = run(two_level, vectors(20), 4, 0.9, limits, words_on_device=True)
    np.testing.assert_array_equal(bits(found[0]), bits(expected[0]))
    assert log in KERNELS.values()


def test_default_block_sizes(run):
    """More rows than a program holds, and several columns to a program."""
    rng = np.random.default_rng(3)
    x = np.round(50 * rng.standard_normal(1100 * 5)).astype(np.float32) / 20
    found, expected, _, log = run(two_level, x, 5, 0.99, ONE)
    np.testing.assert_array_equal(bits(found[0]), bits(expected[0]))
    assert log == KERNELS["four"]


def test_float64_and_wide_chunks_run_the_generic_code(run):
    for x, limits in ((vectors(20, np.float64), ONE), (vectors(20), {"_WIDEST": 4})):
        found, expected, _, log = run(two_level, x, 5, 0.9, limits)
        np.testing.assert_array_equal(bits(found[0]), bits(expected[0]))
        assert not any("rows" in name or "matrix" in name for name in log)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("statistics", [("mean", "energy"), ("mean",), ("energy",)])
@pytest.mark.parametrize("tile_size", [2, 8, 64])
def test_tiles_have_the_bits_of_the_generic_path(run, tile_size, statistics, dtype):
    x = vectors(192, dtype)
    found, expected, log = run(tiles, x, tile_size, statistics)
    for part, reference in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(bits(part), bits(reference))
    constant = np.repeat(expected[1] == 0, tile_size, axis=-1)  # have random directions
    assert constant.any()
    np.testing.assert_array_equal(bits(found[2])[~constant], bits(expected[2])[~constant])
    np.testing.assert_allclose(found[2][constant], expected[2][constant], atol=2e-5)
    assert log == ["_measure", "_move"]


def test_other_tiles_take_a_fixed_number_of_operations(run):
    """As many for constant tiles as for others; square roots of Torch may differ in a rounding."""
    logs = []
    for x in vectors(60)[[0, 2]]:
        found, expected, log = run(tiles, x, 6, ("mean", "energy"))
        for part, reference in zip(found, expected, strict=True):
            assert ulps(part, reference) <= 4
        logs.append(log)
    assert logs[0] == logs[1]
    assert not any("local_scalar" in name or "nonzero" in name for name in logs[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize(
    ("shape", "parameters", "kernels"),
    [
        ((3, 64), (6, None), 1),
        ((2, 96), (3, None), 1),
        ((96,), (7, None), 2),
        ((2, 2, 4096), (12, None), 2),
        ((3, 512), (5, 32), 1),
        ((2, 20), (2, 8), 2),
        ((7,), (2, None), 0),
        ((8,), (0, None), 0),
    ],
)
def test_butterflies_have_the_bits_of_the_generic_path(
    run, shape, parameters, kernels, adjoint, dtype
):
    x = np.random.default_rng(5).standard_normal(shape).astype(dtype)
    found, expected, log = run(isometry, "butterfly", parameters, x, adjoint)
    np.testing.assert_array_equal(bits(found), bits(expected))
    assert log.count("_transform") == kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("shape", [(1,), (2,), (2, 3, 9), (4, 1100), (997,)])
def test_fourier_within_roundings_of_the_generic_path(run, shape, adjoint, dtype):
    x = np.random.default_rng(6).standard_normal(shape).astype(dtype)
    found, expected, log = run(isometry, "real_fourier", (), x, adjoint)
    assert ulps(found, expected) <= 8
    assert len([name for name in log if name.startswith("_")]) == 1
    assert [name for name in log if name.startswith("fft")] == ["fft_c2r" if adjoint else "fft_r2c"]


# Compiled for a device that need not be there.


def prepare_to_compile():
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.jit import JITFunction

    class Driver:
        """As much of a driver as compiling asks for."""

        def get_current_device(self):
            return 0

        def get_current_stream(self, device):
            return 0

        def get_current_target(self):
            return GPUTarget("cuda", ARCHITECTURE, 32)

    def compiled(self, *args, original=JITFunction.run, warmup, **kwargs):
        kernel = original(self, *args, warmup=True, **kwargs)
        LOG.append((self.fn.__name__, kernel.asm["ptx"], kernel.metadata.shared))

    triton.runtime.driver.set_active(Driver())
    JITFunction.run = compiled


ARCHITECTURE = int(os.environ.get("TEST_ARCHITECTURE", "0"))


def compile_all():
    """PTX and shared memory of every kernel, with the arguments that the package passes."""
    kernels = importlib.import_module("whitenoise._kernels.triton_cuda")
    module = importlib.import_module("whitenoise._kernels.triton_cuda.two_level")
    for shape, limits in (((4, 2), {}), ((20, 3), {"_ONE_LAUNCH": 0}), ((20, 3), {"_HIGHEST": 16})):
        vars(module).update(limits)
        module._highest.cache_clear()
        x = torch.zeros(shape[0] * shape[1])
        source = RandomSource(0, x)
        ends = torch.zeros(shape), torch.zeros(shape)
        kernels.two_level(x, *ends, source.stream(), source.stream())
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(3, 64, dtype=dtype)
        fields = kernels.tile_fields(x, 16)
        typical = fields[0] + 1, fields[1]
        kernels.move_tiles(x, 16, fields, typical, RandomSource(0, x).stream())
        for adjoint in (False, True):
            kernels.butterfly(x, 6, None, adjoint=adjoint)
            kernels.real_fourier(x, adjoint=adjoint)
    return LOG


@pytest.mark.parametrize("architecture", ["90", pytest.param("80", marks=pytest.mark.slow)])
def test_kernels_compile_with_the_rounding_of_the_generic_path(architecture, tmp_path):
    """Every float32 operation rounds to nearest, by itself, and keeps denormal numbers."""
    skip_without_triton()
    process = Process(
        "compile",
        TEST_ARCHITECTURE=architecture,
        TRITON_CACHE_DIR=str(tmp_path),
        TRITON_INTERPRET="0",
    )
    log = process(compile_all)
    process.close()
    names = {name for kernels in KERNELS.values() for name in kernels if name != "sort"}
    assert {name for name, _, _ in log} == names | {
        *("_measure", "_move", "_transform", "_pack", "_unpack")
    }
    for name, ptx, shared in log:
        assert f".target sm_{architecture}" in ptx
        for other in ("fma.rn.f32", "div.full.f32", "approx.f32", "ftz.f32"):
            assert other not in ptx, name
        assert shared <= 48 * 1024, name  # what every device has


if __name__ == "__main__":
    serve(sys.argv[1])
