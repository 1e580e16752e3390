"""Figures of the experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..saving import optional
from .collected import Row, base_of
from .experiments import kernel_of
from .statistics import estimate
from .task import Task
from .tuning import tuned_as

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["held_out_figure", "reward_figure", "strength_figure"]

Results = Mapping[str, tuple[Task, Sequence[Row]]]
"""Task and rows of an experiment by the task's name."""

# Okabe and Ito's colours, that all can tell apart; with them markers, since there are more methods.
_NTRK, _GREY = "#D55E00", "#555555"
_STYLES: dict[str, tuple[str, str, str]] = {
    "base": (_GREY, "s", "-"),
    "best_of_n": (_GREY, "o", "-"),
    "dps": ("#0072B2", "^", "-"),
    "freedom": ("#0072B2", "v", "--"),
    "tfg": ("#0072B2", "<", ":"),
    "svdd": ("#009E73", "D", "-"),
    "rbf": ("#009E73", "P", "--"),
    "fks": ("#009E73", "X", ":"),
    "das": ("#CC79A7", "h", "-"),
    "psi": ("#CC79A7", "p", "--"),
    "dno": ("#56B4E9", "d", "-"),
    "reno": ("#56B4E9", ">", "--"),
    "ntrk:default-1": (_NTRK, "*", "-"),
    "ntrk": ("#E69F00", "*", "--"),
}
_NAMES = {
    "best_of_n": "best of N",
    "base": "Base",
    "ntrk:default-1": "NTRK",
    "ntrk": "NTRK, equal statistics",
}


def _family(row: Row) -> str:
    """The method, whether or not it keeps its best particle; best of N is one of its own."""
    return "best_of_n" if row.is_best_of_n else tuned_as(row.entry.method)


