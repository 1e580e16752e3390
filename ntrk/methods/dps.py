"""Diffusion posterior sampling: the reward gradient added to the mean."""

from __future__ import annotations

from dataclasses import dataclass

from .. import kernels
from ..arguments import check_range
from ..sampler import Run, Steps
from .method import Method

__all__ = ["DPS"]


@dataclass(frozen=True)
class DPS(Method):
    """Shift the mean of the kernel by the reward gradient.

    ``x <- mean + lambda_t grad r + std z`` with ``lambda_t = std^2 / temperature``: Eq. 43 of the
    paper with the weight that its derivation prescribes, the kernel ``N(mean, std^2) exp(r /
    temperature)`` to first order. The authors' code, for inverse problems, has a constant weight.

    Parameters
    ----------
    temperature
        Of the target ``p(x) exp(r(x) / temperature)``; lower is stronger.

    References
    ----------
    Chung et al., "Diffusion Posterior Sampling for General Noisy Inverse Problems", ICLR 2023.
    """

    temperature: float = 1.0

    name = "dps"
    label = "DPS"
    summary = "the reward gradient added to the mean"
    kind = "mean-shifted"
    needs_gradient = True
    thins_rewards = True

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0, open_low=True)

    def sample(self, run: Run) -> Steps:
        x = run.start()
        for level in range(run.steps):
            guided = yield from run.guide(x, level)
            kernel = run.kernel(x, guided.denoised, level)
            shift = kernel.std**2 / self.temperature * guided.gradient
            z = run.noise.normal(x)
            x = kernels.mean_shifted(kernel, z, shift)
            perturbation = kernels.shifted_noise(kernel, z, shift)
            run.record(level, kernel.std, perturbation, guided.denoised.data, guided.reward)
        return x
