"""The law of single values: mean, energy, shape, counts between quantiles, extremes."""

from __future__ import annotations

import numpy as np
from scipy import special

from ..._namespace import Array
from ...reference import FloatArray
from ..family import Family, Place, Rows, Statistic, overall, percent
from ..laws import (
    binomial_log_pvalue,
    bonferroni,
    chi_square_scores,
    log_two_sided,
    sum_law,
)
from ..view import Layout, View

__all__ = ["Marginal"]

_CLIP = 4.0  # moments are of values clipped here, so that their law has all exponential moments


def _skewness(x: FloatArray) -> FloatArray:
    x = np.clip(x, -_CLIP, _CLIP)
    return x**3 - 3 * x


def _kurtosis(x: FloatArray) -> FloatArray:
    x = np.clip(x, -_CLIP, _CLIP)
    return x**4 - 6 * x**2 + 3


class Marginal(Family):
    """Mean and energy (exact), Hermite moments and mean modulus (saddlepoint), counts, extremes."""

    name = "marginal"
    share = 0.30

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)

    def measure(self, view: View) -> dict[str, Array]:
        xp, x = view.xp, view.flat
        return {
            "sum": xp.sum(x, axis=-1),
            "energy": xp.sum(xp.reshape(view.squares, (view.batch, -1)), axis=-1),
        }

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        n = self.layout.size * blocks
        mean, energy = rows["sum"] / n, rows["energy"]
        return [
            Statistic(
                "mean",
                6,
                log_two_sided(mean * np.sqrt(n)),
                lambda b: Place(f"the mean is {mean[b]:+.3g}", {"view": "marginal"}),
            ),
            Statistic(
                "energy",
                7,
                log_two_sided(chi_square_scores(energy, n)),
                lambda b: Place(f"the mean square is {percent(energy[b], n)}", {"view": "marginal"}),
            ),
        ]
