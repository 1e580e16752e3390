"""Energy by Walsh-Hadamard index: structure in powers of two that no sine matches."""

from __future__ import annotations

import numpy as np
from scipy import special

from ..._namespace import Array
from ...isometries import Butterfly
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
from ..laws import LOG_FLOOR, chi_square_scores, sidak
from ..view import Groups, Layout, View, group_sums

__all__ = ["Hadamard"]

_MOST_BITS = 16
_FEWEST_BITS = 6


class Hadamard(Family):
    """Full Hadamard transform of the flattened array, in blocks of a power of two: exact.

    Energies are grouped by the highest bit of the index, a scale, and by the number of its bits;
    the largest coefficient of all is tested by itself.
    """

    name = "hadamard"
    share = 0.02
    keep_loudest = frozenset({"peak"})

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.bits = min(int(np.log2(layout.size)), _MOST_BITS)
        if self.bits < _FEWEST_BITS:
            raise NotEnough(f"{layout.size} values are fewer than {2**_FEWEST_BITS}")
        self.length = 2**self.bits
        self.count = layout.size // self.length
        index = np.arange(self.length)
        self.scale = Groups.of(np.where(index > 0, np.floor(np.log2(np.maximum(index, 1))) + 1, 0))
        self.weight = Groups.of(np.bitwise_count(index))

    def measure(self, view: View) -> dict[str, Array]:
        xp = view.xp
        x = xp.reshape(view.flat[:, : self.count * self.length], (view.batch, self.count, -1))
        y = Butterfly(self.bits).forward(x)
        energy = xp.sum(y * y, axis=1)
        flat = xp.reshape(y, (view.batch, -1))
        index = xp.argmax(xp.abs(flat), axis=-1)
        value = xp.take_along_axis(flat, index[:, None], axis=-1)
        position = xp.astype(index % self.length, xp.float64)[:, None]
        return {
            "scale": group_sums(view, energy, self.scale),
            "weight": group_sums(view, energy, self.weight),
            "peak": xp.concat([-xp.abs(value), value, position], axis=-1),
        }

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        result = []
        for name, groups in (("scale", self.scale), ("weight", self.weight)):
            freedom = groups.counts * self.count * blocks
            total, peak = condense(chi_square_scores(rows[name], freedom), rows[name] / freedom)
            bands = "octaves" if name == "scale" else "indices by number of bits"
            what = f"energies of Hadamard {bands}"

            def describe(index: int, value: float, name: str = name) -> Place:
                where = (
                    f"octave {index} of {self.bits}"
                    if name == "scale"
                    else f"indices of {index} bits"
                )
                return Place(f"the energy of Hadamard {where} is {percent(value, 1)}", {})

            groups_count = len(groups.ends)
            result += [
                overall(total, groups_count, what, 1.0, what),
                largest(peak, groups_count, f"largest of {what}", 1.0, describe),
            ]
        peak = rows["peak"]
        log_p = np.maximum(np.log(2) + special.log_ndtr(-np.abs(peak[:, 1])), LOG_FLOOR)
        count = self.count * self.length * blocks

        def describe_peak(b: int) -> Place:
            return Place(f"Hadamard coefficient {peak[b, 2]:.0f} is {peak[b, 1]:+.3g}", {})

        result.append(
            Statistic("largest Hadamard coefficient", 1.5, sidak(log_p, count), describe_peak)
        )
        return result
