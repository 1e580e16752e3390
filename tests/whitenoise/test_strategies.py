"""Hypothesis strategies: typical arrays pass, atypical ones do not, failures read well."""

import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import find, given, settings

import whitenoise
from whitenoise.testing import KINDS, atypical_array, typical_array
from whitenoise.testing.strategies import atypical_arrays, typical_arrays

SHAPES = [(1024,), (1031,), (32, 32), (4, 16, 16), (4, 1, 512), (64, 64)]
DTYPES = ["float64", "float32", "float16", ml_dtypes.bfloat16]


class TestTypical:
    @given(typical_arrays((8, 40)))
    def test_they_pass(self, x):
        assert x.shape == (8, 40)
        assert x.dtype == np.float64
        assert whitenoise.typicality(x).pvalue > 1e-6

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_they_are_rounded_to_the_dtype(self, dtype):
        x = typical_array((3, 4), seed=5, dtype=dtype)
        assert x.dtype == dtype
        exact = np.random.default_rng(5).standard_normal((3, 4))
        np.testing.assert_array_equal(x, exact.astype(dtype))

    def test_they_shrink_to_seed_zero(self):
        x = find(typical_arrays(7), lambda x: True)
        np.testing.assert_array_equal(x, typical_array(7, seed=0))


class TestAtypical:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_is_rejected(self, kind, shape):
        """Whatever the dtype, at a false alarm of 1e-6."""
        for seed, dtype in enumerate(DTYPES):
            x = atypical_array(kind, shape, seed=seed, dtype=dtype)
            assert x.shape == shape
            assert x.dtype == dtype
            assert whitenoise.typicality(x).pvalue < 1e-6, dtype

    @given(atypical_arrays((32, 32)))
    @settings(max_examples=50)
    def test_every_example_is_rejected(self, x):
        assert whitenoise.typicality(x).pvalue < 1e-6

    def test_they_shrink_to_the_first_kind_and_seed_zero(self):
        x = find(atypical_arrays(1024), lambda x: True)
        np.testing.assert_array_equal(x, atypical_array(next(iter(KINDS)), 1024, seed=0))
        x = find(atypical_arrays(1024, kinds=["sine", "sorted"]), lambda x: True)
        np.testing.assert_array_equal(x, atypical_array("sine", 1024, seed=0))


class TestExamplesRead:
    @pytest.mark.parametrize(
        ("strategy", "call"),
        [
            (
                atypical_arrays((32, 32), kinds=["sorted"]),
                "atypical_array('sorted', (32, 32), seed=0, dtype='float64')",
            ),
            (typical_arrays(30, "float32"), "typical_array(30, seed=0, dtype='float32')"),
        ],
    )
    def test_the_failing_example_can_be_pasted(self, strategy, call):
        @given(strategy)
        @settings(database=None)
        def fails(x):
            raise AssertionError(x)

        with pytest.raises(AssertionError) as caught:
            fails()
        (note,) = (n for n in caught.value.__notes__ if "x=" in n)
        written = re.sub(r"\s+", " ", re.search(r"x=(.*\))", note, re.S).group(1))
        assert written.replace("( ", "(").replace(", )", ")").startswith(call)
        (x,) = caught.value.args
        np.testing.assert_array_equal(
            eval(call, {"typical_array": typical_array, "atypical_array": atypical_array}), x
        )


class TestBadArguments:
    @pytest.mark.parametrize(
        ("call", "kind", "message"),
        [
            (lambda: atypical_arrays(1024, kinds=["odd"]), ValueError, "kind must be one of .*odd"),
            (lambda: atypical_arrays(1024, kinds=[]), ValueError, "kinds must name at least one"),
            (lambda: atypical_arrays((31, 33)), ValueError, "at least 1024 values, got .31, 33."),
            (lambda: typical_arrays((3, 0)), ValueError, "shape must be at least 1, got 0"),
            (lambda: typical_arrays((3, 1.5)), TypeError, "shape must be an integer, got 1.5"),
            (lambda: typical_arrays(3, "int64"), TypeError, "dtype must be one of .* got int64"),
        ],
    )
    def test_they_show_when_the_strategy_is_made(self, call, kind, message):
        with pytest.raises(kind, match=message):
            call()
