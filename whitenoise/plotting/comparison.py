"""Arrays in a grid, each with its spectrum and its histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._namespace import Array, to_numpy
from .style import PALE, RED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compare"]

_RANGE = 4.0  # standard deviations shown


def compare(
    rows: Mapping[str, Mapping[str, Array]],
    captions: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> Figure:
    """Draw arrays in a grid: each as an image, with its 2-D spectrum and its histogram.

    Parameters
    ----------
    rows
        For each row label, the arrays of the row by column label. Arrays of more than two axes are
        shown by their first image along the last two; shorter ones as a single line.
    captions
        Lines of text under the panels, by the same labels.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; save it with ``figure.savefig(path)``.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the extra.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal((32, 32))
    >>> figure = compare({"noise": {"input": noise}})
    >>> len(figure.axes)
    3
    """
    if not rows or not all(rows.values()):
        raise ValueError("rows must hold at least one array in every row")
    width = max(len(row) for row in rows.values())
    figure = new_figure(figsize=(3.3 * width + 0.3, 2.75 * len(rows)), layout="constrained")
    bands = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for band, (row_label, row) in zip(bands, rows.items(), strict=True):
        band.supylabel(row_label, fontsize=12)
        cells = band.subfigures(1, width, squeeze=False)[0]
        for cell, (label, x) in zip(cells, row.items(), strict=False):
            lines = captions[row_label][label] if captions else ()
            _panel(cell, to_numpy(x), label, lines)
    return figure


def _panel(cell: Any, x: np.ndarray[Any, Any], label: str, lines: Sequence[str]) -> None:
    axes = cell.subplot_mosaic([["image", "spectrum"], ["histogram", "histogram"]],
                               height_ratios=[3, 1.1])  # fmt: skip
    cell.suptitle(label, fontsize=11)
    image = _image(x)
    axes["image"].imshow(image, cmap="gray", vmin=-2.5, vmax=2.5, interpolation="nearest")
    axes["spectrum"].imshow(
        _log_spectrum(image), cmap="magma", vmin=-2, vmax=2, interpolation="nearest"
    )
    for name in ("image", "spectrum"):
        axes[name].set(xticks=[], yticks=[])
    histogram = axes["histogram"]
    grid = np.linspace(-_RANGE, _RANGE, 201)
    values = x[np.abs(x) < _RANGE].ravel()
    histogram.hist(values, bins=80, range=(-_RANGE, _RANGE), density=True, color=PALE)
    histogram.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=RED, lw=1)
    histogram.set(yticks=[], xticks=[-3, 0, 3], xlim=(-_RANGE, _RANGE), ylim=(0, 0.6))
    histogram.tick_params(labelsize=7, length=2)
    histogram.set_xlabel("\n".join(lines), fontsize=8)


def _image(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    while x.ndim > 2:
        x = x[0]
    return np.atleast_2d(x)


def _log_spectrum(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Log10 of the power, 0 where it is that of white noise; the zero frequency in the middle."""
    power = np.abs(np.fft.fftshift(np.fft.fft2(image, norm="ortho"))) ** 2
    return np.asarray(np.log10(np.maximum(power, 1e-12)))
