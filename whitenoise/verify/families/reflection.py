"""Symmetry: mirrors, rotations by half a turn, transposition, shifts by half a length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._namespace import Array, Namespace
from ..family import (
    Family,
    NotEnough,
    Place,
    Rows,
    Statistic,
    condense,
    largest,
    overall,
)
from ..fourier import PlaneSpectrum
from ..laws import beta_scores, log_two_sided
from ..view import Groups, Layout, View, group_sums

__all__ = ["Reflection"]

_BANDS = 8  # of frequency

Involution = Callable[[Array, Namespace], Array]


class Reflection(Family):
    """An involution `P` splits the space into what it keeps and what it turns to its negative.

    With ``f`` fixed positions these have ``(N + f) / 2`` and ``(N - f) / 2`` dimensions, and the
    share of the energy in the first is a Beta variable: exact, whatever the scale. A large share is
    symmetry, a small one antisymmetry. The same by frequency: real Fourier coefficients are even
    about the origin, imaginary ones odd, and have the same energy.
    """

    name = "reflection"
    share = 0.04

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        if layout.size < 16:
            raise NotEnough(f"{layout.size} values are fewer than 16")
        self.involutions = _involutions(layout.shape)
        index = np.arange(layout.size).reshape(1, *layout.shape)
        self.fixed = [int(np.sum(index == apply(index, np))) for _, apply in self.involutions]
        planes = layout.planes
        self.plane = PlaneSpectrum(layout) if planes and min(planes[1:]) >= 8 else None
        if self.plane:
            radius = self.plane.radius.ravel()[self.plane.inner]
            self.bands = Groups.of(np.minimum((radius / 0.5 * _BANDS).astype(int), _BANDS))

    def measure(self, view: View) -> dict[str, Array]:
        xp, axes = view.xp, tuple(range(1, len(self.layout.shape) + 1))
        products = [xp.sum(view.x * apply(view.x, xp), axis=axes) for _, apply in self.involutions]
        measured = {
            "products": xp.stack(products, axis=-1),
            "energy": view.energy,
        }
        if self.plane:
            measured["real"], measured["imaginary"] = self._phases(view, self.plane)
        return measured

    def _phases(self, view: View, plane: PlaneSpectrum) -> list[Array]:
        """Energies of real and imaginary Fourier coefficients, shape (B, channels * bands)."""
        xp = view.xp
        images = xp.reshape(view.x, (view.batch * plane.channels, plane.height, plane.width))
        spectrum = xp.fft.rfftn(images, axes=(-2, -1), norm="ortho")
        spectrum = xp.reshape(spectrum, (int(spectrum.shape[0]), -1))
        inner = xp.take(spectrum, view.host(plane.inner), axis=-1)
        return [
            xp.reshape(group_sums(view, part * part, self.bands), (view.batch, -1))
            for part in (xp.real(inner), xp.imag(inner))
        ]

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        n, energy = self.layout.size, rows["energy"]
        statistics = []
        for i, (name, _) in enumerate(self.involutions):
            product = rows["products"][:, i]
            kept = (n + self.fixed[i]) / 2
            share = (energy + product) / np.maximum(2 * energy, 1e-300)
            score = beta_scores(share, kept / 2 * blocks, (n - kept) / 2 * blocks)

            def describe(b: int, name: str = name, share: np.ndarray = share) -> Place:
                kind = "symmetric" if share[b] > 0.5 else "antisymmetric"
                part = max(share[b], 1 - share[b])
                return Place(
                    f"{100 * part:.3g} % of the energy is {kind} under {name}",
                    {"view": "array", "involution": name},
                )

            statistics.append(
                Statistic(f"symmetry under {name}", 1.0, log_two_sided(score), describe)
            )
        return statistics + (self._judge_phases(rows, self.plane, blocks) if self.plane else [])

    def _judge_phases(self, rows: Rows, plane: PlaneSpectrum, blocks: int) -> list[Statistic]:
        energy = np.maximum(rows["real"] + rows["imaginary"], 1e-300)
        share = rows["real"] / energy
        freedom = np.tile(self.bands.counts, plane.channels) * blocks / 2
        total, peak = condense(beta_scores(share, freedom, freedom), share)
        bands = self.bands.counts.size
        count = plane.channels * bands

        def describe(index: int, value: float) -> Place:
            channel, band = divmod(index, bands)
            kind = "symmetric" if value > 0.5 else "antisymmetric"
            band = int(self.bands.labels[band])
            low, high = band / 2 / _BANDS, (band + 1) / 2 / _BANDS
            where = f"2-D frequencies {low:.2f} to {high:.2f} cycles per pixel"
            of = f" of image {channel}" if plane.channels > 1 else ""
            return Place(
                f"{100 * max(value, 1 - value):.3g} % of the energy at {where}{of} is {kind} about "
                "the origin",
                {"view": "spectrum", "radius": (low, high)},
            )

        what = "symmetries about the origin by frequency"
        return [
            overall(total, count, what, 1.0, what),
            largest(peak, count, f"largest of {what}", 1.0, describe),
        ]


def _involutions(shape: tuple[int, ...]) -> list[tuple[str, Involution]]:
    d = len(shape)
    long = [a for a in range(d) if shape[a] > 2]
    found: list[tuple[str, Involution]] = []

    def flip(axes: tuple[int, ...]) -> Involution:
        return lambda x, xp: xp.flip(x, axis=tuple(a + 1 for a in axes))

    def half_shift(axis: int) -> Involution:
        return lambda x, xp: xp.roll(x, shape[axis] // 2, axis=axis + 1)

    for axis in long:
        found.append((f"reversal of axis {axis}", flip((axis,))))
    if d > 1 and len(long) > 1:
        found.append(("reversal of all axes", flip(tuple(range(d)))))
    if d > 2 and shape[-1] > 2 and shape[-2] > 2:
        found.append(("rotation of the images by half a turn", flip((d - 2, d - 1))))
    if d > 1 and shape[-1] == shape[-2] > 2:
        swapped = (*range(d - 1), d, d - 1)
        found.append(("transposition of the images", lambda x, xp: xp.permute_dims(x, swapped)))
    for axis in range(d):
        if shape[axis] % 2 == 0:
            name = f"a shift by half of axis {axis}"
            if shape[axis] == 2:
                name = f"exchange of the halves of axis {axis}"
            found.append((name, half_shift(axis)))
    return found
