"""Bad input to every public function: an error that names the argument and what was given."""

from functools import partial

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
import torch
from capabilities import CAPABILITIES, SIZE

import whitenoise as wn
from whitenoise import baselines
from whitenoise import isometries as iso

CALLS = [
    pytest.param(call, id=f"{c.name} {'forward' if k == 0 else 'adjoint'}")
    for c in CAPABILITIES
    for k, call in enumerate(c.calls)
] + [
    pytest.param(partial(wn.sets.TwoLevel(16).contains, axis=1), id="contains"),
    pytest.param(partial(wn.sets.Tiles(8).distance_bound, axis=1), id="distance_bound"),
]
FUNCTIONS = {  # those that take both axis and rng
    "project": partial(wn.project, target=wn.sets.OneLevel(0.9)),
    "project_1os": wn.project_1os,
    "project_2os": partial(wn.project_2os, chunk_size=1),
    "project_tiles": partial(wn.project_tiles, tile_size=2),
    "project_sphere": wn.project_sphere,
    "whiten": wn.whiten,
    "wgnc": baselines.wgnc,
    "mpgr_penalty": baselines.mpgr_penalty,
    "pullback": wn.pullback(wn.project_1os, iso.RealFourier()),
}


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((2, SIZE))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(call, value, x):
    x[1, 3] = x[0, 60] = x[1, 7] = value
    for array in (x, x.astype(np.float16), array_api_strict.asarray(x), torch.tensor(x)):
        with pytest.raises(ValueError, match=r"x must be finite, got 3 .* at index \(0, 60\)$"):
            call(array)


def test_the_index_is_that_of_the_caller_whatever_the_axis(x):
    x = x.reshape(2, 4, 16)
    x[1, 2, 5] = np.nan
    for axis in (0, 1, 2, (2, 0), None):
        with pytest.raises(ValueError, match=r"got 1 NaN .* at index \(1, 2, 5\)$"):
            wn.project_1os(x, axis=axis)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "dtype", ["int64", "uint8", "bool", "complex128", "complex64", "object", "longdouble", "U3"]
)
def test_dtypes_that_are_not_real_floating(call, dtype):
    bad = np.ones((2, SIZE)).astype(dtype)
    with pytest.raises(TypeError, match=r"x must have dtype float64, .*, got "):
        call(bad)


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_dtypes_of_other_backends(dtype):
    for ones, kind in ((torch.ones, torch), (array_api_strict.ones, array_api_strict)):
        bad = ones(4, dtype=getattr(kind, "bool" if dtype == "bool" else dtype))
        with pytest.raises(TypeError, match=rf"x must have dtype .*, got .*{dtype}"):
            wn.project_global(bad)


def test_low_precision_of_ml_dtypes_other_than_bfloat16_is_refused():
    with pytest.raises(TypeError, match=r"x must have dtype .*, got float8_e4m3fn"):
        wn.project_global(np.ones(4, ml_dtypes.float8_e4m3fn))


class OfAnotherLibrary:
    """As a JAX or Dask array looks."""

    shape, ndim, dtype = (2, SIZE), 2, np.dtype("float64")

    def __array_namespace__(self, api_version=None):
        return np

    def __array__(self, dtype=None, copy=None):
        return np.ones(self.shape)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ([[1.0] * SIZE] * 2, "builtins.list"),
        (None, "builtins.NoneType"),
        (1.5, "builtins.float"),
        (np.float64(1.5), "numpy.float64"),
        (OfAnotherLibrary(), "OfAnotherLibrary"),
    ],
)
def test_what_is_no_array_of_a_supported_backend(call, bad, kind):
    with pytest.raises(TypeError, match=rf"x must be a NumPy, .* array, got .*{kind}"):
        call(bad)


@pytest.mark.parametrize("call", CALLS)
def test_arrays_with_a_further_meaning(call, x):
    for bad, kind in (
        (np.ma.masked_array(x, x > 1), "MaskedArray"),
        (x.view(np.matrix), "matrix"),
        (x.view(np.recarray), "recarray"),
    ):
        with pytest.raises(TypeError, match=f"x is a {kind}, whose extra meaning would be lost"):
            call(bad)


def test_torch_tensors_without_dense_data():
    for bad in (torch.ones(2, 4).to_sparse(), torch.ones(4, device="meta")):
        with pytest.raises(TypeError, match="x must be a dense torch tensor with data, got layout"):
            wn.project_global(bad)


