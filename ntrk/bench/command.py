"""What ``ntrk bench`` does."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..processes import launched
from ..saving import optional
from .collected import collect
from .experiments import EXPERIMENTS, Experiment
from .figures import Results, held_out_figure, reward_figure, strength_figure
from .jobs import Job, jobs_of
from .records import Records
from .running import run_jobs
from .setting import SHIPPED, Setting, load_tasks, shipped_weights
from .summary import experiments_table, results_table, tuning_table
from .task import Task
from .tuning import Tuned, apply, read_tuned, tune

__all__ = ["Plan", "prepare"]

_QUICK = ("table2", "figure7")
_QUICK_PROMPTS, _QUICK_NFE, _MAX_NFE, _MAX_JOBS = 2, 100, 500, 4
_FIGURES: dict[str, Callable[[Results], Any]] = {
    "reward": reward_figure,
    "held_out": held_out_figure,
    "strength": strength_figure,
}
_DRAWN: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("table2", "table11", "vlm"), ("reward", "held_out")
)
_DRAWN |= {"table14": ("reward",), "table15": ("reward",), "figure7": ("strength",)}


def prepare(options: argparse.Namespace, call: Mapping[str, Any]) -> Callable[[], tuple[int, str]]:
    """Check the command line, and return what does it.

    Parameters
    ----------
    options
        What `add_bench_arguments` reads.
    call
        Arguments of the pipeline's call.

    Raises
    ------
    ValueError
        If something that is named is not there.
    """
    experiments = _chosen(options)
    if options.list:
        return lambda: (0, "\n".join(experiments_table(experiments)))
    setting = _setting(options, call)
    tasks = load_tasks(setting.tasks)
    able, skipped = _possible(experiments, tasks, setting)
    results: Path = options.results
    plan = Plan(
        setting,
        tasks,
        tuple(able),
        tuple(skipped),
        results,
        options.tables or results / "tables",
        options.figures or results / "figures",
        results / "images" if options.images else None,
        options.prompts or (_QUICK_PROMPTS if options.quick else None),
        options.seeds,
        options.jobs or _jobs(setting),
        options.quiet,
    )
    return plan.tune if options.tune else plan.run


@dataclass(frozen=True)
class Plan:
    """What is to be run, and where it goes; `prepare` checks it."""

    setting: Setting
    tasks: Mapping[str, Task]
    experiments: tuple[Experiment, ...]
    skipped: tuple[str, ...]
    results: Path
    tables: Path
    figures: Path
    images: Path | None
    prompts: int | None
    seeds: int
    processes: int
    quiet: bool

    def tune(self) -> tuple[int, str]:
        """Choose parameters; return the exit code and what to print."""
        tuned = tune(
            *(self.experiments, self.tasks, self.setting, self.results),
            prompts=self.prompts,
            processes=self.processes,
            progress=not self.quiet,
        )
        return self._told(self._write({"tuning": tuning_table(tuned)}))

    def run(self) -> tuple[int, str]:
        """Run what is missing, write tables and figures; return exit code and what to print."""
        optional("matplotlib")
        tuned, records = self._tuned(), Records(self.results / "runs.jsonl")
        run_jobs(
            self.jobs(tuned),
            records,
            self.setting,
            processes=self.processes,
            images=self.images,
            progress=not self.quiet,
        )
        tables, figures = {}, []
        for experiment in self.experiments:
            results = {
                name: (
                    self.tasks[name],
                    collect(
                        *(experiment, self.tasks[name], self.setting, records, tuned),
                        prompts=self.prompts,
                        seeds=self.seeds,
                    ),
                )
                for name in experiment.tasks
            }
            lines = []
            for name, (task, rows) in results.items():
                lines += [*results_table(task, rows, seeds=self.seeds, tuned=name in tuned), ""]
            tables[experiment.name] = lines[:-1]
            figures += self._draw(experiment.name, results)
        if tuned:
            tables["tuning"] = tuning_table(tuned)
        return self._told([*self._write(tables), *figures])

    def jobs(self, tuned: Tuned) -> list[Job]:
        """Return all runs of all experiments."""
        return [
            job
            for experiment in self.experiments
            for name in experiment.tasks
            for entry in experiment.entries
            for job in jobs_of(
                apply(entry, name, tuned),
                self.tasks[name],
                self.setting,
                prompts=self.prompts,
                seeds=self.seeds,
            )
        ]

    def _tuned(self) -> Tuned:
        """Return the choices in the results, or else those shipped with the model."""
        own = self.results / "tuned.json"
        if own.exists() or not self.setting.tasks.startswith(f"{SHIPPED}:"):
            return read_tuned(own)
        return read_tuned(shipped_weights() / "tuned.json")

    @property
    def _name(self) -> str:
        """What files are named after."""
        shipped = self.setting.tasks.startswith(f"{SHIPPED}:")
        return SHIPPED.rpartition(".")[2] if shipped else Path(self.setting.model).name

    def _write(self, tables: Mapping[str, list[str]]) -> list[str]:
        """Write each table to its file; return all, with the names of the files."""
        self.tables.mkdir(parents=True, exist_ok=True)
        told = []
        for name, lines in tables.items():
            path = self.tables / f"{self._name}_{name}.md"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            title = EXPERIMENTS[name].title if name in EXPERIMENTS else "Parameters"
            told += [f"## {title}", "", *lines, "", str(path), ""]
        return told

    def _draw(self, experiment: str, results: Results) -> list[str]:
        paths = []
        for kind in _DRAWN.get(experiment, ()):
            self.figures.mkdir(parents=True, exist_ok=True)
            path = self.figures / f"{self._name}_{experiment}_{kind}.png"
            _FIGURES[kind](results).savefig(path, dpi=130)
            paths.append(str(path))
        return paths

    def _told(self, lines: list[str]) -> tuple[int, str]:
        return 0, "" if self.quiet else "\n".join([*lines, *self.skipped])


def _chosen(options: argparse.Namespace) -> list[Experiment]:
    """Return the experiments that are asked for, without rows above the budget."""
    names = options.experiments or (_QUICK if options.quick else tuple(EXPERIMENTS))
    for name in names:
        if name not in EXPERIMENTS:
            raise ValueError(f"--experiments must be of {', '.join(EXPERIMENTS)}, got {name!r}")
    budget = options.max_nfe or (_QUICK_NFE if options.quick else _MAX_NFE)
    found = [EXPERIMENTS[name].within(budget) for name in dict.fromkeys(names)]
    if not any(experiment.entries for experiment in found):
        raise ValueError(f"--max-nfe {budget} leaves no rows of {', '.join(names)}")
    return [experiment for experiment in found if experiment.entries]


def _setting(options: argparse.Namespace, call: Mapping[str, Any]) -> Setting:
    """Say what is run on what; the shipped model has its own tasks, sizes and adapter."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError("processes are started with --jobs N, not by torchrun")
    with launched(options.device) as place:
        device = str(place)
    shipped = options.model is None
    if not shipped and options.tasks is None:
        raise ValueError(f"--tasks must say what the tasks of {options.model} are")
    lora = options.lora
    if lora is not None and not Path(lora).is_dir():
        raise ValueError(f"--lora must be a folder that is there, got {lora!r}")
    model = options.model
    if shipped:
        from ..worlds.shapes.pipeline import CALL

        model, call = str(shipped_weights() / "pipeline"), {**CALL, **call}
        if lora is None and (adapter := shipped_weights() / "lora").is_dir():
            lora = str(adapter)
    return Setting(
        model,
        options.tasks or f"{SHIPPED}:tasks",
        call,
        options.dtype or ("float32" if shipped else "bfloat16"),
        device,
        lora,
        options.batch_size,
    )


def _possible(
    experiments: list[Experiment], tasks: Mapping[str, Task], setting: Setting
) -> tuple[list[Experiment], list[str]]:
    """Return the experiments for which tasks and adapter are there, and a word on the others."""
    able, skipped = [], []
    for experiment in experiments:
        known = tuple(name for name in experiment.tasks if name in tasks)
        if not known:
            skipped.append(
                f"left out: {experiment.name} is of the tasks {', '.join(experiment.tasks)}; "
                f"there are: {', '.join(tasks)}"
            )
        elif setting.lora is None and any(entry.lora for entry in experiment.entries):
            skipped.append(f"left out: {experiment.name} needs an adapter, --lora DIR")
        else:
            able.append(replace(experiment, tasks=known))
    if not able:
        raise ValueError("no experiment can be run; " + "; ".join(skipped))
    return able, skipped


def _jobs(setting: Setting) -> int:
    """As many processes as there are cores, but each holds the model."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 if setting.device != "cpu" else min(cores or 1, _MAX_JOBS)
