"""Probes of a field in the Fourier domain: energy in bands, peaks, flatness.

They apply to any field that is white and Gaussian under the null: the array itself, and the field
of its volatility.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy import special

from .._namespace import Array
from ..reference import FloatArray
from .family import Place, Rows, Statistic, condense, largest, overall, percent, trend
from .laws import (
    ScoreTable,
    chi_square_scores,
    flatness_law,
    log_two_sided,
    sidak,
    sum_law,
)
from .view import Groups, Layout, View, group_sums

__all__ = ["LineSpectrum", "PlaneSpectrum"]


def _centre_out(score: FloatArray) -> FloatArray:
    """Second Legendre polynomial of a uniform variable from its normal score."""
    u = special.ndtr(score)
    return np.asarray(6 * u * (u - 1) + 1)


@lru_cache(maxsize=64)
def _concentration_law(count: int) -> ScoreTable:
    return sum_law(_centre_out, count)


@lru_cache(maxsize=64)
def _flatness_law(count: int) -> ScoreTable:
    return flatness_law(np.ones(count), 1.0)


def ordinate_sums(view: View, power: Array) -> dict[str, Array]:
    """Sums over periodogram ordinates of shape (B, n), each Exp(1) under the null."""
    xp = view.xp
    floor = xp.where(power > 1e-300, power, xp.full_like(power, 1e-300))
    u = xp.exp(-power)
    return {
        "flatness": xp.sum(xp.log(floor), axis=-1),
        "power": xp.sum(power, axis=-1),
        "concentration": xp.sum(6 * u * (u - 1) + 1, axis=-1),
    }


def judge_ordinates(
    rows: Rows, prefix: str, count: int, weight: float, what: str
) -> list[Statistic]:
    """Test the law of the ordinates, whatever their frequency."""
    result = []
    for name, high, low in (
        ("flatness", "are too even", "vary too much"),
        ("concentration", "are too often very small or very large", "are too often medium"),
    ):
        value = rows[f"{prefix}{name}"]
        if name == "flatness":
            # Less the logarithm of the mean: a law that does not depend on the scale.
            mean = np.maximum(rows[f"{prefix}power"] / count, 1e-300)
            score = _flatness_law(count)(value - count * np.log(mean))
        else:
            score = _concentration_law(count)(value)

        def describe(b: int, score: FloatArray = score, high: str = high, low: str = low) -> Place:
            how = high if score[b] > 0 else low
            return Place(
                f"the powers of {what} {how} ({abs(score[b]):.1f} standard errors)",
                {"view": "spectrum"},
            )

        result.append(Statistic(f"{name} of {what}", weight, log_two_sided(score), describe))
    return result


class LineSpectrum:
    """Spectrum of the flattened field: octaves, equal bands, lines, the ordinates."""

    def __init__(self, layout: Layout) -> None:
        self.size = layout.size
        k = np.arange(self.size // 2 + 1)
        self.freedom = np.where((k == 0) | (2 * k == self.size), 1.0, 2.0)
        self.octaves = Groups.of(np.floor(np.log2(np.maximum(k, 1))))
        bands = min(32, self.size // 16)
        self.bands = Groups.of(np.minimum(k * bands // k.size, bands - 1))

    def measure(self, view: View, flat: Array) -> dict[str, Array]:
        xp = view.xp
        spectrum = xp.fft.rfft(flat, norm="ortho")
        power = xp.real(spectrum) ** 2 + xp.imag(spectrum) ** 2
        interior = power[:, 1 : (self.size + 1) // 2]
        power = power * view.host(self.freedom)
        peak = xp.argmax(interior, axis=-1)
        height = xp.max(interior, axis=-1)
        return {
            "octaves": group_sums(view, power, self.octaves),
            "bands": group_sums(view, power, self.bands),
            "line": xp.stack([-height, xp.astype(peak + 1, xp.float64)], axis=-1),
            **ordinate_sums(view, interior),
        }

    def judge(self, rows: Rows, prefix: str, blocks: int, noun: str) -> list[Statistic]:
        n = self.size
        result = []
        for name, groups in (("octaves", self.octaves), ("bands", self.bands)):
            freedom = np.add.reduceat(self.freedom[groups.order], groups.starts) * blocks
            energy = rows[f"{prefix}{name}"]
            scores = chi_square_scores(energy, freedom)
            total, peak = condense(scores, energy / freedom)
            what = f"energies of {noun}frequency {name}"

            def describe(
                index: int, value: float, name: str = name, groups: Groups = groups
            ) -> Place:
                first = int(groups.order[groups.starts[index]])
                last = int(groups.order[groups.ends[index]])
                band = f"{noun}frequencies {first / n:.3g} to {last / n:.3g} cycles per value"
                return Place(
                    f"the energy of {band} is {percent(value, 1)}",
                    {"view": "spectrum", "line": (first, last)},
                )

            result += [
                overall(total, len(groups.ends), what, 1.5, what),
                largest(peak, len(groups.ends), f"largest of {what}", 1.0, describe),
            ]
        interior = (n - 1) // 2

        def describe_line(b: int) -> Place:
            height, k = -rows[f"{prefix}line"][b, 0], int(rows[f"{prefix}line"][b, 1])
            return Place(
                f"{noun}frequency {k / n:.4g} cycles per value (period {n / k:.4g}) has "
                f"{height:.3g} times its energy",
                {"view": "spectrum", "line": (k, k)},
            )

        log_p = sidak(np.minimum(rows[f"{prefix}line"][:, 0], 0.0), interior * blocks)
        result.append(Statistic(f"largest {noun}frequency", 1.5, log_p, describe_line))
        what = f"{noun}frequencies"
        return result + judge_ordinates(rows, prefix, interior * blocks, 0.8, what)


class PlaneSpectrum:
    """2-D spectrum of the images: radial bands, sectors of direction, peaks, the ordinates."""

    def __init__(self, layout: Layout) -> None:
        assert layout.planes is not None
        self.channels, self.height, self.width = layout.planes
        fy = np.fft.fftfreq(self.height)[:, None]
        fx = np.fft.rfftfreq(self.width)[None, :]
        self.shape = (self.height, self.width // 2 + 1)
        column = np.arange(self.shape[1])
        row = np.arange(self.height)[:, None]
        # A half spectrum: inner columns stand for two conjugate coefficients.
        edge = (column == 0) | (2 * column == self.width)
        self.freedom = (np.where(edge, 1.0, 2.0) * np.ones_like(row)).ravel()
        own_conjugate = edge & ((row == 0) | (2 * row == self.height))
        self.inner = np.flatnonzero(np.broadcast_to(~edge, self.shape))
        radius = np.hypot(fy, fx)
        bands = max(min(self.height, self.width) // 4, 2)
        bands = min(bands, 16)
        label = np.minimum((radius / 0.5 * bands).astype(int), bands)
        self.radial = Groups.of(label)
        self.radius = radius
        angle = np.arctan2(fy, fx) % np.pi
        sector = np.floor((angle / np.pi * 8 + 0.5) % 8).astype(int)
        self.sectors = Groups.of(np.where(own_conjugate, -1, sector))
        self.fy, self.fx = np.broadcast_to(fy, self.shape), np.broadcast_to(fx, self.shape)

    def measure(self, view: View, field: Array) -> dict[str, Array]:
        xp = view.xp
        planes = xp.reshape(field, (view.batch, self.channels, self.height, self.width))
        spectrum = xp.fft.rfftn(planes, axes=(-2, -1), norm="ortho")
        power = xp.real(spectrum) ** 2 + xp.imag(spectrum) ** 2
        power = xp.reshape(power, (view.batch, self.channels, -1))
        inner = xp.reshape(xp.take(power, view.host(self.inner), axis=-1), (view.batch, -1))
        pooled = xp.sum(power, axis=1) * view.host(self.freedom)
        common = xp.take(xp.sum(power, axis=1), view.host(self.inner), axis=-1)
        measured = {
            "radial": group_sums(view, pooled, self.radial),
            "sectors": group_sums(view, pooled, self.sectors),
            "peak": self._highest(view, inner),
            **ordinate_sums(view, inner),
        }
        if self.channels > 1:
            measured["common"] = self._highest(view, common)
        return measured

    @staticmethod
    def _highest(view: View, power: Array) -> Array:
        xp = view.xp
        index = xp.astype(xp.argmax(power, axis=-1), xp.float64)
        return xp.stack([-xp.max(power, axis=-1), index], axis=-1)

    def judge(self, rows: Rows, prefix: str, blocks: int, noun: str) -> list[Statistic]:
        result = []
        for name, groups in (("radial", self.radial), ("sectors", self.sectors)):
            freedom = np.add.reduceat(self.freedom[groups.order], groups.starts)
            freedom = freedom * self.channels * blocks
            energy = rows[f"{prefix}{name}"]
            scores = chi_square_scores(energy, freedom)
            total, peak = condense(scores, energy / freedom)
            count = len(groups.ends)
            bands = "radial bands" if name == "radial" else "directions"
            what = f"energies of 2-D {noun}{bands}"

            def describe(index: int, value: float, name: str = name) -> Place:
                return self._describe_group(name, index, value, noun)

            result += [
                overall(total, count, what, 1.0, what),
                largest(peak, count, f"largest of {what}", 1.0, describe),
            ]
            if name == "radial":
                up = f"the 2-D {noun}energy rises with frequency"
                down = f"the 2-D {noun}energy falls with frequency"
                slope = f"slope of the 2-D {noun}spectrum"
                result.append(trend(scores, slope, 2.5, up, down))
        count = self.inner.size
        result.append(
            self._judge_peak(rows[f"{prefix}peak"], 1, count * self.channels, blocks, noun)
        )
        if self.channels > 1:
            result.append(
                self._judge_peak(rows[f"{prefix}common"], self.channels, count, blocks, noun)
            )
        count *= self.channels * blocks
        what = f"2-D {noun}frequencies"
        return result + judge_ordinates(rows, prefix, count, 0.8, what)

    def _describe_group(self, name: str, index: int, value: float, noun: str) -> Place:
        groups = self.radial if name == "radial" else self.sectors
        start, stop = groups.starts[index], groups.ends[index] + 1
        if name == "radial":
            radius = self.radius.ravel()[groups.order[start:stop]]
            inner, outer = float(radius.min()), float(radius.max())
            band = f"frequencies {inner:.2f} to {outer:.2f} cycles per pixel"
            where: dict[str, Any] = {"view": "spectrum", "radius": (inner, outer)}
        else:
            degrees = 22.5 * groups.labels[index]
            band = f"frequencies within 11 degrees of direction {degrees:g} degrees"
            where = {"view": "spectrum", "direction": degrees}
        return Place(f"the energy of 2-D {noun}{band} is {percent(value, 1)}", where)

    def _judge_peak(
        self, rows: FloatArray, channels: int, count: int, blocks: int, noun: str
    ) -> Statistic:
        """The highest ordinate: a gamma variable of shape `channels`, one of `count`."""
        height = -rows[:, 0]
        with np.errstate(divide="ignore"):
            log_p = np.log(special.gammaincc(channels, height))
        # Leading term of the tail where it underflows.
        leading = (channels - 1) * np.log(np.maximum(height, 1)) - height
        log_p = np.where(height > 600, leading - special.gammaln(channels), log_p)

        def describe(b: int) -> Place:
            position = int(self.inner[int(rows[b, 1]) % self.inner.size])
            fy, fx = self.fy.ravel()[position], self.fx.ravel()[position]
            ky, kx = round(fy * self.height), round(fx * self.width)
            who = " of all images together" if channels > 1 else ""
            return Place(
                f"2-D {noun}frequency ({ky}, {kx}){who} has {height[b] / channels:.3g} times its "
                "energy",
                {"view": "spectrum", "index": (ky, kx)},
            )

        name = f"largest 2-D {noun}frequency" + (" of all images" if channels > 1 else "")
        return Statistic(name, 1.0, sidak(np.minimum(log_p, 0.0), count * blocks), describe)
