"""How much of a direction a typical vector can keep at most, from one statistic at a time.

Cut an orthonormal basis into blocks. A vector y whose norms of blocks, sorted, are those of noise
has ``<x, y> <= sum_b |x_b| |y_b|`` (Cauchy and Schwarz), and at most the sum of the products of
both norms sorted (rearrangement). For singular values across an axis the same holds by von
Neumann's trace inequality. The least of these bounds is one for every vector that has all of these
statistics of noise; it ignores that they constrain one another.
"""

from __future__ import annotations

import math

import numpy as np

DRAWS = 5


def upper_bound(x):
    """Return the least bound of the cosine with `x`, and the statistic that it comes from."""
    own, found = dict(_statistics(x.astype(np.float64))), {}
    for seed in range(DRAWS):
        z = np.random.default_rng([seed, 2]).standard_normal(x.shape)
        for name, noise in _statistics(z):
            pair = own[name], noise
            cosine = np.dot(*pair) / math.prod(np.linalg.norm(p) for p in pair)
            found[name] = found.get(name, 0) + float(cosine) / DRAWS
    return min((value, name) for name, value in found.items())


def _statistics(x):
    """Sorted norms of blocks by name."""
    yield "values", np.sort(np.abs(x), axis=None)
    yield "places", _norms(x)
    axes = tuple(range(x.ndim))
    yield "frequencies", _norms(np.fft.fftn(x, axes=axes, norm="ortho"))
    for axis, length in enumerate(x.shape):
        if length <= x.size // length:
            rows = np.moveaxis(x, axis, 0).reshape(length, -1)
            values = np.linalg.eigvalsh(rows @ rows.T)
            yield f"slices of axis {axis}", np.sqrt(np.clip(values, 0, None))


def _norms(x):
    """Norms of blocks of two by two and of all images."""
    *_, height, width = x.shape
    cut = x[..., : height // 2 * 2, : width // 2 * 2]
    cut = cut.reshape(-1, height // 2, 2, width // 2, 2)
    return np.sort(np.sqrt((np.abs(cut) ** 2).sum((0, 2, 4))), axis=None)
