"""Every k-th value, row or column: structure that repeats."""

from __future__ import annotations

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
)
from ..laws import chi_square_scores
from ..view import Layout, View

__all__ = ["Polyphase"]

_FLAT = (2, 3, 4, 5, 7, 8, 16, 32, 64)
_ODD = 3 * 5 * 7
_AXIS = (2, 3, 4, 8)
_PLANE = (2, 4, 8)
_FEWEST = 8  # values in a class


class Polyphase(Family):
    """Values at the same phase of a period: along the flattened array, along axes, in images.

    Mean (normal) and energy (chi-square) of each phase are exact and independent between phases of
    one period. Values left over by the last incomplete period are not looked at.
    """

    name = "polyphase"
    share = 0.06

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        # A period of one row is a slab of the last axis, which the tiles test.
        row = layout.shape[-1] if len(layout.shape) > 1 else 0
        self.flat = [k for k in _FLAT if layout.size // k >= _FEWEST and k != row]
        if not self.flat:
            raise NotEnough(f"{layout.size} values make no two classes of {_FEWEST}")
        # Sums over one long period are folded on the host into those of its divisors.
        even = max(k for k in self.flat if k & (k - 1) == 0)
        odd = _ODD if layout.size >= _ODD * even else None
        self.base = {k: even if even % k == 0 else odd or k for k in self.flat}
        many = len(layout.shape) > 1
        # Every k-th value of the last axis is every k-th of all, if k divides its length.
        self.axes = [
            (axis, k)
            for axis, n in enumerate(layout.shape)
            for k in _AXIS
            if many and n >= 2 * k and not (axis == len(layout.shape) - 1 and n % k == 0)
        ]
        planes = layout.planes
        self.plane = [k for k in _PLANE if planes is not None and min(planes[1:]) >= 2 * k]

    def measure(self, view: View) -> dict[str, Array]:
        measured = {}
        for kind, values in (("mean", view.x), ("energy", view.squares)):
            for k in sorted(set(self.base.values())):
                measured[f"{kind}_flat_{k}"] = self._flat_classes(view, values, k)
            for axis in sorted({axis for axis, _ in self.axes}):
                measured[f"{kind}_axis_{axis}"] = view.sum_others(values, axis)
            if self.plane:
                measured[f"{kind}_plane"] = self._plane_classes(view, values, self.plane[-1])
        return measured

    def _flat_classes(self, view: View, values: Array, k: int) -> Array:
        xp, n = view.xp, self.layout.size // k * k
        flat = xp.reshape(values, (view.batch, -1))
        return xp.sum(xp.reshape(flat[:, :n], (view.batch, -1, k)), axis=1)

    def _plane_classes(self, view: View, values: Array, k: int) -> Array:
        """Sums over positions of equal phase in rows and columns, shape (B, k, k)."""
        assert self.layout.planes is not None
        channels, height, width = self.layout.planes
        xp, rows, columns = view.xp, height // k, width // k
        values = xp.reshape(values, (view.batch, channels, height, width))
        cut = values[:, :, : rows * k, : columns * k]
        cut = xp.reshape(cut, (view.batch, channels * rows, k, columns, k))
        return xp.sum(xp.sum(cut, axis=3), axis=1)

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        statistics = []
        for kind in ("mean", "energy"):
            for k in self.flat:
                base = self.base[k]
                sums = rows[f"{kind}_flat_{base}"]
                sums = sums.reshape(len(sums), base // k, k).sum(axis=1)
                count = self.layout.size // base * (base // k) * blocks
                statistics += _judge(kind, sums, count, f"every {_ordinal(k)} value", (k,))
            for axis, k in self.axes:
                profile = rows[f"{kind}_axis_{axis}"]
                used = profile.shape[1] // k * k
                sums = profile[:, :used].reshape(profile.shape[0], -1, k).sum(axis=1)
                count = self.layout.size // profile.shape[1] * (used // k) * blocks
                what = f"every {_ordinal(k)} index of axis {axis}"
                statistics += _judge(kind, sums, count, what, (k,))
            for k in self.plane:
                statistics += self._judge_plane(kind, rows[f"{kind}_plane"], k, blocks)
        return statistics

    def _judge_plane(self, kind: str, sums: FloatArray, k: int, blocks: int) -> list[Statistic]:
        assert self.layout.planes is not None
        channels, height, width = self.layout.planes
        finest = self.plane[-1]
        merged = sums.reshape(-1, finest // k, k, finest // k, k).sum(axis=(1, 3))
        values = channels * (height // finest) * (width // finest) * (finest // k) ** 2 * blocks
        what = f"every {_ordinal(k)} row and column"
        return _judge(kind, merged.reshape(len(sums), -1), values, what, (k, k))


def _judge(
    kind: str, sums: FloatArray, count: int, what: str, period: tuple[int, ...]
) -> list[Statistic]:
    mean = kind == "mean"
    scores = sums / np.sqrt(count) if mean else chi_square_scores(sums, count)
    total, peak = condense(scores, sums / count)
    groups = scores.shape[1]
    noun = "means" if mean else "energies"

    def describe(index: int, value: float) -> Place:
        phase = tuple(int(i) for i in np.unravel_index(index, period))
        at = phase if len(phase) > 1 else phase[0]
        where = {"view": "array", "period": period, "phase": phase}
        if mean:
            return Place(f"the mean of {what}, from {at} on, is {value:+.3g}", where)
        return Place(f"the energy of {what}, from {at} on, is {percent(value, 1)}", where)

    statistics = [overall(total, groups, f"{noun} of {what}", 1.0, f"{noun} of {what}")]
    if groups >= 8:
        name = f"largest of {noun} of {what}"
        statistics.append(largest(peak, groups, name, 0.5, describe))
    return statistics


def _ordinal(k: int) -> str:
    return {2: "2nd", 3: "3rd", 32: "32nd"}.get(k, f"{k}th")
