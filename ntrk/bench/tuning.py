"""The main parameter of every method, chosen on validation prompts by the target reward."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..methods import NTRK, BestOfN, Method
from .experiments import Entry, Experiment, kernel_of
from .jobs import Job, jobs_of
from .records import Records
from .running import run_jobs
from .setting import Setting
from .statistics import estimate
from .task import Task

__all__ = [
    "GRIDS",
    "Score",
    "Tuned",
    "apply",
    "choose",
    "read_tuned",
    "tune",
    "tuned_as",
    "with_main",
]

_TEMPERATURES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

GRIDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "ntrk": ("strength", (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)),
    "dps": ("temperature", _TEMPERATURES),
    "freedom": ("temperature", _TEMPERATURES),
    "tfg": ("temperature", _TEMPERATURES),
    "fks": ("temperature", _TEMPERATURES),
    "das": ("temperature", _TEMPERATURES),
    "psi": ("temperature", _TEMPERATURES),
    "dno": ("learning_rate", (0.001, 0.003, 0.01, 0.03, 0.1)),
    "reno": ("learning_rate", (0.5, 1.5, 5.0, 15.0, 50.0)),
}
"""By name of the method: its main parameter, and the values tried. SVDD, RBF and best of N have
none beside what they may spend."""

_BEFORE = "default-1"  # the operator with which most rows of NTRK were made
_PARTICLES = {"fks": 4, "das": 4, "psi": 2}  # 100 evaluations for a population; else one particle

Tuned = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By task and method: what was chosen, and on what grounds."""


@dataclass(frozen=True)
class Score:
    """What a value of the parameter brought, in means over validation prompts."""

    value: float
    target: float
    held_out: float
    failures: int


def with_main(method: Method, value: float) -> Method:
    """Return the method with another value of its main parameter.

    Examples
    --------
    >>> from ntrk.methods import DPS
    >>> with_main(BestOfN(DPS()), 0.1)
    BestOfN(method=DPS(temperature=0.1))
    """
    if isinstance(method, BestOfN):
        return replace(method, method=with_main(method.method, value))
    return replace(method, **{GRIDS[method.name][0]: value})


def tuned_as(method: Method) -> str:
    """Return the name under which a method is tuned: NTRK for its default operator, old and new."""
    kernel = kernel_of(method)
    if isinstance(kernel, NTRK) and kernel.whitening == _BEFORE:
        return f"{kernel.name}:{_BEFORE}"
    return kernel.name


def apply(entry: Entry, task: str, tuned: Tuned) -> Entry:
    """Return the entry with the value that was chosen for the task, if one was."""
    chosen = tuned.get(task, {}).get(tuned_as(entry.method))
    if chosen is None or entry.fixed:
        return entry
    return replace(entry, method=with_main(entry.method, chosen["value"]), label=entry.name)


def tune(
    experiments: Iterable[Experiment],
    tasks: Mapping[str, Task],
    setting: Setting,
    folder: Path,
    *,
    prompts: int | None = None,
    processes: int = 1,
    progress: bool = True,
) -> Tuned:
    """Try the grids of all methods of some experiments; write rows and choices to a folder.

    Parameters
    ----------
    experiments, tasks
        Which methods, and for which tasks.
    setting
        Model and tasks.
    folder
        Gets ``tuning.jsonl`` and ``tuned.json``; choices for other tasks and methods are kept.
    prompts
        Of the validation prompts, only so many.
    processes, progress
        As in `run_jobs`.
    """
    records = Records(folder / "tuning.jsonl")
    jobs = {
        (task, method): _grid(method, tasks[task], setting, prompts)
        for task, method in _wanted(experiments, tasks)
    }
    every = [job for grid in jobs.values() for trial in grid.values() for job in trial]
    run_jobs(every, records, setting, processes=processes, progress=progress)
    tuned = {task: dict(choices) for task, choices in read_tuned(folder / "tuned.json").items()}
    for (task, method), grid in jobs.items():
        found = _choice(grid, records, tasks[task])
        tuned.setdefault(task, {})[tuned_as(method)] = found
    text = json.dumps(tuned, indent=1, ensure_ascii=False)
    (folder / "tuned.json").write_text(text + "\n", encoding="utf-8")
    return tuned


