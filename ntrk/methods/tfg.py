"""TFG: guidance of the state and of the estimate of the data together."""

from __future__ import annotations

from dataclasses import dataclass

from .. import kernels
from ..arguments import as_count, check_range
from ..sampler import Run, Steps
from .method import Method

__all__ = ["TFG"]


@dataclass(frozen=True)
class TFG(Method):
    """Shift the mean by the gradient in the state, and by ascents in the estimate of the data.

    ``x <- mean + std z + rho std^2 grad_x r / temperature + alpha_s D`` where D is the sum of
    `ascents` steps ``mu / ascents sigma^2 / (alpha^2 + sigma^2) grad r(x0 + D) / temperature`` on
    the Tweedie estimate: the posterior variance of unit-variance data. The authors search for both
    sizes; these are what a first-order expansion of the target gives, so that rho and mu are near
    one. One model evaluation a step.

    Parameters
    ----------
    temperature
        Of the target ``p(x) exp(r(x) / temperature)``.
    rho, mu
        Sizes of the two shifts.
    ascents
        Gradient steps on the estimate.

    References
    ----------
    Ye et al., "TFG: Unified Training-Free Guidance for Diffusion Models", NeurIPS 2024.
    """

    temperature: float = 1.0
    rho: float = 1.0
    mu: float = 1.0
    ascents: int = 4

    name = "tfg"
    label = "TFG"
    summary = "gradients in the state and ascents on the estimate"
    kind = "mean-shifted"
    needs_gradient = True
    thins_rewards = True

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0, open_low=True)
        check_range("rho", self.rho, 0)
        check_range("mu", self.mu, 0)
        as_count("ascents", self.ascents, least=0)

    def sample(self, run: Run) -> Steps:
        x = run.start()
        for level in range(run.steps):
            guided = yield from run.guide(x, level)
            kernel = run.kernel(x, guided.denoised, level)
            now, then = run.schedule.points[level : level + 2]
            shift = self.rho * kernel.std**2 / self.temperature * guided.gradient
            variance = now.sigma**2 / (now.alpha**2 + now.sigma**2)
            data = guided.denoised.data
            if level + 1 < run.steps:
                step = self.mu / max(self.ascents, 1) * variance / self.temperature
                for _ in range(self.ascents):
                    data = data + step * run.ascent(data, level)
            shift = shift + then.alpha * (data - guided.denoised.data)
            z = run.noise.normal(x)
            x = kernels.mean_shifted(kernel, z, shift)
            perturbation = kernels.shifted_noise(kernel, z, shift)
            run.record(level, kernel.std, perturbation, guided.denoised.data, guided.reward)
        return x