def _families(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {name: [] for name in _STYLES}
    for row in rows:
        plain = not (row.entry.diffusion or row.entry.lora)
        if row.target and row.nfe and plain:
            found[_family(row)].append(row)
    return {name: group for name, group in found.items() if group}


def _label(family: str, group: Sequence[Row]) -> str:
    return _NAMES.get(family) or kernel_of(group[0].entry.method).label


def reward_figure(results: Results) -> Figure:
    """Draw the target reward against evaluations: one panel a task, one line a method.

    Parameters
    ----------
    results
        Of an experiment with several budgets. Of several rows of one method and budget the highest
        is drawn.
    """
    figure, panels = _panels(1, len(results), width=4.6, height=4.4)
    handles: dict[str, Any] = {}
    for axes, (task, rows) in zip(panels[0], results.values(), strict=True):
        families = _families(rows)
        base = base_of(rows)
        if base is not None and base.target:
            axes.axhline(base.mean.mean, color=_GREY, lw=0.8, ls=(0, (1, 3)))
        for number, (name, group) in enumerate(families.items()):
            colour, marker, line = _STYLES[name]
            points = _best_of_each_budget(group)
            apart = 1.022 ** (number - len(families) / 2)  # intervals beside each other
            bold = name.startswith("ntrk")
            handles[_label(name, group)] = axes.errorbar(
                [row.nfe * apart for row in points if row.nfe],
                [row.mean.mean for row in points],
                yerr=[_half(row) for row in points],
                color=colour,
                marker=marker,
                ls=line,
                lw=2.2 if bold else 1.3,
                ms=12 if bold else 6.5,
                mec="white",
                mew=0.7,
                elinewidth=0.9,
                alpha=1.0 if bold else 0.9,
                zorder=4 if bold else 3,
            )
        ticks = sorted({row.entry.budget for group in families.values() for row in group})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(title=task.title, xlabel="model evaluations (NFE)", ylabel=_words(task))
        axes.grid(axis="y", color="0.9", lw=0.8)
    _legend(figure, handles)
    return figure


def held_out_figure(results: Results) -> Figure:
    """Draw held-out rewards against the target: lines lead from the base sampler to each method.

    One that goes right and down is reward hacking: the target is up, the judge is not. Every method
    is shown at its largest budget, NTRK at its smallest too, with numbers of evaluations.
    """
    judges = [list(task.held_out) for task, _ in results.values()]
    figure, panels = _panels(len(results), max(map(len, judges)), width=3.5, height=3.4)
    handles: dict[str, Any] = {}
    for line, names, (task, rows) in zip(panels, judges, results.values(), strict=True):
        families, base = _families(rows), base_of(rows)
        for axes in line[len(names) :]:
            axes.set_axis_off()
        for axes, judge in zip(line, names, strict=False):
            start = None if base is None else _point(base, judge)
            for name, group in families.items():
                colour, marker, _ = _STYLES[name]
                for row in _drawn(group):
                    point, bold = _point(row, judge), name.startswith("ntrk")
                    if start is not None and row is not base:
                        arrow = {"arrowstyle": "-", "color": colour, "lw": 1.0, "alpha": 0.55}
                        axes.annotate("", point, start, arrowprops=arrow)
                    handles[_label(name, group)] = axes.scatter(
                        *point,
                        s=200 if bold else 60,
                        color=colour,
                        marker=marker,
                        ec="white",
                        lw=0.7,
                    )
                    if bold:
                        axes.annotate(
                            f"{row.nfe:.0f}",
                            point,
                            (8, 5),
                            textcoords="offset points",
                            color=colour,
                            fontsize=8,
                        )
            if start is not None:
                axes.axhline(start[1], color=_GREY, lw=0.8, ls=(0, (1, 3)), zorder=1)
            axes.set(xlabel=task.target_name, ylabel=judge)
            axes.margins(0.12)
            axes.locator_params(nbins=5)
        line[0].set_title(task.title, loc="left")
    _legend(figure, handles)
    return figure


def strength_figure(results: Results) -> Figure:
    """Draw the target and the held-out rewards against the strength of NTRK: one row a task."""
    columns = 1 + max(len(task.held_out) for task, _ in results.values())
    figure, panels = _panels(len(results), columns, width=3.1, height=2.6)
    for line, (task, rows) in zip(panels, results.values(), strict=True):
        points = [(_strength(row), row) for row in rows if row.target]
        names = [task.target_name, *task.held_out]
        for axes in line[len(names) :]:
            axes.set_axis_off()
        for number, (axes, name) in enumerate(zip(line, names, strict=False)):
            found = [
                row.mean if number == 0 else estimate(row.held_out[name].values())
                for _, row in points
            ]
            strengths = [strength for strength, _ in points]
            colour = "#0072B2" if number else _NTRK
            means = [e.mean for e in found]
            halves = [0.0 if math.isnan(e.half) else e.half for e in found]
            low, high = (
                [m + sign * h for m, h in zip(means, halves, strict=True)] for sign in (-1, 1)
            )
            axes.fill_between(strengths, low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(strengths, means, color=colour, marker="o", ms=4.5, lw=1.8)
            if means:
                axes.axhline(means[0], color=_GREY, lw=0.8, ls=(0, (1, 3)))
            axes.set(xlabel="strength", title=f"{'held out' if number else 'target'}: {name}")
            axes.grid(axis="y", color="0.9", lw=0.8)
        line[0].set_ylabel(task.title, fontsize=9)
    return figure


def _panels(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, Any]:
    figure: Figure = optional("matplotlib.figure").Figure(
        figsize=(max(width * columns, 5.0), height * rows), layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    figure.legend(
        handles.values(), handles, loc="outside right upper", frameon=False, labelspacing=0.9
    )


def _best_of_each_budget(group: Sequence[Row]) -> list[Row]:
    best: dict[int, Row] = {}
    for row in group:
        held = best.get(row.entry.budget)
        if held is None or row.mean.mean > held.mean.mean:
            best[row.entry.budget] = row
    return [best[budget] for budget in sorted(best)]


def _drawn(group: Sequence[Row]) -> list[Row]:
    """The row of the largest budget; of NTRK, that of the smallest too."""
    points = _best_of_each_budget(group)
    return points[-1:] if len(points) == 1 or not points[0].is_ntrk else [points[0], points[-1]]


def _half(row: Row) -> float:
    half = row.mean.half
    return 0.0 if math.isnan(half) else half


def _point(row: Row, judge: str) -> tuple[float, float]:
    return row.mean.mean, estimate(row.held_out[judge].values()).mean


def _strength(row: Row) -> float:
    return getattr(row.entry.method, "strength", 0.0)


def _words(task: Task) -> str:
    return f"{task.target_name} (target, 95 % over prompts)"