def read_tuned(path: Path) -> Tuned:
    """Return the choices in a file; none if it is not there."""
    if not path.exists():
        return {}
    try:
        found: Tuned = json.loads(path.read_text(encoding="utf-8"))
        for choices in found.values():
            for name, choice in choices.items():
                GRIDS[name.partition(":")[0]], float(choice["value"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not hold tuned parameters") from error
    return found


def _wanted(
    experiments: Iterable[Experiment], tasks: Mapping[str, Task]
) -> Iterable[tuple[str, Method]]:
    """Return each task with each method of its experiments that has a main parameter, once."""
    found: dict[tuple[str, str], Method] = {}
    for experiment in experiments:
        for task in experiment.tasks:
            for entry in experiment.entries:
                method = kernel_of(entry.method)
                if task in tasks and method.name in GRIDS and not entry.fixed:
                    found.setdefault((task, tuned_as(method)), method)
    for (task, name), method in found.items():
        yield task, NTRK() if name == NTRK.name else method  # whatever the whitening


def _grid(
    method: Method, task: Task, setting: Setting, prompts: int | None
) -> dict[float, list[Job]]:
    if not task.validation:
        raise ValueError(f"the task {task.name!r} has no validation prompts to tune on")
    particles = _PARTICLES.get(method.name, 1)
    jobs = {}
    for value in GRIDS[method.name][1]:
        tried = with_main(method, value)
        label = f"{method.label}, {value:g}"
        entry = Entry(tried, particles * tried.evaluations(25), particles, label=label, fixed=True)
        jobs[value] = jobs_of(entry, task, setting, prompts=prompts, split="validation")
    return jobs


def _choice(grid: Mapping[float, list[Job]], records: Records, task: Task) -> dict[str, Any]:
    """Describe the grid and the value chosen from it."""
    judge = next(iter(task.held_out), None)
    scores = []
    for value, jobs in grid.items():
        good = [row for job in jobs if (row := records[job.id]).get("target") is not None]
        judged = [row["held_out"].get(judge) for row in good]
        scores.append(
            Score(
                value,
                estimate(row["target"] for row in good).mean,
                estimate(v for v in judged if v is not None).mean,
                len(jobs) - len(good),
            )
        )
    first = next(iter(grid.values()))
    return {
        "parameter": GRIDS[first[0].entry.method.name][0],
        **choose(scores),
        "nfe": first[0].entry.nfe,
        "prompts": len(first),
        "judge": judge,
        "grid": [
            asdict(s) | {"target": _finite(s.target), "held_out": _finite(s.held_out)}
            for s in scores
        ],
    }


def choose(scores: Iterable[Score]) -> dict[str, Any]:
    """Return the value of the highest mean target, and whether it lies at an end of the grid.

    Parameters
    ----------
    scores
        Of the grid. A value with failures is not chosen.

    Raises
    ------
    FloatingPointError
        If every value had failures.
    """
    every = list(scores)
    able = [s for s in every if not s.failures and s.target == s.target]
    if not able:
        raise FloatingPointError("no value of the grid gave rewards on all validation prompts")
    best = max(able, key=lambda s: s.target)
    judged = [s for s in able if s.held_out == s.held_out]
    values = [s.value for s in every]
    edge = {min(values): "low", max(values): "high"}.get(best.value)
    return {
        "value": best.value,
        "edge": edge,
        "by_held_out": max(judged, key=lambda s: s.held_out).value if judged else None,
    }


def _finite(value: float) -> float | None:
    return value if value == value else None
