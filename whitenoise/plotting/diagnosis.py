"""The picture of a check of typicality."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..verify.report import TypicalityReport, format_pvalue
from . import panels
from .style import new_figure
from .subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check"]

_ROWS = (("array", "spectrum", "lags"), ("marginal", "tiles", "families"))
_DRAW: dict[str, Callable[[Any, Subject], str]] = {
    "array": panels.array,
    "spectrum": panels.spectrum,
    "lags": panels.lags,
    "marginal": panels.marginal,
    "tiles": panels.tiles,
    "families": panels.families,
}


def check(report: TypicalityReport) -> Figure:
    """Draw what a check of typicality looked at, with the loudest statistic marked.

    Panels: the array; its power spectrum over that of noise; its autocorrelation; its order
    statistics in units of their simultaneous 99.9 % band; means or energies of tiles; and the
    p-value of each family. Of a batch, the vector of the loudest finding is drawn.

    Parameters
    ----------
    report
        From `typicality`. Its array is brought to the host; arrays with images along their last two
        axes are drawn as images, others as a series. Large ones are thinned out.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; save it with ``figure.savefig(path)``.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the extra.
    ValueError
        If the report holds no array.

    Examples
    --------
    >>> import numpy as np
    >>> import whitenoise as wn
    >>> figure = check(wn.typicality(np.random.default_rng(0).standard_normal((32, 32))))
    >>> figure.axes[0].get_title(loc="left")
    'array, 32x32'
    """
    figure = new_figure(figsize=(12.5, 7.4), layout="constrained")
    subject = Subject.of(report)
    grid = figure.subplots(len(_ROWS), len(_ROWS[0]))
    for name, panel in zip(sum(_ROWS, ()), grid.ravel(), strict=True):
        panel.tick_params(labelsize=8, length=2)
        title = _DRAW[name](panel, subject)
        loud = name == subject.view
        panel.set_title(title, loc="left", fontsize=10, fontweight="bold" if loud else "normal")
        panel.xaxis.label.set_fontsize(8)
        panel.yaxis.label.set_fontsize(8)
        if loud:
            for spine in panel.spines.values():
                spine.set(edgecolor=subject.colour, linewidth=2.5)
    head = f"p = {format_pvalue(report.log_pvalue)} for white Gaussian noise, {subject.title}"
    worst = report.worst
    found = f"{worst.family.replace('_', ' ')}: {worst}"
    figure.suptitle("\n".join([head, *textwrap.wrap(found, 120)]), fontsize=12)
    return figure
