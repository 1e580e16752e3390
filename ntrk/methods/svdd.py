"""SVDD: at each step, the best of several candidates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .. import kernels
from ..arguments import as_count
from ..path import Denoised
from ..resampling import worst_if_nan
from ..sampler import Run, Steps
from .method import Method

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
        as_count("candidates", self.candidates)

    def sample(self, run: Run) -> Steps:
        kernel = run.prior()
        for level in range(run.steps + 1):
            draws = self.candidates if level < run.steps else 1
            drawn = [] if level else [run.start() / kernel.std]  # which may be the caller's own
            drawn += [run.noise.normal(run.like) for _ in range(draws - len(drawn))]
            noise = torch.stack(drawn)
            states = kernels.search(kernel, noise).flatten(0, 1)  # candidate by candidate
            found = yield from run.denoise(states, level)
            reward = run.score(found.data)
            best = worst_if_nan(reward).reshape(draws, -1).argmax(0)
            rows = best * run.particles + torch.arange(run.particles)
            x, denoised = states[rows], Denoised(*(e[rows] for e in found))
            if level:
                chosen = noise.flatten(0, 1)[rows]
                run.record(level - 1, kernel.std, chosen, denoised.data, reward[rows])
            if level < run.steps:
                kernel = run.kernel(x, denoised, level)
        return x

    def evaluations(self, steps: int) -> int:
        return self.candidates * steps
