"""Tables in Markdown: what was measured, beside what the paper reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ..methods import Base
from .collected import Row, base_of
from .experiments import EXPERIMENTS, Experiment, kernel_of
from .statistics import Estimate, estimate
from .task import Task
from .tuning import GRIDS, Tuned

__all__ = ["comparisons", "experiments_table", "results_table", "tuning_table"]


def results_table(task: Task, rows: Sequence[Row], *, seeds: int, tuned: bool) -> list[str]:
    """Return the table of an experiment on a task, with what it says of NTRK below.

    Parameters
    ----------
    task
        The task.
    rows
        As `collect` gives them.
    seeds
        Of each prompt.
    tuned
        Whether parameters were tuned for the task.

    Notes
    -----
    *gain* is the share of what best of N, at its largest budget, adds to the base sampler: a unit
    in which rewards of different scales, the paper's and this task's, can be compared.
    """
    base = base_of(rows)
    unit = max((r for r in rows if r.is_best_of_n), key=lambda r: r.entry.budget, default=None)
    paper = any(task.name in row.entry.paper for row in rows)
    columns = {
        "method": True,
        "NFE": True,
        task.target_name: True,
        "above Base": base is not None,
        "gain": base is not None and unit is not None,
        "paper": paper,
        "paper's gain": paper and base is not None and unit is not None,
        **dict.fromkeys(task.held_out, True),
        "rejected": any(row.checked for row in rows),
        "seconds": True,
        "prompts": True,
    }
    head = [name for name, there in columns.items() if there]
    ends = [_known(row, task) for row in (base, unit)]
    cells = []
    for row in rows:
        mean, reported = row.mean, row.entry.paper.get(task.name)
        cell = {
            "method": row.name,
            "NFE": _plain(row.nfe, 0),
            task.target_name: _interval(mean),
            "above Base": "" if base in (None, row) else _signed(row.less(base)),
            "gain": _gain(mean.mean, ends[0][0], ends[1][0]),
            "paper": "" if reported is None else f"{reported:g}",
            "paper's gain": _gain(reported, ends[0][1], ends[1][1]),
            "rejected": f"{row.rejected / row.checked:.3f}" if row.checked else "",
            "seconds": _plain(row.seconds, 1),
            "prompts": str(mean.prompts),
        }
        cell |= {j: _interval(estimate(row.held_out[j].values())) for j in task.held_out}
        cells.append([cell[name] for name in head])
    return [
        f"**{task.title}**",
        "",
        *_table(head, cells),
        "",
        *(f"- {line}" for line in _remarks(rows, seeds, tuned)),
        *(f"- {line}" for line in comparisons(rows)),
    ]


def comparisons(rows: Sequence[Row]) -> list[str]:
    """Say how far NTRK is from the best other method, in paired differences over prompts.

    At each of its budgets NTRK meets the best of those that spend no more, and the best of all, on
    the same model. The best one is chosen by its mean on the same prompts, which favours it a
    little.
    """
    lines = []
    for row in (row for row in rows if row.is_ntrk and row.target):
        others = [
            other
            for other in rows
            if other.target and not other.is_ntrk and other.entry.lora == row.entry.lora
        ]
        if all(isinstance(other.entry.method, Base) for other in others):
            continue
        found = {"of all": _best(others)}
        equals = [other for other in others if other.entry.budget <= row.entry.budget]
        if equals and (rival := _best(equals)) is not found["of all"]:
            found = {"of at most as many NFE": rival} | found
        for among, rival in found.items():
            delta = row.less(rival)
            lines.append(
                f"{row.name} ({row.nfe:.0f} NFE) less {rival.name} ({rival.nfe:.0f} NFE), the best "
                f"other method {among}: {_ends(delta)}; {_verdict(delta)}."
            )
    return lines


def _known(row: Row | None, task: Task) -> tuple[float | None, float | None]:
    """The mean target of a row, ours and the paper's."""
    return (None, None) if row is None else (row.mean.mean, row.entry.paper.get(task.name))


def _best(rows: Sequence[Row]) -> Row:
    return max(rows, key=lambda row: row.mean.mean)


