"""The law of single values: moments, counts between quantiles and beyond thresholds, extremes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

from ..._namespace import Array
from ...reference import FloatArray
from ..family import Family, Place, Rows, Statistic, loudest, number, percent
from ..laws import (
    ScoreTable,
    binomial_log_pvalue,
    chi_square_scores,
    log_two_sided,
    sum_law,
)
from ..view import Layout, View

__all__ = ["Marginal", "rounding_edges"]

_CLIP = 4.0  # moments are of values clipped here, so that they have all exponential moments
_CELL = 16  # values expected in the smallest cell
_MOST_LEVELS = 12
_FEWEST_MOMENTS = 16  # values, below which no saddlepoint is tried
_BANDS = ((1, 2, 3), (4, 5), (6, 7), (8, 9), (10, 11, 12))  # levels of one statistic each
_TAILS = np.array([1.0, 1.5, 2.0, 2.33, 2.66, 3.0, 3.33, 3.66, 4.0])
_HERE = {"view": "marginal"}


def _third(x: FloatArray) -> FloatArray:
    x = np.clip(x, -_CLIP, _CLIP)
    return np.asarray(x**3 - 3 * x)


def _fourth(x: FloatArray) -> FloatArray:
    x = np.clip(x, -_CLIP, _CLIP)
    return np.asarray(x**4 - 6 * x**2 + 3)


_MODULUS_PART = (
    float(np.sqrt(2 / np.pi)) / 2
)  # of x^2 in |x|: what is left is uncorrelated with x^2


def _modulus(x: FloatArray) -> FloatArray:
    return np.asarray(np.abs(x) - _MODULUS_PART * x**2)


_MOMENTS = {"third": _third, "fourth": _fourth, "modulus": _modulus}


@lru_cache(maxsize=64)
def _moment_law(name: str, count: int) -> ScoreTable:
    return sum_law(_MOMENTS[name], count)


def rounding_edges(threshold: FloatArray, bits: int) -> FloatArray:
    """Move thresholds to where rounding to `bits` significant bits changes its result.

    Rounding then never carries a value across: counts on either side have the law of unrounded
    values.
    """
    # Below a negative power of two the spacing is that of the smaller moduli.
    inner = np.where(threshold < 0, np.nextafter(threshold, 0.0), threshold)
    _, exponent = np.frexp(inner)
    spacing = np.ldexp(1.0, exponent - bits)
    edges = (np.floor(threshold / spacing) + 0.5) * spacing
    return np.where(threshold == 0, 0.0, edges)


class Marginal(Family):
    """The values as a sample, whatever their order.

    - Mean (normal) and energy (chi-square): exact.
    - Sums of the third and fourth Hermite polynomial, and of the modulus less its projection on
      the energy: saddlepoint.
    - Counts in nested cells of equal probability: each splits binomially, given its own count;
      the squared deviations of a level add up to a gamma variable with matched moments. The lower
      tail sees values that are spread too evenly.
    - Counts beyond thresholds (binomial) and the extremes: exact.

    Thresholds lie where rounding to the dtype changes its result, so rounded values have the
    same law.
    """

    name = "marginal"
    share = 0.29
    keep_loudest = frozenset({"high", "low"})

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.levels = self._resolved_levels()
        k = np.arange(1, 2**self.levels)
        self.cells = self._edges(special.ndtri(k / 2**self.levels))
        self.tails = self._edges(np.concatenate([-_TAILS[::-1], _TAILS]))
        self.edges = np.concatenate([self.cells, self.tails])

    def _edges(self, threshold: FloatArray) -> FloatArray:
        return rounding_edges(threshold, self.layout.bits)

    def _resolved_levels(self) -> int:
        """Number of halvings that leave enough values, and that the dtype can resolve."""
        most = int(np.clip(np.log2(self.layout.size / _CELL), 0, _MOST_LEVELS))
        for levels in range(most, 0, -1):
            edges = self._edges(special.ndtri(np.arange(1, 2**levels) / 2**levels))
            share = np.diff(special.ndtr(edges), prepend=0, append=1) * 2**levels
            if share.min() > 0.6:
                return levels
        return 0

    def measure(self, view: View) -> dict[str, Array]:
        xp, x = view.xp, view.flat
        clipped = xp.clip(x, -_CLIP, _CLIP)
        square = clipped * clipped
        ordered = view.sorted
        edges = view.host(self.edges)
        below = [xp.searchsorted(ordered[b, :], edges) for b in range(view.batch)]
        return {
            "sum": view.total,
            "energy": view.energy,
            "third": xp.sum(clipped * (square - 3), axis=-1),
            "fourth": xp.sum(square * (square - 6) + 3, axis=-1),
            "modulus": xp.sum(xp.abs(x), axis=-1) - _MODULUS_PART * view.energy,
            "below": xp.stack(below),
            "high": -ordered[:, -1:],
            "low": ordered[:, :1],
        }

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        n = self.layout.size * blocks
        mean, energy = rows["sum"] / n, rows["energy"]

        def moment(name: str, weight: float, what: str, expected: float) -> Statistic:
            value = rows[name] / n
            score = _moment_law(name, n)(rows[name])
            return Statistic(
                name,
                weight,
                log_two_sided(score),
                lambda b: Place(f"{what} is {value[b]:.3g}, not {expected:.3g}", _HERE),
            )

        statistics = [
            Statistic(
                "mean",
                5.0,
                log_two_sided(mean * np.sqrt(n)),
                lambda b: Place(f"the mean is {mean[b]:+.3g}", _HERE),
            ),
            Statistic(
                "energy",
                6.0,
                log_two_sided(chi_square_scores(energy, n)),
                lambda b: Place(f"the mean square is {percent(energy[b], n)}", _HERE),
            ),
            self._extreme("largest", -rows["high"][:, 0], n),
            self._extreme("smallest", rows["low"][:, 0], n),
            *self._counts(rows["below"], n),
        ]
        if n >= _FEWEST_MOMENTS:
            less = "the mean modulus, less its part in the energy,"
            statistics += [
                moment("third", 3.5, "the third Hermite moment (skewness)", 0.0),
                moment("fourth", 4.5, "the fourth Hermite moment (excess kurtosis)", 0.0),
                moment("modulus", 2.5, less, _MODULUS_PART),
            ]
        return statistics

    def _counts(self, below: FloatArray, n: int) -> list[Statistic]:
        cells, tails = below[:, : self.cells.size], below[:, self.cells.size :]
        statistics = []
        ends = np.zeros((below.shape[0], 1))
        cumulative = np.concatenate([ends, cells, ends + n], axis=-1)
        probability = np.concatenate([[0.0], special.ndtr(self.cells), [1.0]])
        for band in _BANDS:
            deviations, variances, widths = [], [], []
            for level in band:
                if level > self.levels:
                    continue
                step = 2 ** (self.levels - level)
                count = np.diff(cumulative[:, ::step], axis=-1)
                mass = np.diff(probability[::step])
                parent = np.maximum(count[:, ::2] + count[:, 1::2], 1.0)
                p = mass[::2] / (mass[::2] + mass[1::2])
                deviations.append((count[:, ::2] - parent * p) ** 2 / (parent * p * (1 - p)))
                widths.append(1 / (parent * p * (1 - p)))
                variances.append(2 + (1 - 6 * p * (1 - p)) / (parent * p * (1 - p)))
            if deviations:
                finest = max(level for level in band if level <= self.levels)
                statistics.append(self._splits(deviations, variances, widths, 2**finest))

        edges, expected = self.tails, n * special.ndtr(-np.abs(self.tails))

        def describe(b: int, i: int) -> Place:
            count = tails[b, i] if edges[i] < 0 else n - tails[b, i]
            side = "below" if edges[i] < 0 else "above"
            seen = f"{count:.0f} values {side} {edges[i]:.3g}"
            return Place(f"{seen} where {number(expected[i])} are expected", _HERE)

        log_p = binomial_log_pvalue(tails, n, special.ndtr(edges))
        return [*statistics, loudest(log_p, "counts beyond thresholds", 1.2, describe)]

    def _splits(
        self,
        deviations: list[FloatArray],
        variances: list[FloatArray],
        widths: list[FloatArray],
        cells: int,
    ) -> Statistic:
        total = np.sum(np.concatenate(deviations, axis=-1), axis=-1)
        variance = np.sum(np.concatenate(variances, axis=-1), axis=-1)
        count = sum(d.shape[-1] for d in deviations)
        # Counts are whole numbers, and perfectly even ones too likely for a continuous law: a point
        # stands for its unit cube, here for the ball of the same volume.
        square = np.exp(2 / count * special.gammaln(count / 2 + 1)) / np.pi / count
        cube = square * np.sum(np.concatenate(widths, axis=-1), axis=-1)
        freedom = 2 * count**2 / variance
        low = chi_square_scores(2 * (total + cube) * count / variance, freedom)
        high = chi_square_scores(2 * total * count / variance, freedom)
        score = np.where(low < 0, low, np.maximum(high, 0.0))

        def describe(b: int) -> Place:
            how = "vary too much" if score[b] > 0 else "are too even"
            return Place(
                f"counts in {cells} cells of equal probability {how}: {total[b] / count:.3g} times "
                "the variation of chance",
                _HERE,
            )

        return Statistic(f"counts in {cells} cells", 1.2, log_two_sided(score), describe)

    def _extreme(self, which: str, value: FloatArray, n: int) -> Statistic:
        """Exact two-sided test of the largest value, or of minus the smallest."""
        outward = value if which == "largest" else -value
        log_all_below = n * special.log_ndtr(outward)
        with np.errstate(divide="ignore"):
            log_above = np.log(-np.expm1(np.minimum(log_all_below, -1e-300)))
        far = log_all_below > -1e-10  # then 1 - (1 - q)^n = n q to ten digits
        log_above = np.where(far, np.log(n) + special.log_ndtr(-outward), log_above)
        log_p = np.minimum(np.log(2) + np.minimum(log_all_below, log_above), 0.0)
        typical = special.ndtri(0.5 ** (1 / n)) * (1 if which == "largest" else -1)
        return Statistic(
            f"{which} value",
            1.2,
            log_p,
            lambda b: Place(
                f"the {which} value is {value[b]:.3g}; its median is {typical:.3g}", _HERE
            ),
        )