@pytest.mark.parametrize("call", CALLS)
def test_empty_arrays(call):
    with pytest.raises(ValueError, match=r"x must not be empty, got shape \(0, 64\)"):
        call(np.zeros((0, SIZE)))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("axis", "error", "message"),
    [
        (2, ValueError, "axis must lie in -2..1, got 2"),
        (-3, ValueError, "axis must lie in -2..1, got -3"),
        ((0, 5), ValueError, r"axis must lie in -2..1, got \(0, 5\)"),
        ((0, 0), ValueError, r"axis must name one or more distinct axes, got \(0, 0\)"),
        ((1, -1), ValueError, r"axis must name one or more distinct axes, got \(1, -1\)"),
        ((), ValueError, r"axis must name one or more distinct axes, got \(\)"),
        (1.0, TypeError, "axis must be an integer, got 1.0"),
        ("0", TypeError, "axis must be an integer, got '0'"),
        (True, TypeError, "axis must be an integer, got True"),
        ((0, None), TypeError, "axis must be an integer, got None"),
    ],
)
def test_axes(name, axis, error, message, x):
    with pytest.raises(error, match=message):
        FUNCTIONS[name](x, axis=axis)


@pytest.mark.parametrize("name", [*FUNCTIONS, "Whitener"])
@pytest.mark.parametrize(
    ("rng", "error", "message"),
    [
        (-1, ValueError, "rng must be a seed of at least 0, got -1"),
        (True, TypeError, "rng must be None, .* got builtins.bool True"),
        (1.5, TypeError, "rng must be None, .* got builtins.float 1.5"),
        ("0", TypeError, "rng must be None, .* got builtins.str '0'"),
        (np.random.RandomState(0), TypeError, "rng must be None, .* got numpy.*RandomState"),
        (torch.Generator(), TypeError, r"backend of x \(numpy\), got torch.*Generator"),
    ],
)
def test_generators(name, rng, error, message, x):
    call = wn.Whitener(x.shape) if name == "Whitener" else FUNCTIONS[name]
    with pytest.raises(error, match=message):
        call(x, rng=rng)


def test_a_tensor_is_no_generator(x):
    with pytest.raises(TypeError, match=r"backend of x \(torch\), got torch.Tensor tensor\(3\)"):
        wn.project_1os(torch.tensor(x), rng=torch.tensor(3))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5, float("nan")])
@pytest.mark.parametrize(
    "call",
    [
        wn.project_global,
        wn.project_1os,
        partial(wn.project_2os, chunk_size=16),
        partial(wn.project_tiles, tile_size=8),
        partial(wn.whiten, preset="paper"),
        lambda x, confidence_level: wn.Whitener(
            x.shape, preset="paper", confidence_level=confidence_level
        ),
        lambda x, confidence_level: wn.sets.TwoLevel(16, confidence_level).contains(x),
        lambda x, confidence_level: wn.sets.Tiles(8, 1, ("mean",), confidence_level).contains(x),
        lambda x, confidence_level: wn.order_statistics.one_level_interval(9, confidence_level),
    ],
)
def test_confidence_levels(call, level, x):
    message = f"confidence_level must lie strictly between 0 and 1, got {level}"
    with pytest.raises(ValueError, match=message):
        call(x, confidence_level=level)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(wn.project_2os, chunk_size=256), "chunk_size must be at most the 128 .* got 256"),
        (partial(wn.project_2os, chunk_size=24), "chunk_size=24 does not divide the 128 values"),
        (partial(wn.project_2os, chunk_size=0), "chunk_size must be an integer .* got 0"),
        (partial(wn.project_2os, chunk_size=1.5), "chunk_size must be an integer .* got 1.5"),
        (partial(wn.project_2os, chunk_size=True), "chunk_size must be an integer .* got True"),
        (partial(wn.project_tiles, tile_size=129), "tile_size must be at most the 128 .* got 129"),
        (partial(wn.project_tiles, tile_size=1), "tile_size must be at least 2 .* got 1"),
        (
            partial(wn.project_tiles, tile_size=32, chunk_size=8),
            "chunk_size must be at most the 4 values given, got 8",
        ),
        (
            partial(wn.project_tiles, tile_size=8, statistics=("median",)),
            r"statistics must be .*, got \('median',\)",
        ),
        (
            partial(wn.project_tiles, tile_size=8, statistics=()),
            r"statistics must be .*, got \(\)",
        ),
        (partial(wn.whiten, preset="flux"), "preset must be one of paper, .* got 'flux'"),
        (partial(wn.whiten, preset=None), "preset must be one of paper, .* got None"),
    ],
)
def test_sizes_and_names(call, message, x):
    with pytest.raises(ValueError, match=message):
        call(x)


def test_scalars_have_no_last_axis():
    with pytest.raises(ValueError, match=r"x must have a last axis to transform, got shape \(\)"):
        iso.RealFourier().forward(np.array(1.0))


def test_unknown_sets_have_no_projection(x):
    class Box(wn.sets.ConfidenceSet):
        def check_size(self, size):
            """Any size."""

        def gap(self, vectors, xp):
            return xp.zeros(vectors.shape[:-1])

    with pytest.raises(TypeError, match="no projection is known for Box"):
        wn.project(x, Box())
