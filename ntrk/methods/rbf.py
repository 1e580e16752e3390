"""Rollover budget forcing: a search that stops as soon as it succeeds, and saves the rest."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .. import kernels
from ..arguments import as_count
from ..resampling import worst_if_nan
from ..sampler import Query, Run, Steps
from .method import Method

__all__ = ["RBF"]


@dataclass(frozen=True)
class RBF(Method):
    """Search as `SVDD` does, one candidate after another, and advance at the first that improves.

    A step has a quota of evaluations. A candidate that beats the best reward so far is kept at
    once, and what is left of the quota goes to the next step; if none does, the best of them is
    kept. `candidates` a step are the budget, of which some may be left at the end.

    Parameters
    ----------
    candidates
        Quota of a step and particle.

    References
    ----------
    Kim et al., "Inference-Time Scaling for Flow Models via Stochastic Generation and Rollover
    Budget Forcing", NeurIPS 2025.
    """

    candidates: int = 20

    name = "rbf"
    label = "RBF"
    summary = "a search that advances at the first success and saves the rest"
    kind = "search"
    population = True

    def __post_init__(self) -> None:
        as_count("candidates", self.candidates)

    def sample(self, run: Run) -> Steps:
        # Particles advance at different evaluations, so one is finished before the next starts.
        trails: list[list[_Move]] = []
        for particle in range(run.particles):
            trails.append([])
            yield from self._follow(run, particle, trails)
        for level, moves in enumerate(zip(*trails, strict=True)):
            std = moves[0].std
            noise, data, reward = (torch.cat(e) for e in list(zip(*moves, strict=True))[1:])
            if level:
                run.record(level - 1, std, noise, data, reward)
        return data

    def evaluations(self, steps: int) -> int:
        return self.candidates * steps

    def _follow(
        self, run: Run, particle: int, trails: list[list[_Move]]
    ) -> Generator[Query, Tensor, None]:
        """Sample one particle; add its move to each level to its trail, the last one."""
        like = run.like[particle : particle + 1]
        kernel = run.prior()
        goal, quota = torch.tensor([-torch.inf]), 0
        for level in range(run.steps + 1):
            quota += self.candidates
            best: _Move | None = None
            while best is None or (quota > 0 and kernel.std > 0):
                noise = run.noise.normal(like, particle)
                state = kernels.search(kernel, noise)
                denoised = yield from run.denoise(state, level)
                move = _Move(
                    kernel.std, noise, denoised.data, worst_if_nan(run.score(denoised.data))
                )
                quota -= 1
                if best is None or move.reward > best.reward:
                    best, kept = move, (state, denoised)
                if move.reward > goal:
                    goal = move.reward
                    break
            trails[-1].append(best)
            run.latest = torch.cat([trail[-1].data for trail in trails])
            run.on_step(run)
            if level < run.steps:
                kernel = run.kernel(*kept, level)


class _Move(NamedTuple):
    """How a particle came to a level: by what noise, to what estimate and reward."""

    std: float
    noise: Tensor
    data: Tensor
    reward: Tensor