def _remarks(rows: Sequence[Row], seeds: int, tuned: bool) -> Iterable[str]:
    counts = [row.mean.prompts for row in rows]
    yield (
        f"Means over prompts, {seeds} seed{'s' if seeds > 1 else ''} each; ± and brackets: 95 % "
        "confidence over prompts (Student's t), of differences paired by prompt."
    )
    if any(kernel_of(r.entry.method).name in GRIDS and not r.entry.fixed for r in rows):
        yield (
            "Parameters: tuned on the validation prompts."
            if tuned
            else "Parameters: the methods' defaults, not tuned for this task."
        )
    checked = sum(row.checked for row in rows)
    if checked:
        yield (
            "rejected: share of injected perturbations with a p-value below 0.001, "
            f"of {checked} tested; white noise has 0.001."
        )
    useless = [f"{row.name} {row.fallbacks}" for row in rows if row.fallbacks]
    if useless:
        yield f"Particle-steps in which the gradient was of no use: {', '.join(useless)}."
    failed = [f"{row.name} {row.failures}" for row in rows if row.failures]
    if failed:
        yield f"Runs whose values were not finite, left out: {', '.join(failed)}."
    if min(counts) < max(counts):
        yield "Incomplete: some rows lack prompts."


def tuning_table(tuned: Tuned) -> list[str]:
    """Return the table of what was chosen for each task and method, and from what."""
    cells = []
    for task, choices in tuned.items():
        for name, choice in choices.items():
            grid = choice.get("grid", ())
            at: dict[str, float | None] = next(
                (g for g in grid if g["value"] == choice["value"]), {}
            )
            low, high = (end(GRIDS[name.partition(":")[0]][1]) for end in (min, max))
            values = [g["value"] for g in grid]
            tried = f"{min(values, default=low):g} … {max(values, default=high):g}"
            edge = {"low": "lower end", "high": "upper end"}.get(choice.get("edge") or "", "")
            judged = choice.get("by_held_out")
            cells.append(
                [
                    *(task, name, str(choice.get("parameter", ""))),
                    *(f"{tried} ({len(values)})", f"{choice['value']:g}", edge),
                    *(_plain(at.get("target"), 4), _plain(at.get("held_out"), 4)),
                    "" if judged is None else f"{judged:g}",
                    *(str(choice.get("nfe", "")), str(choice.get("prompts", ""))),
                ]
            )
    head = ["task", "method", "parameter", "tried", "chosen", "at an edge", "target", "judge"]
    return [
        *_table([*head, "the judge's choice", "NFE", "prompts"], cells, words=3),
        "",
        "- Chosen by the mean target reward on the validation prompts; judge: the task's first "
        "held-out reward, which chooses nothing.",
        "- SVDD, RBF and best of N have no parameter beside what they may spend.",
    ]


def experiments_table(experiments: Iterable[Experiment] | None = None) -> list[str]:
    """Return the list of experiments: what they are, and what they cost."""
    chosen = list(EXPERIMENTS.values()) if experiments is None else list(experiments)
    cells = [
        [
            *(e.name, e.title, ", ".join(e.tasks)),
            *(str(len(e.entries)), str(sum(entry.nfe for entry in e.entries))),
        ]
        for e in chosen
    ]
    return _table(["name", "what", "tasks", "rows", "NFE a prompt and task"], cells, words=3)


def _table(head: Sequence[str], cells: list[list[str]], words: int = 1) -> list[str]:
    rule = "|" + "---|" * words + "---:|" * (len(head) - words)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(c) + " |" for c in cells)]


def _digits(half: float) -> int:
    """Decimals that show two digits of an interval."""
    if not half > 0:
        return 4
    return min(max(1 - math.floor(math.log10(half)), 0), 6)


def _interval(found: Estimate) -> str:
    if not found.prompts:
        return ""
    if math.isnan(found.half):
        return f"{found.mean:.4g}"
    digits = _digits(found.half)
    return f"{found.mean:.{digits}f} ± {found.half:.{digits}f}"


def _signed(found: Estimate) -> str:
    text = _interval(found)
    return f"+{text}" if text and found.mean > 0 else text


def _ends(found: Estimate) -> str:
    if math.isnan(found.half):
        return f"{found.mean:+.4g}" if found.prompts else "no common prompts"
    digits = _digits(found.half)
    low, high = (f"{end:+.{digits}f}" for end in (found.low, found.high))
    return f"{found.mean:+.{digits}f} [{low}, {high}] over {found.prompts} prompts"


def _verdict(found: Estimate) -> str:
    if math.isnan(found.half):
        return "too few prompts to say"
    if found.low > 0:
        return "NTRK is above"
    return "NTRK is below" if found.high < 0 else "not told apart"


def _gain(value: float | None, base: float | None, unit: float | None) -> str:
    """The share of what best of N adds; nothing where that is not positive, or not known."""
    if value is None or base is None or unit is None or not unit > base or math.isnan(value):
        return ""
    return f"{(value - base) / (unit - base):.2f}"


def _plain(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
