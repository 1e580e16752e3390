"""Estimate how many columns of a doubly sorted matrix count as independent, on a grid of shapes.

The violation probability of the table with `M` chunks of `D` is written as
``-log P(inside) = columns * (-log P(inside one column))``; this script estimates `columns`, which
lies between 1 and `D`, and prints the table that `whitenoise/coverage.py` interpolates.

Estimator: with V the number of entries outside their intervals,
``P(V > 0) = M * D * alpha * E[1 / V | entry (I, J) is below its interval]`` for a uniformly random
entry (I, J), because every entry is below with probability alpha / 2 exactly and the two sides are
mirror images. The conditional draw is exact, so the relative error does not grow as alpha falls.

    python -m benchmarks.calibrate_two_level --draws 4000
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import special
from tqdm import tqdm

from whitenoise.coverage import column_features, one_level_violation
from whitenoise.order_statistics import two_level_interval

CHUNKS = (2, 4, 16, 64, 256, 1024, 4096)
CHUNK_SIZES = (2, 4, 8, 16, 32, 64, 256, 1024, 4096)
LOG10_ALPHA = (-1.5, -2.0, -2.5, -3.0, -4.0, -6.0, -9.0, -12.0)
LARGEST = 2**17
RARE = 0.15  # above this probability plain simulation is the better estimator


def conditional_draw(rng, m, d, i, j, alpha):
    """Doubly sorted uniforms given that entry (i, j) is below its interval (ranks from 1)."""
    low = special.betaincinv(i, m + 1 - i, rng.uniform(0, alpha / 2))
    outer = np.concatenate([rng.uniform(0, low, i - 1), [low], rng.uniform(low, 1, m - i)])
    pivot = special.betaincinv(j, d + 1 - j, outer)[:, None]
    below = rng.uniform(0, 1, (m, j - 1)) * pivot
    above = pivot + rng.uniform(0, 1, (m, d - j)) * (1 - pivot)
    matrix = np.concatenate([below, pivot, above], axis=1)
    matrix[:, : j - 1].sort(axis=1)
    matrix[:, j:].sort(axis=1)
    matrix.sort(axis=0)
    return matrix


def rare_violation(rng, lower, upper, alpha, draws):
    """Estimate P(V > 0) from draws conditioned on one violation."""
    m, d = lower.shape
    inverse = np.empty(draws)
    for k in range(draws):
        i, j = int(rng.integers(1, m + 1)), int(rng.integers(1, d + 1))
        matrix = conditional_draw(rng, m, d, i, j, alpha)
        outside = np.count_nonzero((matrix < lower) | (matrix > upper))
        inverse[k] = 1.0 / max(outside, 1)  # rounding may put the entry on its bound
    return m * d * alpha * inverse.mean()


def common_violation(rng, lower, upper, draws):
    """Estimate P(V > 0) by plain simulation."""
    hits = 0
    for _ in range(draws):
        matrix = rng.random(lower.shape)
        matrix.sort(axis=1)
        matrix.sort(axis=0)
        hits += bool(((matrix < lower) | (matrix > upper)).any())
    return hits / draws


def effective_columns(m, d, exponent, draws, seed):
    """Estimate the number of independent columns at ``alpha = 10**exponent``."""
    rng = np.random.default_rng((seed, m, d, int(-10 * exponent)))
    alpha = 1 - (1 - 10.0**exponent)  # as the interval recovers it from its level
    lower, upper = (special.ndtr(ends) for ends in two_level_interval(m, d, 1 - alpha))
    one = -np.log1p(-one_level_violation(m, alpha))
    probability = rare_violation(rng, lower, upper, alpha, draws // 8)
    if probability > RARE:
        probability = common_violation(rng, lower, upper, draws)
    else:
        probability = rare_violation(rng, lower, upper, alpha, draws)
    # Saturated cells carry no information; they lie outside the levels the table serves.
    return -np.log1p(-probability) / one if probability < 0.98 else np.nan


def fit(cells):
    """Least squares for log(columns) / log(D), each cell weighted by its precision."""
    cells = [(m, d, e, min(c, d), w) for m, d, e, c, w in cells if np.isfinite(c)]
    for d in CHUNK_SIZES:  # a single chunk is exact
        for e in LOG10_ALPHA:
            exact = np.log1p(-one_level_violation(d, 10.0**e)) / np.log1p(-(10.0**e))
            cells.append((1, d, e, exact, 40_000))
    features = np.array([column_features(m, d, 10.0**e) for m, d, e, _, _ in cells])
    _, sizes, _, columns, draws = np.array(cells).T
    weight = np.sqrt(draws) * np.log(sizes)
    target = np.log(columns) / np.log(sizes)
    coefficients, *_ = np.linalg.lstsq(features * weight[:, None], target * weight, rcond=None)
    residual = np.log(sizes) * (features @ coefficients - target)
    print(f"{len(cells)} cells, rms error {np.sqrt(np.mean(residual**2)):.3f} of columns")
    print(np.array2string(coefficients, separator=", ", precision=6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    shapes = [(m, d) for d in CHUNK_SIZES for m in CHUNKS if m * d <= LARGEST]
    cells = []
    for m, d in tqdm(shapes):
        draws = max(2000, min(arguments.draws, 2**26 // (m * d)))
        row = [f"{effective_columns(m, d, e, draws, arguments.seed):.4g}" for e in LOG10_ALPHA]
        print(m, d, *row, flush=True)
        cells += [(m, d, e, float(c), draws) for e, c in zip(LOG10_ALPHA, row, strict=True)]
    fit(cells)


if __name__ == "__main__":
    main()
