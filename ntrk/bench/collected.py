"""The results of an experiment on a task, row by row of its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..methods import NTRK, Base, BestOfN
from .experiments import Entry, Experiment, kernel_of
from .jobs import jobs_of
from .records import Records
from .setting import Setting
from .statistics import Estimate, difference, estimate, per_prompt
from .task import Task
from .tuning import Tuned, apply

__all__ = ["Row", "base_of", "collect"]


@dataclass(frozen=True)
class Row:
    """What is known of an entry.

    Attributes
    ----------
    name
        Of the entry; with particles and steps where the experiment has several of a budget.
    entry
        As it was run.
    target
        Mean over seeds, by prompt.
    held_out
        The same for every held-out reward by name.
    nfe, seconds
        Mean of a run; None without runs.
    checked, rejected
        Perturbations tested, and how many of them had a p-value below 0.001.
    fallbacks
        Particle-steps in which the gradient was of no use.
    failures
        Runs that gave values that are not finite.
    """

    name: str
    entry: Entry
    target: Mapping[str, float] = field(default_factory=dict)
    held_out: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    nfe: float | None = None
    seconds: float | None = None
    checked: int = 0
    rejected: int = 0
    fallbacks: int = 0
    failures: int = 0

    @property
    def mean(self) -> Estimate:
        """The target reward."""
        return estimate(self.target.values())

    @property
    def is_ntrk(self) -> bool:
        """Whether its kernel is ours."""
        return isinstance(kernel_of(self.entry.method), NTRK)

    @property
    def is_base(self) -> bool:
        """Whether it is the base sampler as all methods start from it."""
        entry = self.entry
        return isinstance(entry.method, Base) and not (entry.lora or entry.diffusion)

    @property
    def is_best_of_n(self) -> bool:
        """Whether it keeps the best of the base sampler's particles."""
        method = self.entry.method
        return isinstance(method, BestOfN) and isinstance(method.method, Base)

    def less(self, other: Row) -> Estimate:
        """Estimate the difference of the target rewards over common prompts."""
        return difference(self.target, other.target)


def collect(
    experiment: Experiment,
    task: Task,
    setting: Setting,
    records: Records,
    tuned: Tuned,
    *,
    prompts: int | None = None,
    seeds: int = 1,
) -> list[Row]:
    """Return the rows of an experiment, as far as the records have them."""
    named = Counter((entry.name, entry.budget) for entry in experiment.entries)
    rows = []
    for entry in experiment.entries:
        name = entry.name
        if named[name, entry.budget] > 1:
            name += f", {entry.particles} x {entry.steps}"
        jobs = jobs_of(apply(entry, task.name, tuned), task, setting, prompts=prompts, seeds=seeds)
        found = [records[job.id] for job in jobs if job.id in records]
        rows.append(_row(name, jobs[0].entry, task, found))
    return rows


def base_of(rows: Sequence[Row]) -> Row | None:
    """Return the row of the base sampler."""
    return next((row for row in rows if row.is_base), None)


def _row(name: str, entry: Entry, task: Task, found: list[dict[str, Any]]) -> Row:
    good = [run for run in found if run.get("target") is not None]
    # Testing the noise takes time that is not the method's.
    timed = [run for run in good if not run["noise"]["checked"]] or good
    return Row(
        name,
        entry,
        per_prompt((run["prompt"], run["target"]) for run in good),
        {
            judge: per_prompt(
                (run["prompt"], run["held_out"][judge])
                for run in good
                if run["held_out"].get(judge) is not None
            )
            for judge in task.held_out
        },
        estimate(run["nfe"] for run in good).mean if good else None,
        estimate(run["seconds"] for run in timed).mean if timed else None,
        sum(run["noise"]["checked"] for run in good),
        sum(run["noise"]["rejected"] for run in good),
        sum(run["fallbacks"] for run in good),
        len(found) - len(good),
    )
