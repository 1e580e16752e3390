"""FreeDoM: gradient guidance with time travel."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .. import kernels
from ..arguments import as_count, check_range
from ..sampler import Run, Steps
from .method import Method

__all__ = ["FreeDoM"]


@dataclass(frozen=True)
class FreeDoM(Method):
    """Shift the mean as `DPS` does, and go each step of the middle third several times.

    After such a step the state is noised back, ``x_t = a x_s + sqrt(sigma_t^2 - a^2 sigma_s^2)
    eps`` with ``a = alpha_t / alpha_s``, and the step is made anew. 25 steps take 41 evaluations.

    Parameters
    ----------
    temperature
        As in `DPS`.
    repeats
        How often a step of the middle third is made.

    References
    ----------
    Yu et al., "FreeDoM: Training-Free Energy-Guided Conditional Diffusion Model", ICCV 2023.
    """

    temperature: float = 1.0
    repeats: int = 3

    name = "freedom"
    label = "FreeDoM"
    summary = "the gradient added to the mean, with time travel"
    kind = "mean-shifted"
    needs_gradient = True
    thins_rewards = True

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0, open_low=True)
        as_count("repeats", self.repeats)

    def sample(self, run: Run) -> Steps:
        x = run.start()
        for level in range(run.steps):
            repeats = self.repeats if level in _middle_third(run.steps) else 1
            for again in reversed(range(repeats)):
                guided = yield from run.guide(x, level)
                kernel = run.kernel(x, guided.denoised, level)
                shift = kernel.std**2 / self.temperature * guided.gradient
                z = run.noise.normal(x)
                x = kernels.mean_shifted(kernel, z, shift)
                perturbation = kernels.shifted_noise(kernel, z, shift)
                run.record(level, kernel.std, perturbation, guided.denoised.data, guided.reward)
                if again:
                    x = self._back(x, level, run)
        return x

    def evaluations(self, steps: int) -> int:
        return steps + (self.repeats - 1) * len(_middle_third(steps))

    def _back(self, x: Tensor, level: int, run: Run) -> Tensor:
        """Noise the state at the next level back to this one."""
        now, then = run.schedule.points[level : level + 2]
        ratio = now.alpha / then.alpha
        added = (now.sigma**2 - (ratio * then.sigma) ** 2) ** 0.5
        return ratio * x + added * run.noise.normal(x)


def _middle_third(steps: int) -> range:
    width = steps // 3
    first = (steps - width) // 2
    return range(first, first + width)
