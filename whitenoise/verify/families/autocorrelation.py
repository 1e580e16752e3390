"""Correlation of values with their neighbours, and with values far away."""

from __future__ import annotations

from ..._namespace import Array
from ..family import Family, NotEnough, Rows, Statistic
from ..lags import LagProbe
from ..view import Layout, View

__all__ = ["Autocorrelation"]


class Autocorrelation(Family):
    """Circular autocorrelation of the array, by saddlepoint: lag 1 of each axis, near lags, all."""

    name = "autocorrelation"
    share = 0.16

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        if layout.size < 32:
            raise NotEnough(f"{layout.size} values are fewer than 32")
        self.lags = LagProbe(layout)
        self.keep_loudest = frozenset(f"far_{m}" for m in self.lags.orders)

    def measure(self, view: View) -> dict[str, Array]:
        return self.lags.measure(view, view.x)

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        return self.lags.judge(rows, "", blocks, "")
