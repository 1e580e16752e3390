"""Hypothesis strategies: arrays that projections find hard, and the sets to project them onto."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from whitenoise.sets import Global, OneLevel, Sphere, Tiles, TwoLevel

SHAPES = ((1,), (2,), (7,), (64,), (3, 5), (4, 8), (2, 3, 4), (16, 16))

CONTENTS = {
    "gaussian": lambda rng, n: rng.standard_normal(n),
    "constant": lambda rng, n: np.full(n, rng.standard_normal()),
    "zero": lambda rng, n: np.zeros(n),
    "sparse": lambda rng, n: np.where(rng.random(n) < 0.1, 20 * rng.standard_normal(n), 0.0),
    "tied": lambda rng, n: np.round(rng.standard_normal(n)),
    "huge": lambda rng, n: 1e30 * rng.standard_normal(n),
    "tiny": lambda rng, n: 1e-40 * rng.standard_normal(n),  # denormal in float32
    "mixed scales": lambda rng, n: rng.standard_normal(n) * 10.0 ** rng.uniform(-20, 20, n),
    "sorted": lambda rng, n: np.sort(3 * rng.standard_normal(n)),
    "reversed": lambda rng, n: np.sort(rng.standard_normal(n))[::-1],
    "sine": lambda rng, n: 2 * np.sin(0.1 * np.arange(n)),
    "blocks": lambda rng, n: np.repeat(rng.standard_normal(n), 8)[:n],
    "alternating": lambda rng, n: 5 * (-1.0) ** np.arange(n),
    "shifted": lambda rng, n: 7 + rng.standard_normal(n),
}

seeds = st.integers(0, 2**32 - 1)
levels = st.sampled_from((0.5, 0.95, 0.9999))


@st.composite
def arrays(draw, dtypes=(np.float64, np.float32), contents=tuple(CONTENTS)):
    """Random, tied, sparse, huge, tiny and structured arrays of up to a few hundred entries."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(seeds))
    flat = CONTENTS[draw(st.sampled_from(contents))](rng, int(np.prod(shape)))
    return flat.reshape(shape).astype(draw(st.sampled_from(dtypes)))


def divisors(n):
    """Every divisor, as a strategy."""
    return st.sampled_from([d for d in range(1, n + 1) if n % d == 0])


def order_statistic_sets(size):
    """Global, one- and two-level sets for vectors of a size."""
    flags = st.booleans()
    return st.one_of(
        st.builds(Global, levels, flags),
        st.builds(OneLevel, levels, flags),
        st.builds(TwoLevel, divisors(size), levels, flags),
    )


@st.composite
def tile_sets(draw, size):
    """Tile sets for vectors of a size."""
    tile = draw(divisors(size))
    choices = [("mean",), ("energy",), ("mean", "energy")] if tile > 1 else [("mean",)]
    statistics = draw(st.sampled_from(choices))
    return Tiles(tile, draw(divisors(size // tile)), statistics, draw(levels))


def every_set(size):
    """Every set of the package for vectors of a size."""
    return st.one_of(order_statistic_sets(size), tile_sets(size), st.builds(Sphere))


def tie_free(rng, shape, scale=3.0):
    """Distinct Gaussian entries, whose projections leave nothing to chance."""
    x = scale * rng.standard_normal(shape)
    assert np.unique(x).size == x.size
    return x
