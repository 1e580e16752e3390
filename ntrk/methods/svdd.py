"""SVDD: at each step, the best of several candidates."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import kernels
from ..path import Denoised
from ..sampler import Query, Run, Steps
from .method import Method, check_range

__all__ = ["SVDD"]


@dataclass(frozen=True)
class SVDD(Method):
    """Draw candidates from the base kernel, keep the one whose Tweedie estimate scores best.

    ``argmax_k r(x0(x^k))``: Eqs. 8 and 9 of the paper. The initial noise is searched too, so each
    step evaluates `candidates` states; the last one, which has no noise, decides nothing.

    Parameters
    ----------
    candidates
        K, evaluations a step and particle.

    References
    ----------
    Li et al., "Derivative-Free Guidance in Continuous and Discrete Diffusion Models with Soft
    Value-Based Decoding", NeurIPS 2025.
    """

    candidates: int = 20

    name = "svdd"
    label = "SVDD"
    summary = "the best of K draws of the kernel at each step"
    kind = "search"

    def __post_init__(self) -> None:
        check_range("candidates", self.candidates, 1)

    def sample(self, run: Run) -> Steps:
        first = [
            run.schedule.initial_scale * run.noise.normal(run.like) for _ in range(self.candidates)
        ]
        x, denoised, _ = yield from self._best(torch.cat(first), 0, run)
        for level in range(run.steps):
            kernel = run.kernel(x, denoised, level)
            draws = self.candidates if level + 1 < run.steps else 1
            noise = torch.stack([run.noise.normal(x) for _ in range(draws)])
            states = kernels.search(kernel, noise).flatten(0, 1)
            x, found, reward = yield from self._best(states, level + 1, run)
            run.record(level, x, kernel, denoised, reward)
            denoised = found
        return x

    def _best(
        self, states: Tensor, level: int, run: Run
    ) -> Generator[Query, Tensor, tuple[Tensor, Denoised, Tensor]]:
        """Keep each particle's best candidate; rows run candidate by candidate."""
        denoised = yield from run.denoise(states, level)
        reward = run.score(denoised.data)
        best = reward.reshape(-1, run.particles).argmax(0)
        rows = best * run.particles + torch.arange(run.particles)
        return states[rows], Denoised(*(e[rows] for e in denoised)), reward[rows]

    def evaluations(self, steps: int) -> int:
        return self.candidates * steps
