"""Energy by frequency: flattened, along axes, in images, in 8x8 cosine blocks."""

from __future__ import annotations

import numpy as np
from scipy import fft

from ..._namespace import Array
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
from ..fourier import LineSpectrum, PlaneSpectrum
from ..laws import chi_square_scores
from ..view import Layout, View

__all__ = ["Spectrum"]

_BLOCK = 8
_LINE_BLOCK = 16


class Spectrum(Family):
    """Orthogonal transforms keep white noise white: energies of disjoint bands are chi-square.

    - 1-D of the flattened array and 2-D of the images: bands, highest ordinate (exact);
      the law of the ordinates, too even or too uneven (saddlepoint).
    - Along each axis, pooled over the rest: energy of every frequency (exact).
    - Cosine transform of 8x8 blocks (16 values if there are no images): energy of every frequency.
    """

    name = "spectrum"
    share = 0.15

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        if layout.size < 64:
            raise NotEnough(f"{layout.size} values are fewer than 64")
        self.line = LineSpectrum(layout)
        planes = layout.planes
        self.plane = PlaneSpectrum(layout) if planes and min(planes[1:]) >= 8 else None
        many = len(layout.shape) > 1
        self.axes = [a for a, n in enumerate(layout.shape) if many and n >= 4]
        self.side = _BLOCK if self.plane else _LINE_BLOCK
        self.keep_loudest = frozenset({"line_line", "plane_peak", "plane_common"})
        self.basis = fft.dct(np.eye(self.side), norm="ortho", axis=0)

    def measure(self, view: View) -> dict[str, Array]:
        xp = view.xp
        measured = {f"line_{k}": v for k, v in self.line.measure(view, view.flat).items()}
        if self.plane:
            planes = self.plane.measure(view, view.x)
            measured.update({f"plane_{k}": v for k, v in planes.items()})
        for axis in self.axes:
            spectrum = xp.fft.rfft(view.x, axis=axis + 1, norm="ortho")
            power = xp.real(spectrum) ** 2 + xp.imag(spectrum) ** 2
            measured[f"axis_{axis}"] = view.sum_others(power, axis)
        measured["block"] = self._block_energies(view)
        return measured

    def _block_energies(self, view: View) -> Array:
        xp, s = view.xp, self.side
        basis = view.host(self.basis)
        if self.plane:
            channels, height, width = self.plane.channels, self.plane.height, self.plane.width
            x = xp.reshape(view.x, (view.batch, channels, height, width))
            rows, columns = height // s, width // s
            x = x[:, :, : rows * s, : columns * s]
            x = xp.reshape(x, (view.batch, channels * rows, s, columns, s))
            x = xp.permute_dims(x, (0, 1, 3, 2, 4))
            y = basis @ x @ basis.T
            return xp.sum(y * y, axis=(1, 2))
        count = self.layout.size // s
        x = xp.reshape(view.flat[:, : count * s], (view.batch, count, s))
        y = x @ basis.T
        return xp.sum(y * y, axis=1)

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        result = self.line.judge(rows, "line_", blocks, "")
        if self.plane:
            result += self.plane.judge(rows, "plane_", blocks, "")
        for axis in self.axes:
            result += self._judge_axis(rows, axis, blocks)
        return result + self._judge_blocks(rows, blocks)

    def _judge_axis(self, rows: Rows, axis: int, blocks: int) -> list[Statistic]:
        n = self.layout.shape[axis]
        k = np.arange(n // 2 + 1)
        pairs = np.where((k == 0) | (2 * k == n), 1, 2)
        freedom = pairs * (self.layout.size // n) * blocks
        energy = rows[f"axis_{axis}"] * pairs
        scores = chi_square_scores(energy, freedom)
        total, peak = condense(scores, energy / freedom)
        what = f"energies of frequencies along axis {axis}"

        def describe(index: int, value: float) -> Place:
            return Place(
                f"the energy of frequency {index}/{n} along axis {axis} is {percent(value, 1)}",
                {"view": "spectrum", "axis": axis, "frequency": index},
            )

        return [
            overall(total, k.size, what, 1.0, what),
            largest(peak, k.size, f"largest of {what}", 1.0, describe),
        ]

    def _judge_blocks(self, rows: Rows, blocks: int) -> list[Statistic]:
        s = self.side
        energy = rows["block"].reshape(len(rows["block"]), -1)
        if self.plane:
            tiles = self.plane.channels * (self.plane.height // s) * (self.plane.width // s)
            size = f"{s}x{s} DCT"
        else:
            tiles, size = self.layout.size // s, f"{s}-point DCT"
        freedom = tiles * blocks
        total, peak = condense(chi_square_scores(energy, freedom), energy / freedom)
        what = f"energies of {size} frequencies"

        def describe(index: int, value: float) -> Place:
            at = tuple(int(i) for i in divmod(index, s)) if self.plane else index
            return Place(
                f"the energy of {size} frequency {at} is {percent(value, 1)}",
                {"view": "spectrum", "block": at},
            )

        return [
            overall(total, energy.shape[1], what, 1.0, what),
            largest(peak, energy.shape[1], f"largest of {what}", 1.5, describe),
        ]
