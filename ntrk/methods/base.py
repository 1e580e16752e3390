"""The base sampler."""

from __future__ import annotations

from dataclasses import dataclass

from .. import kernels
from ..sampler import Run, Steps
from .method import Method

__all__ = ["Base"]


@dataclass(frozen=True)
class Base(Method):
    """Sample from the model, and score what comes out.

    ``x <- mean + std z``: Eq. 4 of the paper.
    """

    name = "base"
    label = "Base"
    summary = "the model itself"
    kind = "base"
    thins_rewards = True

    def sample(self, run: Run) -> Steps:
        x = run.start()
        for level in range(run.steps):
            denoised = yield from run.denoise(x, level)
            kernel = run.kernel(x, denoised, level)
            z = run.noise.normal(x)
            x = kernels.base(kernel, z)
            run.record(level, kernel.std, z, denoised.data, run.score(denoised.data, level))
        return x
