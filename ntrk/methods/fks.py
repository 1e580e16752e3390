"""Feynman-Kac steering: a population resampled by its rewards, without gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .. import kernels
from ..arguments import as_count, check_range
from ..resampling import normalized_weights, ssp_resample
from ..sampler import Run, Steps
from .method import Method
from .population import reborn

__all__ = ["POTENTIALS", "FKSteering"]

POTENTIALS = ("max", "diff", "sum")


@dataclass(frozen=True)
class FKSteering(Method):
    """Run the base sampler on a population, and resample it a few times by what it promises.

    The logarithm of the potential is ``R / temperature`` with R of the rewards of the Tweedie
    estimates at the resampling steps so far: their maximum, the last less the one before, or their
    sum. The last resampling divides by all earlier potentials, so that the target is
    ``p(x) exp(r(x) / temperature)`` whichever is chosen.

    Parameters
    ----------
    temperature
        Of the target; the authors' lambda = 10 is 0.1.
    resamplings
        How often, at equal distances, the last time at the end.
    potential
        One of `POTENTIALS`.

    References
    ----------
    Singhal et al., "A General Framework for Inference-Time Scaling and Steering of Diffusion
    Models", ICML 2025.
    """

    temperature: float = 0.1
    resamplings: int = 5
    potential: str = "max"

    name = "fks"
    label = "FK steering"
    summary = "a population resampled by its rewards, without gradients"
    kind = "search"
    population = True

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0, open_low=True)
        as_count("resamplings", self.resamplings)
        if self.potential not in POTENTIALS:
            raise ValueError(
                f"potential must be one of {', '.join(POTENTIALS)}, got {self.potential!r}"
            )

    def sample(self, run: Run) -> Steps:
        chance = np.random.default_rng([run.seed, 0xF5])  # the same on all processes
        times = {round(run.steps * k / self.resamplings) for k in range(1, self.resamplings)} - {
            0,
            run.steps,
        }
        x = run.start()
        start = -torch.inf if self.potential == "max" else 0.0
        memory = torch.full((len(x),), start, dtype=torch.float64)
        spent = torch.zeros_like(memory)  # logarithm of the potentials so far
        for level in range(run.steps):
            denoised = yield from run.denoise(x, level)
            reward = run.score(denoised.data)
            if level in times:
                promise, memory = self._promise(reward.double(), memory)
                log_weights = promise / self.temperature
                ancestors = _ancestors(log_weights, run, chance)
                x, data, noise, reward, memory, spent = reborn(
                    run, ancestors, x, *denoised, reward, memory, spent + log_weights
                )
                denoised = denoised._replace(data=data, noise=noise)
            kernel = run.kernel(x, denoised, level)
            z = run.noise.normal(x)
            x = kernels.base(kernel, z)
            run.record(level, kernel.std, z, denoised.data, reward)
        log_weights = run.score(x).double() / self.temperature - spent
        (x,) = reborn(run, _ancestors(log_weights, run, chance), x)
        return x

    def _promise(
        self, reward: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the potential of the rewards, and what to remember of them."""
        if self.potential == "diff":
            return reward - memory, reward
        memory = torch.maximum(reward, memory) if self.potential == "max" else reward + memory
        return memory, memory


def _ancestors(log_weights: torch.Tensor, run: Run, chance: np.random.Generator) -> torch.Tensor:
    return ssp_resample(normalized_weights(run.processes.gather(log_weights)), chance)
