"""Correlation between the slices of an axis, channels above all, and the rank of their matrix."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..._namespace import Array
from ...reference import FloatArray
from ..family import Family, NotEnough, Place, Rows, Statistic, condense, largest, overall
from ..laws import ScoreTable, flatness_law, log_two_sided
from ..view import IntArray, Layout, View

__all__ = ["Covariance", "Rank"]

_MOST_ROWS = 128
_FOLDS = (16, 64)
_FEWEST_COLUMNS = 2  # for each row


class _Bartlett(Family):
    """The Cholesky factor of the Gram matrix of `p` slices with `n` values each.

    Under the null ``L L^T`` is a Wishart matrix: the entries of `L` below the diagonal are
    independent N(0, 1), the squares on the diagonal chi-square with ``n, n - 1, ...`` degrees of
    freedom, all independent (Bartlett's decomposition).
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.matrices: list[tuple[str, int | None, int]] = []  # what a row is, its axis, rows
        n = layout.size
        if len(layout.shape) > 1:
            for axis, p in enumerate(layout.shape):
                if 2 <= p <= _MOST_ROWS and n // p >= _FEWEST_COLUMNS * p:
                    self.matrices.append((f"slices of axis {axis}", axis, p))
        else:
            for p in _FOLDS:
                if n // p >= _FEWEST_COLUMNS * p:
                    self.matrices.append((f"phases of every {p} values", None, p))
        if not self.matrices:
            raise NotEnough(f"no axis of shape {layout.shape} has enough values in each slice")

    def columns(self, rows: int) -> int:
        """Values in each slice."""
        return self.layout.size // rows

    def measure(self, view: View) -> dict[str, Array]:
        return {f"gram_{i}": view.gram(axis, p) for i, (_, axis, p) in enumerate(self.matrices)}

    def factor(self, gram: FloatArray) -> FloatArray:
        """Cholesky factors; a singular matrix gets a diagonal of 1e-12 of its mean."""
        p = gram.shape[-1]
        ridge = np.trace(gram, axis1=-2, axis2=-1)[:, None, None] / p * np.eye(p)
        try:
            return np.linalg.cholesky(gram + 1e-15 * ridge)
        except np.linalg.LinAlgError:
            return np.linalg.cholesky(gram + 1e-11 * ridge + 1e-300 * np.eye(p))


class Covariance(_Bartlett):
    """Entries below the diagonal of the Cholesky factor: which slices go together."""

    name = "covariance"
    share = 0.045

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        statistics = []
        for i, (what, axis, p) in enumerate(self.matrices):
            factor = self.factor(rows[f"gram_{i}"])
            below = np.tril_indices(p, -1)
            entries = factor[:, below[0], below[1]]
            length = self.columns(p) * blocks
            total, peak = condense(entries, entries / np.sqrt(length))

            def describe(
                index: int,
                value: float,
                what: str = what,
                axis: int | None = axis,
                below: tuple[IntArray, ...] = below,
            ) -> Place:
                pair = (int(below[1][index]), int(below[0][index]))
                return Place(
                    f"{what} {pair[0]} and {pair[1]} correlate by {value:+.3g}",
                    {"view": "covariance", "axis": axis, "index": pair},
                )

            count = entries.shape[1]
            name = f"correlations between {what}"
            statistics += [
                overall(total, count, name, 1.0, name),
                largest(peak, count, f"largest of {name}", 1.0, describe),
            ]
        return statistics


@lru_cache(maxsize=64)
def _determinant_law(rows: int, columns: int) -> ScoreTable:
    return flatness_law((columns - np.arange(rows)) / 2, columns / 2)


class Rank(_Bartlett):
    """The determinant of the Gram matrix over that of a round one of the same trace.

    Its logarithm has a known cumulant generating function (Mauchly's sphericity): saddlepoint.
    """

    name = "rank"
    share = 0.015

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        statistics = []
        for i, (what, _, p) in enumerate(self.matrices):
            squares = np.diagonal(self.factor(rows[f"gram_{i}"]), axis1=-2, axis2=-1) ** 2
            mean = np.trace(rows[f"gram_{i}"], axis1=-2, axis2=-1) / p
            log_ratio = np.sum(np.log(squares / np.maximum(mean, 1e-300)[:, None]), axis=-1)
            score = _determinant_law(p, self.columns(p) * blocks)(log_ratio)

            def describe(b: int, what: str = what, score: FloatArray = score, p: int = p) -> Place:
                how = "dependent" if score[b] < 0 else "spread out"
                return Place(
                    f"the {p} {what} are too linearly {how} "
                    f"(determinant {abs(score[b]):.1f} standard errors "
                    f"{'low' if score[b] < 0 else 'high'})",
                    {"view": "covariance"},
                )

            name = f"determinant of {what}"
            statistics.append(Statistic(name, 1.0, log_two_sided(score), describe))
        return statistics
