"""DAS: sequential Monte Carlo with guided proposals and a tempered reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import kernels
from ..arguments import check_range
from ..path import Denoised
from ..resampling import effective_sample_size, normalized_weights, ssp_resample
from ..rows import squared_norm
from ..sampler import Guided, Run, Steps
from .method import Method
from .population import reborn

__all__ = ["DAS"]


@dataclass(frozen=True)
class DAS(Method):
    """Propose by the mean-shifted kernel, weigh by what that gets wrong, resample.

    Proposals are ``N(mean + lambda_t std^2 grad r / temperature, std^2)``, and log-weights grow by
    ``log p(x_s | x_t) - log q(x_s | x_t) + lambda_s r(x_s) / temperature - lambda_t r(x_t) /
    temperature``, with r of the Tweedie estimates: as particles become many, the population is that
    of ``p(x) exp(r(x) / temperature)``. It is resampled by the Srinivasan process when its
    effective size falls below half, and at the end.

    Parameters
    ----------
    temperature
        Of the target.
    growth
        The tempering ``lambda_i = min((1 + growth)^i - 1, 1)``; None for the growth that reaches
        one at the last step, ``2^(1 / steps) - 1`` (the authors' 0.008 does at 87 steps).

    References
    ----------
    Kim et al., "Test-Time Alignment of Diffusion Models without Reward Over-Optimization", ICLR
    2025.
    """

    temperature: float = 1.0
    growth: float | None = None

    name = "das"
    label = "DAS"
    summary = "a guided population, reweighted and resampled"
    kind = "hybrid"
    needs_gradient = True
    population = True

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0, open_low=True)
        if self.growth is not None:
            check_range("growth", self.growth, 0, open_low=True)

    def sample(self, run: Run) -> Steps:
        return (yield from self.sample_from(run.start(), run))

    def sample_from(self, x: Tensor, run: Run) -> Steps:
        """Sample from given initial states."""
        growth = 2 ** (1 / run.steps) - 1 if self.growth is None else self.growth
        chance = np.random.default_rng([run.seed, 0xDA5])  # the same on all processes
        log_weights = torch.zeros(len(x), dtype=torch.float64)
        potential = torch.zeros(len(x))
        for level in range(run.steps):
            scale = min((1 + growth) ** level - 1, 1) / self.temperature
            guided = yield from run.guide(x, level)
            log_weights += scale * guided.reward - potential
            potential = scale * guided.reward
            weights = normalized_weights(run.processes.gather(log_weights))
            if effective_sample_size(weights) < len(weights) / 2:
                log_weights = torch.zeros_like(log_weights)
                x, potential, data, noise, reward, gradient = reborn(
                    run,
                    ssp_resample(weights, chance),
                    *(x, potential, *guided.denoised, guided.reward, guided.gradient),
                )
                guided = Guided(Denoised(data, noise), reward, gradient)
            kernel = run.kernel(x, guided.denoised, level)
            z = run.noise.normal(x)
            shift = scale * kernel.std**2 * guided.gradient
            x = kernels.mean_shifted(kernel, z, shift)
            perturbation = kernels.shifted_noise(kernel, z, shift)
            # log N(x; mean, std^2) - log N(x; mean + shift, std^2)
            log_weights += (squared_norm(z) - squared_norm(perturbation)) / 2
            run.record(level, kernel.std, perturbation, guided.denoised.data, guided.reward)
        log_weights += run.score(x) / self.temperature - potential
        weights = normalized_weights(run.processes.gather(log_weights))
        (x,) = reborn(run, ssp_resample(weights, chance), x)
        return x
