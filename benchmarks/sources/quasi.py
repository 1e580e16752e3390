"""Quasi-random points through the inverse CDF: they fill space too evenly to be noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import special
from scipy.stats import qmc

from benchmarks.sources.source import ATYPICAL, Source

EVEN = "each column has one value in each of {} equal parts"


def sources() -> Iterator[Source]:
    for points, dimension in ((65536, 1), (4096, 16), (1024, 64), (64, 1024)):
        shape = (256, 256) if dimension == 1 else (points, dimension)
        yield Source(
            f"scrambled Sobol, {points} points in {dimension}-D",
            partial(normal, qmc.Sobol, points, dimension, shape),
            ATYPICAL,
            EVEN.format(points),
        )
    yield Source(
        "scrambled Halton, 4096 points in 16-D",
        partial(normal, qmc.Halton, 4096, 16, (4096, 16)),
        ATYPICAL,
        "each column is even in the base of its prime",
    )
    for points, dimension in ((4096, 16), (16, 4096)):
        yield Source(
            f"Latin hypercube, {points} points in {dimension}-D",
            partial(normal, qmc.LatinHypercube, points, dimension, (points, dimension)),
            ATYPICAL,
            EVEN.format(points) + ", in random order",
        )
    yield Source(
        "SciPy MultivariateNormalQMC, Box-Muller",
        box_muller,
        ATYPICAL,
        "from pairs of Sobol coordinates: radii are even in each column pair, and angles",
    )


def normal(
    kind: type[qmc.QMCEngine], points: int, dimension: int, shape: tuple[int, ...]
) -> np.ndarray:
    engine = kind(dimension, rng=np.random.default_rng(0))
    return special.ndtri(engine.random(points)).reshape(shape)


def box_muller() -> np.ndarray:
    rng = np.random.default_rng(0)
    engine = qmc.MultivariateNormalQMC(np.zeros(16), inv_transform=False, rng=rng)
    return engine.random(4096)
