"""One run: a method on one prompt with one seed, and the row of the results that comes of it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..methods import RBF
from ..noise import seed_from
from ..resampling import worst_if_nan
from ..result import Result
from ..rewards import Reward
from ..run import generate
from .experiments import Entry
from .setting import Bench, Setting
from .task import Task

__all__ = ["Job", "jobs_of", "run_job"]

ALARM = 1e-3
_CHECKED_EVERY = 8  # prompts: the p-values of the noise take as long as a small model
_SPLITS = ("prompts", "validation")


@dataclass(frozen=True)
class Job:
    """One run: a method on one prompt with one seed.

    Attributes
    ----------
    task, split, index, prompt
        Which prompt of a task; `split` is the field of the task that holds it.
    seed
        Number of the repetition.
    entry
        The method, and what it may spend.
    setting
        Model and tasks.
    """

    task: str
    split: str
    index: int
    prompt: str
    seed: int
    entry: Entry
    setting: Setting

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the result depends on, in values that JSON knows."""
        return {
            "task": self.task,
            "prompt": self.prompt,
            "random_seed": self.random_seed,
            "method": self.entry.method.settings,
            "particles": self.entry.particles,
            "steps": self.entry.steps,
            "diffusion": self.entry.diffusion,
            "lora": self.setting.adapter if self.entry.lora else None,
            **self.setting.identity,
        }

    @cached_property
    def id(self) -> str:
        """A hash of the settings: runs of several experiments that have the same are made once."""
        text = json.dumps(self.settings, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def random_seed(self) -> int:
        """The same for all methods, so that they start from the same noise."""
        return seed_from(_SPLITS.index(self.split), self.index, self.seed)

    @property
    def checks_noise(self) -> bool:
        """Whether the injected noise is tested."""
        return self.split == "prompts" and self.index % _CHECKED_EVERY == 0


def jobs_of(
    entry: Entry,
    task: Task,
    setting: Setting,
    *,
    prompts: int | None = None,
    seeds: int = 1,
    split: str = "prompts",
) -> list[Job]:
    """Return the runs of a method on the first prompts of a task, for each seed."""
    return [
        Job(task.name, split, index, prompt, seed, entry, setting)
        for seed in range(seeds)
        for index, prompt in enumerate(getattr(task, split)[:prompts])
    ]


def run_job(job: Job, bench: Bench, images: Path | None = None) -> dict[str, Any]:
    """Run a method and return the row of the results.

    A run whose model or decoder gave values that are not finite has an ``error`` and no rewards.
    """
    entry, task = job.entry, bench.tasks[job.task]
    row = {
        "id": job.id,
        "label": entry.name,
        "split": job.split,
        "index": job.index,
        "seed": job.seed,
        **job.settings,
        "model_name": job.setting.name,
        "device": job.setting.device,
    }
    pipe = bench.pipe(lora=entry.lora)
    start = time.perf_counter()
    try:
        result = generate(
            pipe,
            job.prompt,
            reward=Reward(task.target),
            method=entry.method,
            steps=entry.steps,
            particles=entry.particles,
            seed=job.random_seed,
            held_out=task.held_out or None,
            batch_size=min(_rows_at_once(entry), job.setting.batch_size or _rows_at_once(entry)),
            diffusion=entry.diffusion,
            check_noise=job.checks_noise,
            progress=False,
            **job.setting.call,
        )
    except FloatingPointError as error:
        return row | {"error": str(error), "time": _now()}
    if result.interrupted:
        raise KeyboardInterrupt
    seconds, best = time.perf_counter() - start, result.best
    if images:
        images.mkdir(parents=True, exist_ok=True)
        shown = result.image
        (shown[len(shown) // 2] if isinstance(shown, list) else shown).save(
            images / f"{job.id}.png"
        )
    pvalues = _pvalues(result) if job.checks_noise else []
    return row | {
        "nfe": result.nfe,
        "target": _number(result.reward[best]),
        "held_out": {name: _number(value[best]) for name, value in result.held_out.items()},
        "noise": {
            "checked": len(pvalues),
            "rejected": sum(p < ALARM for p in pvalues),
            "mean_pvalue": sum(pvalues) / len(pvalues) if pvalues else None,
        },
        "fallbacks": result.fallbacks,
        "seconds": round(seconds, 3),
        "versions": result.settings["versions"],
        "time": _now(),
    }


def _rows_at_once(entry: Entry) -> int:
    """States that a method evaluates together; RBF has one after another."""
    return 1 if isinstance(entry.method, RBF) else entry.particles * entry.method.candidates


def _pvalues(result: Result) -> list[float]:
    """The p-values of the injected noise; of methods that sample whole passes, the best pass's."""
    history = result.history
    if history and "sigma" not in history[0]:
        rewards = torch.tensor([step["reward"] for step in history])
        found = [
            history[number]["pvalue"][particle]
            for particle, number in enumerate(worst_if_nan(rewards).argmax(0).tolist())
        ]
    else:
        found = [p for step in history for p in step.get("pvalue", ())]
    return [p for p in found if not math.isnan(p)]


def _number(value: torch.Tensor) -> float | None:
    """A number that JSON knows: None for what is not finite."""
    return float(value) if math.isfinite(value) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
