"""Cost against N on logarithmic axes, one panel a stage."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from .record import Row
from .tables import distinct, select

COLUMNS = 4


def draw(rows: list[Row], path: Path) -> None:
    """Write the figure of float32 noise, one vector at a time."""
    timed = select(rows, measure="cost", input="noise", dtype="float32", batch=1)
    stages, paths = distinct(timed, "stage"), distinct(timed, "path")
    colours = dict(zip(paths, plt.get_cmap("tab10").colors, strict=False))
    n_rows = -(-(len(stages) + 1) // COLUMNS)  # one place more, for the legend
    figure, panels = plt.subplots(
        n_rows,
        COLUMNS,
        figsize=(3.1 * COLUMNS, 2.5 * n_rows),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    places = list(panels.flat)
    for panel, stage in zip(places, stages, strict=False):
        here = select(timed, stage=stage)
        sort = {row["size"]: row["sort"] for row in here}
        panel.plot(*_milliseconds(sort), color="0.6", ls="--", lw=1.2, label="np.sort")
        for name in distinct(here, "path"):
            times = {row["size"]: row["seconds"] for row in select(here, path=name)}
            panel.plot(*_milliseconds(times), "o-", color=colours[name], ms=3, lw=1.2, label=name)
        panel.set_title(stage, fontsize=9)
        panel.set(xscale="log", yscale="log")
        panel.grid(color="0.9")
        panel.tick_params(labelsize=8)
    for panel in places[len(stages) :]:
        panel.axis("off")
    # The last panel above an empty place shows the axis that it shares.
    for panel in places[max(len(stages) - COLUMNS, 0) : len(stages)]:
        panel.tick_params(labelbottom=True)
    lines = {
        text: line
        for panel in places[: len(stages)]
        for line, text in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    places[-1].legend(lines.values(), lines.keys(), loc="center", fontsize=9, frameon=False)
    figure.supxlabel("N, values", fontsize=10)
    figure.supylabel("shortest time, ms", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _milliseconds(times: dict[int, float]) -> tuple[list[int], list[float]]:
    sizes = sorted(times)
    return sizes, [1e3 * times[n] for n in sizes]
