"""What all pictures share: colours, and the figure that needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "PALE", "RED", "new_figure"]

BLUE, PALE, RED, GREY = "#33658a", "#8aa6c1", "#c0392b", "#7f8c8d"


def new_figure(**options: Any) -> Figure:
    """Make a figure that belongs to no window, or raise ImportError naming the extra."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plotting needs matplotlib: pip install "noisetilt[plot]"') from error
    return Figure(**options)
