"""Hypothesis strategies for arrays that projections find hard."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

SHAPES = ((1,), (2,), (7,), (64,), (3, 5), (4, 8), (2, 3, 4), (16, 16))
"""Shapes of vectors, from one entry to a few hundred."""

KINDS = (
    "gaussian",
    "constant",
    "zero",
    "sparse",
    "tied",
    "huge",
    "tiny",
    "mixed scales",
    "sorted",
    "reversed",
    "sine",
    "blocks",
    "alternating",
    "shifted",
)
"""Kinds of content that `make` knows."""


def make(kind, shape, rng):
    """One float64 array of a kind; "huge" and "tiny" still fit float32 (the latter denormal)."""
    size = int(np.prod(shape))
    gaussian = rng.standard_normal(size)
    flat = {
        "gaussian": gaussian,
        "constant": np.full(size, gaussian[0]),
        "zero": np.zeros(size),
        "sparse": np.where(rng.random(size) < 0.1, 20 * gaussian, 0.0),
        "tied": np.round(gaussian),
        "huge": 1e30 * gaussian,
        "tiny": 1e-40 * gaussian,
        "mixed scales": gaussian * 10.0 ** rng.uniform(-20, 20, size),
        "sorted": np.sort(3 * gaussian),
        "reversed": np.sort(gaussian)[::-1],
        "sine": 2 * np.sin(0.1 * np.arange(size)),
        "blocks": np.repeat(gaussian, 8)[:size],
        "alternating": 5.0 * (-1.0) ** np.arange(size),
        "shifted": gaussian + 7,
    }[kind]
    return flat.reshape(shape)


def tie_free(shape, rng):
    """Distinct entries, so that nothing is left to chance."""
    size = int(np.prod(shape))
    values = 3 * rng.standard_normal(size) + 1e-6 * rng.permutation(size)
    assert np.unique(values).size == size
    return values.reshape(shape)


seeds = st.integers(0, 2**32 - 1)
levels = st.sampled_from((0.5, 0.95, 0.9999))


@st.composite
def arrays(draw, dtypes=(np.float64, np.float32), shapes=SHAPES, kinds=KINDS):
    """Arrays of all kinds, shapes and dtypes."""
    rng = np.random.default_rng(draw(seeds))
    array = make(draw(st.sampled_from(kinds)), draw(st.sampled_from(shapes)), rng)
    return array.astype(draw(st.sampled_from(dtypes)))


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


@st.composite
def problems(draw, names=None, **options):
    """A projection (name in `projecting.MAKERS`-like order), an array, and its sizes.

    Returns (array, chunk_size, level): the chunk size divides the size of the array.
    """
    array = draw(arrays(**options))
    return array, draw(st.sampled_from(divisors(array.size))), draw(levels)
