"""The panels of `check`: each draws one view of a subject and marks the loudest finding in it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import special

from ..reference import FloatArray
from ..verify.report import format_pvalue
from .style import BLUE, GREY, PALE
from .subject import Subject
from .views import (
    LEVEL,
    block_means,
    lag_scores,
    mean_power,
    order_statistic_deviations,
    power_range,
    reaches,
    tile_scores,
)

__all__ = ["array", "families", "lags", "marginal", "spectrum", "tiles"]

_MOST_PIXELS = 512  # along a side of an image
_MOST_POINTS = 512  # along a curve
_MOST_FREQUENCIES = 256  # along a side of a 2-D spectrum
_MOST_CELLS = 1024  # of a tile map
_MOST_BARS = 64  # tiles of a series
_LONGEST_BAR = 20.0  # -log10 p
_SCORES = {"cmap": "RdBu_r", "vmin": -5, "vmax": 5}  # standard errors


def array(axes: Any, subject: Subject) -> str:
    """Draw the values; return the title."""
    values = subject.images(subject.x)
    if subject.planes is None:
        return _series(axes, subject, values)
    mosaic = subject.mosaic
    step = -(-max(values.shape[-2:]) // _MOST_PIXELS)
    limit = _grey_limit(values)
    mosaic.show(axes, values[:, ::step, ::step], step, cmap="gray", vmin=-limit, vmax=limit)
    thinned = f", every {_ordinal(step)} pixel" if step > 1 else ""
    axes.set_xlabel(f"grey scale ±{limit:.3g}{thinned}")
    where = subject.where("array")
    if "source" in where:
        _mark_copies(axes, subject)
    elif "axis" in where and "index" in where:
        for index in np.atleast_1d(where["index"]):
            _mark_slice(axes, subject, where["axis"] - subject.x.ndim, int(index))
    return str(mosaic)


def _grey_limit(values: FloatArray) -> float:
    """2.5, unless the values are far larger or smaller."""
    typical = float(np.quantile(np.abs(values[..., :: -(-values.size // 2**20)]), 0.99)) / 2.6
    return 2.5 if 0.5 < typical < 2 or typical == 0 else 2.5 * typical


def _ordinal(n: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(n, f"{n}th")


def _series(axes: Any, subject: Subject, x: FloatArray) -> str:
    size = -(-x.size // _MOST_POINTS)
    position = (np.arange(x.size // size) + 0.5) * size
    if size == 1:
        axes.plot(np.arange(x.size), x, color=BLUE, lw=0.7)
        title = f"{x.size} values"
    else:
        parts = np.sort(x[: position.size * size].reshape(-1, size), axis=-1)
        axes.fill_between(position, parts[:, 0], parts[:, -1], color=PALE, lw=0)
        low, high = parts[:, size // 4], parts[:, size - 1 - size // 4]
        axes.fill_between(position, low, high, color=BLUE, lw=0)
        title = f"range and middle half of every {size} values"
    axes.set(xlim=(0, max(x.size, 2)), xlabel="index")
    where = subject.where("array")
    for end in ("source", "target"):
        if end in where:
            start, size = where[end][-1], where["size"][-1]
            axes.axvspan(start, start + size, color=subject.colour, lw=1.8)
    return title


def _mark_slice(axes: Any, subject: Subject, axis: int, index: int) -> None:
    """Outline a row or column of every image, or a whole image; `axis` counts from the end."""
    mosaic = subject.mosaic
    if axis < -3 or (axis == -3 and subject.x.ndim > 3):
        return
    for image in [index] if axis == -3 else mosaic.images:
        box = [0.0, 0.0, float(mosaic.width), float(mosaic.height)]
        if axis > -3:  # with a pixel to either side, so that the slice itself stays visible
            at = 1 if axis == -2 else 0
            box[at], box[at + 2] = index - 1.0, 3.0
        _box(axes, subject, image, *box)


def _mark_copies(axes: Any, subject: Subject) -> None:
    where, mosaic = subject.where("array"), subject.mosaic
    height, width = where["size"]
    centres = []
    for image, y, x in (where["source"], where["target"]):
        _box(axes, subject, image, x, y, width, height)
        left, top = mosaic.corner(image)
        centres.append((left + x + width / 2, top + y + height / 2))
    arrow = {"arrowstyle": "->", "color": subject.colour, "lw": 1.4, "shrinkA": 6, "shrinkB": 6}
    axes.annotate("", xy=centres[1], xytext=centres[0], arrowprops=arrow)


def _box(
    axes: Any, subject: Subject, image: int, x: float, y: float, width: float, height: float
) -> None:
    from matplotlib.patches import Rectangle

    left, top = subject.mosaic.corner(image)
    axes.add_patch(Rectangle((left + x, top + y), width, height, **_outline(subject)))


def _outline(subject: Subject) -> dict[str, Any]:
    return {"fill": False, "edgecolor": subject.colour, "lw": 1.8, "clip_on": False}


def _ring(subject: Subject) -> dict[str, Any]:
    return {"ms": 12, "mfc": "none", "mec": subject.colour, "mew": 2}


def marginal(axes: Any, subject: Subject) -> str:
    """Draw the order statistics in their band; return the title."""
    quantile, deviation = order_statistic_deviations(subject.x)
    axes.axhspan(-1, 1, color=PALE, alpha=0.35, lw=0)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.plot(quantile, deviation, color=BLUE, lw=1.3, marker=".", ms=2.5)
    reach = max(1.5, 1.08 * float(np.max(np.abs(deviation))))
    axes.set(ylim=(-reach, reach), xlabel="normal quantile", ylabel=f"deviation / {LEVEL:.1%} band")
    peak = int(np.argmax(np.abs(deviation)))
    if abs(deviation[peak]) > 1:
        axes.plot(
            quantile[peak], deviation[peak], "o", ms=11, mfc="none", mec=subject.colour, mew=2
        )
    return "order statistics"


def spectrum(axes: Any, subject: Subject) -> str:
    """Draw the power over that of noise; return the title."""
    values = subject.images(subject.field)
    of = " of magnitudes" if subject.of_magnitudes else ""
    if subject.planes is None or subject.in_a_row:
        _line_spectrum(axes, subject, values.ravel())
        return f"spectrum{of}" + (", values in a row" if subject.planes else "")
    count, height, width = subject.planes
    power = mean_power(values)
    blocks = [-(-n // _MOST_FREQUENCIES) for n in (height, width)]
    low, high = (math.log10(p) for p in power_range(count * math.prod(blocks)))
    shown = np.log10(np.maximum(block_means(power, *blocks), 1e-12))
    # Frequency k is the middle of its cell.
    left, top = (-(n // 2 + 0.5) / n for n in (width, height))
    down, right = (c * b / n for c, b, n in zip(shown.shape, blocks, power.shape, strict=True))
    extent = (left, left + right, top + down, top)
    artist = axes.imshow(
        shown, cmap="magma", vmin=low, vmax=high, extent=extent, interpolation="nearest"
    )
    _colour_bar(axes, artist, _power_ticks(low, high))
    ticks = [-0.4, -0.2, 0, 0.2, 0.4]
    axes.set(xticks=ticks, yticks=ticks, xlabel="cycles per pixel")
    axes.set(xlim=extent[:2], ylim=extent[2:])
    _mark_frequency(axes, subject)
    return f"power{of} / expected" + (", mean of images" if count > 1 else "")


def _power_ticks(low: float, high: float) -> dict[float, str]:
    nice = [0.1, 0.5, 1, 2, 5] if high - low > 0.8 else [0.5, 0.8, 1, 1.25, 2]
    if high - low < 0.3:
        nice = [0.8, 0.9, 1, 1.1, 1.2]
    return {math.log10(p): f"{p:g}" for p in nice if low < math.log10(p) < high}


def _mark_frequency(axes: Any, subject: Subject) -> None:
    """Outline frequencies in cycles per pixel, together with their mirror images."""
    from matplotlib.patches import Ellipse, Rectangle

    assert subject.planes is not None
    where, (_, height, width) = subject.where("spectrum"), subject.planes
    outline = _outline(subject)
    if "index" in where:
        ky, kx = where["index"][-2:]
        for sign in (1, -1):
            axes.add_patch(Ellipse((sign * kx / width, sign * ky / height), 0.09, 0.09, **outline))
    elif "radius" in where:
        for radius in where["radius"]:
            axes.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, **outline | {"clip_on": True}))
    elif "direction" in where:
        for edge in (-11.25, 11.25):
            angle = math.radians(where["direction"] + edge)
            dy, dx = 0.7 * math.sin(angle), 0.7 * math.cos(angle)
            axes.plot([-dx, dx], [-dy, dy], color=subject.colour, lw=1.8)
    elif np.size(where.get("block", 0)) == 2:
        for sy in (1, -1):
            for sx in (1, -1):
                y, x = (s * k / 16 for s, k in zip((sy, sx), where["block"], strict=True))
                corner = (x - 1 / 32, y - 1 / 32)
                axes.add_patch(Rectangle(corner, 1 / 16, 1 / 16, **outline | {"clip_on": True}))
    elif "axis" in where:
        axis = where["axis"] - subject.x.ndim
        draw = {-1: axes.axvline, -2: axes.axhline}.get(axis)
        for sign in (1, -1):
            if draw:
                draw(
                    sign * where["frequency"] / subject.x.shape[axis],
                    color=subject.colour,
                    lw=1.8,
                    ls=":",
                )


def _line_spectrum(axes: Any, subject: Subject, x: FloatArray) -> None:
    power = mean_power(x)
    if not power.size:
        return
    block = -(-power.size // _MOST_POINTS)
    frequency = np.arange(1, power.size + 1) / x.size
    middle = block_means(frequency, block)
    peaks = power[: middle.size * block].reshape(-1, block).max(axis=-1)
    if block > 1:
        axes.plot(middle, peaks, color=PALE, lw=0.8, label=f"largest of {block}")
    axes.plot(middle, block_means(power, block), color=BLUE, lw=0.9,
              label=f"mean of {block}" if block > 1 else "power")  # fmt: skip
    limit = -math.log(-math.expm1(math.log(LEVEL) / power.size))
    axes.axhline(1, color=GREY, lw=0.8)
    axes.axhline(limit, color=GREY, lw=1, ls="--", label=f"{LEVEL:.1%} limit")
    top = max(3 * limit, 2 * float(peaks.max()))
    axes.set(yscale="log", xlim=(0, 0.5), ylim=(0.02, top), xlabel="cycles per value")
    axes.legend(loc="lower right", fontsize=7, ncols=3, frameon=False, handlelength=1.2)
    where = subject.where("spectrum")
    if "line" in where:
        first, last = where["line"]
        if first == last:
            axes.plot(first / x.size, power[first - 1], "o", **_ring(subject))
        else:
            axes.axvspan(first / x.size, last / x.size, color=subject.colour, alpha=0.15, lw=0)


def tiles(axes: Any, subject: Subject) -> str:
    """Draw means or energies of tiles in standard errors, what speaks louder; return the title."""
    where, values = subject.where("tiles"), subject.images(subject.x)
    tile = where["tile"][-1] if "tile" in where else _tile_side(subject)
    if tile > min(values.shape[-2:]):
        return "tiles"
    scores = {kind: tile_scores(values, tile, kind) for kind in ("mean", "energy")}
    place = where.get("index", (...,))[-values.ndim :]
    kind = max(scores, key=lambda kind: float(np.max(np.abs(scores[kind][tuple(place)]))))
    noun = {"mean": "means", "energy": "energies"}[kind]
    if subject.planes is None:
        _bars(axes, subject, (np.arange(scores[kind].size) + 0.5) * tile, scores[kind], 0.8 * tile)
        axes.set(xlim=(0, max(values.size, 2)), xlabel="index", ylabel="standard errors")
        if "index" in where:
            start = where["index"][-1] * tile
            axes.axvspan(start, start + tile, fill=False, edgecolor=subject.colour, lw=1.8)
        return f"{noun} of {tile} values"
    artist = subject.mosaic.show(axes, scores[kind], tile, **_SCORES)
    _colour_bar(axes, artist, {-5: "-5", 0: "0", 5: "5"})
    axes.set_xlabel("standard errors")
    if "index" in where:
        image, row, column = where["index"]
        _box(axes, subject, image, column * tile, row * tile, tile, tile)
    return f"{noun} of {tile}x{tile} tiles"


def _tile_side(subject: Subject) -> int:
    """Power of two that makes a legible map."""
    if subject.planes is None:
        exponent = max(math.log2(subject.x.size / _MOST_BARS), 2)
    else:
        _, height, width = subject.planes
        pixels = len(subject.mosaic.images) * height * width
        exponent = min(
            max(math.log2(pixels / _MOST_CELLS) / 2, 2), math.log2(min(height, width)) - 1
        )
    return 1 << math.ceil(exponent)


def lags(axes: Any, subject: Subject) -> str:
    """Draw the autocorrelation at near lags in standard errors; return the title."""
    where, x = subject.where("lags"), subject.field
    if subject.planes is None:
        x = x.ravel()
    lag = where.get("lag", (0,) * x.ndim)
    if len(lag) != x.ndim:
        lag = (0,) * x.ndim
    reach = 32 if x.ndim == 1 else 16
    # A lag that is far away gets a window of its own.
    far = any(abs(k) > r for k, r in zip(lag[-2:], reaches(x.shape, reach), strict=True))
    centre = lag if far else (*lag[:-2], *(0 for _ in lag[-2:]))
    scores = lag_scores(x, centre, reach)
    windows = [(c - r, c + r) for c, r in zip(centre[-2:], reaches(x.shape, reach), strict=True)]
    if x.ndim == 1:
        first, last = windows[0]
        _bars(axes, subject, np.arange(first, last + 1), scores, 0.35)
        axes.set(xlabel="lag", ylabel="standard errors")
        at = lag[0] if far else abs(lag[0])
        if not far:  # the other half is its mirror image
            axes.set_xlim(-0.5, max(last, 1) + 1)
        if at:
            axes.axvspan(at - 0.6, at + 0.6, fill=False, edgecolor=subject.colour, lw=1.8)
    else:
        (top, bottom), (left, right) = windows
        extent = (left - 0.5, right + 0.5, bottom + 0.5, top - 0.5)
        axes.set_facecolor("#d0d0d0")
        artist = axes.imshow(scores, extent=extent, interpolation="nearest", **_SCORES)
        _colour_bar(axes, artist, {-5: "-5", 0: "0", 5: "5"})
        axes.set(xlabel="columns", ylabel="rows")
        axes.set_aspect("equal" if 1 / 3 < scores.shape[0] / scores.shape[1] < 3 else "auto")
        if any(lag):
            _mark_lag(axes, subject, lag[-2:])
    of = " of magnitudes" if subject.of_magnitudes else ""
    apart = f", lag {', '.join(map(str, lag[:-2]))} between images" if any(lag[:-2]) else ""
    unit = ", standard errors" if x.ndim > 1 else ""
    return f"autocorrelation{of}{apart}{unit}"


def _mark_lag(axes: Any, subject: Subject, lag: Iterable[int]) -> None:
    from matplotlib.patches import Rectangle

    y, x = lag
    axes.add_patch(Rectangle((x - 0.9, y - 0.9), 1.8, 1.8, **_outline(subject)))


def _bars(axes: Any, subject: Subject, x: FloatArray, scores: FloatArray, width: float) -> None:
    """Draw scores as bars with the limits that noise keeps."""
    count = max(int(np.sum(np.isfinite(scores))), 1)
    limit = -float(special.ndtri(-math.expm1(math.log(LEVEL) / count) / 2))
    axes.bar(x, np.nan_to_num(scores), width=width, color=BLUE)
    for y in (-limit, limit):
        axes.axhline(y, color=GREY, lw=1, ls="--")
    axes.axhline(0, color=GREY, lw=0.8)
    reach = 1.1 * max(float(np.max(np.abs(np.nan_to_num(scores)), initial=0.0)), 1.15 * limit)
    axes.set(ylim=(-reach, reach))
    axes.annotate(f"{LEVEL:.1%} limit", (1, limit), xycoords=("axes fraction", "data"),
                  xytext=(-3, 2), textcoords="offset points", ha="right", va="bottom", fontsize=7,
                  color=GREY)  # fmt: skip


def _colour_bar(axes: Any, artist: Any, ticks: dict[float, str]) -> None:
    bar = axes.figure.colorbar(artist, ax=axes, fraction=0.046, pad=0.03)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_linewidth(0.5)


def families(axes: Any, subject: Subject) -> str:
    """Draw the p-value of each family; return the title."""
    rows = sorted(subject.report.log_families.items(), key=lambda item: item[1])
    lengths = [min(-log_p / math.log(10), _LONGEST_BAR) for _, log_p in rows]
    loud = [subject.colour if name == subject.finding.family else PALE for name, _ in rows]
    names = [name.replace("_", " ") for name, _ in rows]
    off = [name.replace("_", " ") for name in subject.report.skipped if name not in dict(rows)]
    axes.barh(range(len(rows)), lengths, color=loud, height=0.7)
    for y, ((_, log_p), length) in enumerate(zip(rows, lengths, strict=True)):
        inside = length > 0.75 * _LONGEST_BAR
        axes.annotate(format_pvalue(log_p), (length, y), xytext=(-3 if inside else 3, 0),
                      textcoords="offset points", va="center", ha="right" if inside else "left",
                      fontsize=7, color="white" if inside else "black")  # fmt: skip
    for y, _ in enumerate(off, start=len(rows)):
        axes.annotate("off", (0, y), xytext=(3, 0), textcoords="offset points", va="center",
                      fontsize=7, color=GREY)  # fmt: skip
    axes.set_yticks(range(len(names) + len(off)), names + off)
    axes.tick_params(axis="y", length=0)
    axes.set(
        xlim=(0, _LONGEST_BAR),
        xlabel="\N{MINUS SIGN}log₁₀ p",
        ylim=(len(names) + len(off) - 0.4, -0.6),
    )
    return "families"
