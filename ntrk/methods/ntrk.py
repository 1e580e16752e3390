"""The Noise-Tilted Reverse Kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import kernels
from ..arguments import check_range
from ..sampler import Run, Steps
from ..whitening import versioned, whitening_operator
from .method import Method

__all__ = ["NTRK"]


@dataclass(frozen=True)
class NTRK(Method):
    """Mix the whitened reward gradient into the injected noise; leave the mean alone.

    ``x <- mean + std (sqrt(strength) W(grad r) + sqrt(1 - strength) z)``: Eqs. 11 and 12 of the
    paper. Where the gradient is zero or not finite, the noise is fresh.

    Parameters
    ----------
    strength
        Share of the injected variance that the gradient directs, in [0, 1]. At 0 this is the base
        sampler, bit for bit with the same seed.
    whitening
        A key of `ntrk.whitening.OPERATORS`, a `whitenoise.Whitener` or a function like one. A
        preset of `whitenoise` is kept with its version.
    """

    strength: float = 0.3
    whitening: str | Callable[..., Any] = "default"

    name = "ntrk"
    label = "NTRK"
    summary = "the whitened reward gradient as part of the noise"
    kind = "noise-tilted"
    needs_gradient = True
    thins_rewards = True

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, 1)
        if not callable(self.whitening):
            object.__setattr__(self, "whitening", versioned(self.whitening))

    def sample(self, run: Run) -> Steps:
        whiten = whitening_operator(self.whitening, tuple(run.like.shape[1:]))
        x = run.start()
        for level in range(run.steps):
            guided = yield from run.guide(x, level)
            kernel = run.kernel(x, guided.denoised, level)
            noise = z = run.noise.normal(x)
            cosine = None
            if kernel.std > 0:
                noise, cosine = self._tilt(z, guided.gradient, whiten, run)
            x = kernels.base(kernel, noise)
            run.record(level, kernel.std, noise, guided.denoised.data, guided.reward, cosine)
        return x

    def _tilt(self, z: Any, gradient: Any, whiten: Callable[..., Any], run: Run) -> tuple[Any, Any]:
        """Tilt the noise of each particle; return it and the cosine that whitening kept."""
        noise, cosine = z.clone(), torch.full((len(z),), torch.nan)
        for i, own in enumerate(gradient):
            if bool((own != 0).any()):
                direction = whiten(own, rng=run.noise.ties[i])
                noise[i] = kernels.tilted_noise(z[i], direction, self.strength)
                cosine[i] = torch.cosine_similarity(own.flatten(), direction.flatten(), dim=0)
        return noise, cosine
