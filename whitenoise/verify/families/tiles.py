"""Mean and energy of tiles, at several scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._namespace import Array
from ...reference import FloatArray
from ..family import (
    Family,
    NotEnough,
    Place,
    Rows,
    Statistic,
    condense,
    largest,
    overall,
    percent,
    trend,
)
from ..laws import chi_square_scores
from ..view import Layout, View

__all__ = ["Tiles"]

_PLANE_SIDES = (4, 8, 16, 32)
_FLAT_SIDES = (16, 64, 256, 1024)
_FEWEST = 4  # tiles of a scale
_FEWEST_SLABS = 3


class Tiles(Family):
    """Disjoint tiles: square in images, intervals otherwise; and slabs across each axis.

    The mean of `b` values times ``sqrt(b)`` is N(0, 1) and their energy chi-square with `b`
    degrees of freedom, independently for disjoint tiles: all scores are exact. Each scale tests
    their sum of squares (both tails) and their largest; slabs also a linear trend. With several
    images, tiles are also summed over them: structure at the same place of all.
    """

    name = "tiles"
    share = 0.12

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        planes = layout.planes
        self.images = planes is not None
        if planes is not None:
            self.channels, self.height, self.width = planes
            self.sides = [
                s
                for s in _PLANE_SIDES
                if (self.height // s) * (self.width // s) * self.channels >= _FEWEST
                and min(self.height, self.width) >= 2 * s
            ]
        else:
            self.channels, self.height, self.width = 1, 1, layout.size
            self.sides = [s for s in _FLAT_SIDES if layout.size // s >= _FEWEST]
        many = len(layout.shape) > 1
        self.axes = [a for a, n in enumerate(layout.shape) if many and n >= _FEWEST_SLABS]
        if not self.sides and not self.axes:
            raise NotEnough(f"shape {layout.shape} has neither four tiles nor three slabs")
        self.keep_loudest = frozenset(f"{key}_peak" for key in self._names())

    def _names(self) -> list[str]:
        kinds = ("mean", "energy")
        names = [f"{kind}_{side}" for side in self.sides for kind in kinds]
        if self.channels > 1:
            names += [f"{name}_common" for name in names]
        return names

    def measure(self, view: View) -> dict[str, Array]:
        measured = {}
        for kind, values in (("mean", view.x), ("energy", view.squares)):
            if self.sides:
                measured[kind] = self._tile_sums(view, values)
            for axis in self.axes:
                measured[f"{kind}_axis{axis}"] = view.sum_others(values, axis)
        return measured

    def _tile_sums(self, view: View, values: Array) -> Array:
        """Sums over the smallest tiles, shape (B, C, rows, columns)."""
        xp, s = view.xp, self.sides[0]
        values = xp.reshape(values, (view.batch, self.channels, self.height, self.width))
        columns = self.width // s
        if not self.images:
            cut = xp.reshape(values[..., : columns * s], (view.batch, 1, 1, columns, s))
            return xp.sum(cut, axis=-1)
        rows = self.height // s
        cut = values[:, :, : rows * s, : columns * s]
        cut = xp.reshape(cut, (view.batch, self.channels, rows, s, columns, s))
        return xp.sum(xp.sum(cut, axis=-1), axis=-2)

    def summarise(self, rows: Rows) -> Rows:
        summary = {key: value for key, value in rows.items() if "axis" in key}
        for kind in ("mean", "energy"):
            for side in self.sides:
                sums = self._coarser(rows[kind], side // self.sides[0])
                self._condense(summary, f"{kind}_{side}", sums, self._values(side))
                if self.channels > 1:
                    common = sums.sum(axis=1, keepdims=True)
                    values = self._values(side) * self.channels
                    self._condense(summary, f"{kind}_{side}_common", common, values)
        return summary

    def _values(self, side: int) -> int:
        """Values in a tile."""
        return side * side if self.images else side

    def _coarser(self, sums: FloatArray, factor: int) -> FloatArray:
        batch, channels, rows, columns = sums.shape
        down = factor if self.images else 1
        rows, columns = rows // down, columns // factor
        cut = sums[:, :, : rows * down, : columns * factor]
        return np.asarray(
            cut.reshape(batch, channels, rows, down, columns, factor).sum(axis=(3, 5))
        )

    def _condense(self, summary: Rows, name: str, sums: FloatArray, values: int) -> None:
        flat = sums.reshape(sums.shape[0], -1)
        if name.startswith("mean"):
            scores = flat / np.sqrt(values)
        else:
            scores = chi_square_scores(flat, values)
        summary[name], summary[f"{name}_peak"] = condense(scores, flat / values)

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        statistics = []
        for name in self._names():
            kind, side, *common = name.split("_")
            statistics += self._judge_scale(rows, name, kind, int(side), bool(common), blocks)
        for axis in self.axes:
            statistics += self._judge_slabs(rows, axis, blocks)
        return statistics

    def _grid(self, side: int, common: bool) -> tuple[int, int, int]:
        rows = self.height // side if self.images else 1
        return (1 if common else self.channels), rows, self.width // side

    def _judge_scale(
        self, rows: Rows, name: str, kind: str, side: int, common: bool, blocks: int
    ) -> list[Statistic]:
        grid = self._grid(side, common)
        count = int(np.prod(grid)) * blocks
        size = f"{side}x{side}" if self.images else str(side)
        which = f"{size} tiles" + (" common to all images" if common else "")
        noun = "means" if kind == "mean" else "energies"
        weight = 0.5 if common else 1.0

        def describe(index: int, value: float) -> Place:
            place = tuple(int(i) for i in np.unravel_index(index, grid))
            at = place[1:] if common or self.channels == 1 else place
            at = at if self.images else at[-1:]
            tile = (side, side) if self.images else (side,)
            where: dict[str, Any] = {"view": "tiles", "tile": tile}
            if not common:
                where["index"] = place
            if kind == "mean":
                return Place(f"the mean of {size} tile {at} is {value:+.3g}", where)
            return Place(f"the energy of {size} tile {at} is {percent(value, 1)}", where)

        return [
            overall(rows[name], count, f"{noun} of {which}", weight, f"{noun} of {which}"),
            largest(rows[f"{name}_peak"], count, f"largest of {noun} of {which}", weight, describe),
        ]

    def _judge_slabs(self, rows: Rows, axis: int, blocks: int) -> list[Statistic]:
        length = self.layout.shape[axis]
        values = self.layout.size // length * blocks
        statistics = []
        for kind, noun in (("mean", "means"), ("energy", "energies")):
            sums = rows[f"{kind}_axis{axis}"]
            mean = kind == "mean"
            scores = sums / np.sqrt(values) if mean else chi_square_scores(sums, values)
            total, peak = condense(scores, sums / values)
            what = f"{noun} of slabs across axis {axis}"

            def describe(index: int, value: float, mean: bool = mean) -> Place:
                where = {"view": "array", "axis": axis, "index": index}
                if mean:
                    return Place(f"the mean at index {index} of axis {axis} is {value:+.3g}", where)
                return Place(
                    f"the energy at index {index} of axis {axis} is {percent(value, 1)}", where
                )

            statistics += [
                overall(total, length, what, 1.0, what),
                largest(peak, length, f"largest of {what}", 0.7, describe),
                trend(
                    scores,
                    f"trend of {what}",
                    0.5,
                    f"{what} rise along it",
                    f"{what} fall along it",
                ),
            ]
        return statistics
