"""Dependence of magnitudes: where large values attract large values."""

from __future__ import annotations

from ..._namespace import Array, normal_score_of_modulus
from ..family import Family, NotEnough, Rows, Statistic
from ..fourier import LineSpectrum, PlaneSpectrum
from ..lags import LagProbe
from ..view import Layout, View

__all__ = ["Volatility"]


class Volatility(Family):
    """The field ``Phi^{-1}(2 Phi(|x|) - 1)`` is white Gaussian noise too, blind to signs.

    Its autocorrelation and its spectrum show scale that varies in place, which the values
    themselves, uncorrelated, do not.
    """

    name = "volatility"
    share = 0.07

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        if layout.size < 64:
            raise NotEnough(f"{layout.size} values are fewer than 64")
        self.lags = LagProbe(layout)
        planes = layout.planes
        large = planes is not None and min(planes[1:]) >= 8
        self.spectrum: LineSpectrum | PlaneSpectrum = (
            PlaneSpectrum(layout) if large else LineSpectrum(layout)
        )
        self.keep_loudest = frozenset(
            [f"far_{m}" for m in self.lags.orders] + [f"f_{k}" for k in ("peak", "common", "line")]
        )

    def measure(self, view: View) -> dict[str, Array]:
        xp = view.xp
        field = normal_score_of_modulus(view.x)
        flat = xp.reshape(field, (view.batch, -1))
        bands = self.spectrum.measure(view, flat)
        return {
            **self.lags.measure(view, field),
            **{f"f_{key}": value for key, value in bands.items()},
        }

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        noun = "volatility "
        return self.lags.judge(rows, "", blocks, noun) + self.spectrum.judge(
            rows, "f_", blocks, noun
        )
