"""Hypothesis strategies for arrays that are white Gaussian noise, and for arrays that are not.

Needs Hypothesis. An array is a function of a small seed, so a failing example is one short line
that can be pasted: ``x=atypical_array('sine', (64, 64), seed=3, dtype='float64')``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from .kinds import KINDS, Shape, atypical_array, typical_array

__all__ = ["atypical_arrays", "typical_arrays"]

_SEEDS = st.integers(0, 2**32 - 1)


def typical_arrays(
    shape: Shape, dtype: DTypeLike = "float64"
) -> st.SearchStrategy[NDArray[np.floating]]:
    """White Gaussian noise, shrinking towards seed 0.

    Parameters
    ----------
    shape
        Shape of the arrays.
    dtype
        Dtype to which the values are rounded.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(derandomize=True, database=None)
    ... @given(typical_arrays((4, 4), "float32"))
    ... def test(x):
    ...     assert x.shape == (4, 4)
    >>> test()
    """
    typical_array(shape, seed=0, dtype=dtype)  # bad arguments show here, not in the first example
    return st.builds(typical_array, st.just(shape), seed=_SEEDS, dtype=st.just(dtype))


def atypical_arrays(
    shape: Shape, dtype: DTypeLike = "float64", *, kinds: Sequence[str] = tuple(KINDS)
) -> st.SearchStrategy[NDArray[np.floating]]:
    """Arrays that a check of typicality must reject, shrinking towards the first kind and seed 0.

    Parameters
    ----------
    shape
        Shape of the arrays, of at least 1024 values.
    dtype
        Dtype to which the values are rounded.
    kinds
        Kinds of structure to choose from, by default all of `whitenoise.testing.KINDS`.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(derandomize=True, database=None)
    ... @given(atypical_arrays(1024, kinds=["sorted", "sine"]))
    ... def test(x):
    ...     assert x.shape == (1024,)
    >>> test()
    """
    if not kinds:
        raise ValueError("kinds must name at least one kind, got none")
    for kind in kinds:
        atypical_array(kind, shape, seed=0, dtype=dtype)
    return st.builds(
        atypical_array, st.sampled_from(kinds), st.just(shape), seed=_SEEDS, dtype=st.just(dtype)
    )
