"""Rollover budget forcing: a search that stops as soon as it succeeds, and saves the rest."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import kernels
from ..path import Denoised
from ..sampler import Query, Run, Steps
from .method import Method, check_range

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
        check_range("candidates", self.candidates, 1)

    def sample(self, run: Run) -> Steps:
        # Particles advance at different evaluations, so one is finished before the next starts.
        trails = []
        for particle in range(run.particles):
            trails.append((yield from self._trail(run, particle)))
        for level, moves in enumerate(zip(*trails, strict=True)):
            x, mean, data, noise = (torch.cat(e) for e in list(zip(*moves, strict=True))[:4])
            std, reward = moves[0][4], torch.cat([move[5] for move in moves])
            run.record(level, x, kernels.Gaussian(mean, std), Denoised(data, noise), reward)
        return x

    def evaluations(self, steps: int) -> int:
        return self.candidates * steps

    def _trail(
        self, run: Run, particle: int
    ) -> Generator[Query, Tensor, list[tuple[Tensor, Tensor, Tensor, Tensor, float, Tensor]]]:
        """Sample one particle; return what each step did."""
        moves = []
        like = run.like[particle : particle + 1]
        kernel = kernels.Gaussian(torch.zeros_like(like), run.schedule.initial_scale)
        before, goal, quota = Denoised(like, like), torch.tensor([-torch.inf]), 0
        for level in range(run.steps + 1):
            quota += self.candidates
            best = None
            while best is None or (quota > 0 and kernel.std > 0):
                state = kernels.search(kernel, run.noise.normal(like, particle))
                denoised = yield from run.denoise(state, level)
                reward = run.score(denoised.data)
                quota -= 1
                if best is None or reward > best[2]:
                    best = state, denoised, reward
                if reward > goal:
                    goal = reward
                    break
            state, denoised, reward = best
            if level:
                moves.append((state, kernel.mean, *before, kernel.std, reward))
            if level < run.steps:
                kernel, before = run.kernel(state, denoised, level), denoised
        return moves
