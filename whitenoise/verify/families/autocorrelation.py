"""Correlation of values with their neighbours, and with values far away."""

from __future__ import annotations

from ..._namespace import Array
from ...reference import FloatArray
from ..family import Family, NotEnough, Place, Rows, Statistic
from ..lags import LagProbe
from ..laws import binomial_log_pvalue
from ..view import Layout, View

__all__ = ["Autocorrelation"]


class Autocorrelation(Family):
    """Circular autocorrelation by saddlepoint, and the signs of three neighbours: exact.

    Lag 1 of each axis, near lags and the largest of all lags are tested. The product of three
    neighbouring signs is positive with probability 1/2, independently along a line since each takes
    a new value in: it sees products of neighbours that lags do not.
    """

    name = "autocorrelation"
    share = 0.16

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        if layout.size < 32:
            raise NotEnough(f"{layout.size} values are fewer than 32")
        self.lags = LagProbe(layout)
        if not self.lags.orders:
            raise NotEnough(f"every circular shift of shape {layout.shape} undoes itself")
        self.keep_loudest = frozenset(f"far_{m}" for m in self.lags.orders)
        self.axes = [axis for axis, n in enumerate(layout.shape) if n >= 3]

    def measure(self, view: View) -> dict[str, Array]:
        return {
            **self.lags.measure(view, view.x),
            **{f"triples_{axis}": self._triples(view, axis) for axis in self.axes},
        }

    def _triples(self, view: View, axis: int) -> Array:
        """Number of three neighbours along an axis with an even number of negative values."""
        xp, n = view.xp, self.layout.shape[axis]
        positive = xp.moveaxis(view.x > 0, axis + 1, -1)
        odd = positive[..., : n - 2] ^ positive[..., 1 : n - 1] ^ positive[..., 2:]
        return xp.sum(xp.astype(xp.reshape(odd, (view.batch, -1)), xp.float64), axis=-1)

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        statistics = self.lags.judge(rows, "", blocks, "")
        for axis in self.axes:
            n = self.layout.shape[axis]
            count = rows[f"triples_{axis}"]
            trials = self.layout.size // n * (n - 2) * blocks

            def describe(
                b: int, axis: int = axis, count: FloatArray = count, trials: int = trials
            ) -> Place:
                share = 100 * count[b] / trials
                return Place(
                    f"{share:.3g} % of three neighbours along axis {axis} have a positive product",
                    {"view": "array"},
                )

            log_p = binomial_log_pvalue(count, trials, 0.5)
            name = f"signs of three neighbours along axis {axis}"
            statistics.append(Statistic(name, 0.7, log_p, describe))
        return statistics
