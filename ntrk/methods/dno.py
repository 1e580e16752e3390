"""Direct noise optimisation: all noise of a trajectory as variables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..arguments import as_count, check_range
from ..sampler import Run, Steps
from .method import Method
from .trajectory import Ascent, optimise_noise

__all__ = ["DNO", "improbability"]


@dataclass(frozen=True)
class DNO(Method):
    """Ascend the reward in the initial and all injected noise by AdamW; keep the best pass.

    Parameters
    ----------
    passes
        Trajectories sampled, with an update between them; `passes` times the steps are evaluated.
        One pass is the base sampler.
    learning_rate
        Of AdamW.
    penalty
        Weight of `improbability`, which keeps the noise probable.

    Notes
    -----
    A pass holds the graph of all its steps: memory grows with steps and particles.

    References
    ----------
    Tang et al., "Inference-Time Alignment of Diffusion Models with Direct Noise Optimization",
    ICML 2025.
    """

    passes: int = 20
    learning_rate: float = 0.01
    penalty: float = 1.0

    name = "dno"
    label = "DNO"
    summary = "all noise of the trajectory optimised, by the gradient through it"
    kind = "noise optimisation"
    needs_gradient = True
    detachable = False

    def __post_init__(self) -> None:
        as_count("passes", self.passes)
        check_range("learning_rate", self.learning_rate, 0, open_low=True)
        check_range("penalty", self.penalty, 0)

    def sample(self, run: Run) -> Steps:
        def begin(drawn: Tensor, first: int) -> Ascent:
            noise = drawn.clone().requires_grad_()
            optimizer = torch.optim.AdamW([noise], lr=self.learning_rate)

            def update(reward: Tensor) -> None:
                price = sum(
                    improbability(noise[:, i].flatten(), run.noise.ties[first + i])
                    for i in range(len(reward))
                )
                (gradient,) = torch.autograd.grad(self.penalty * price - reward.sum(), noise)
                noise.grad = run.usable(gradient.movedim(1, 0), reward).movedim(0, 1)
                optimizer.step()

            return lambda: noise, update

        return (yield from optimise_noise(run, self.passes, begin))

    def evaluations(self, steps: int) -> int:
        return self.passes * steps


def improbability(noise: Tensor, rng: np.random.Generator, width: int = 4) -> Tensor:
    """Return minus the logarithm of how probable the moments of `noise` are, at most.

    The noise, in a random order, makes m vectors of length k. For N(0, I), with ``M1`` the norm of
    their mean and ``M2`` the spectral norm of ``mean(v v^T) - I``, the chance of a larger
    value is at most ``2 exp(-m M1^2 / (2 k))`` and
    ``2 exp(-m max(sqrt(1 + M2) - 1 - sqrt(k / m), 0)^2 / 2)``.

    Parameters
    ----------
    noise
        (n,), standard normal if all is well.
    rng
        Draws the order.
    width
        k.

    Returns
    -------
    Tensor, a number of at least 0.
    """
    k = width
    m = len(noise) // k
    order = torch.from_numpy(rng.permutation(len(noise))[: m * k]).to(noise.device)
    vectors = noise[order].reshape(m, k)
    mean = vectors.mean(0).norm()
    excess = torch.linalg.matrix_norm(
        vectors.T @ vectors / m - torch.eye(k, dtype=noise.dtype, device=noise.device), ord=2
    )
    spread = (torch.sqrt(1 + excess) - 1 - math.sqrt(k / m)).clamp(min=0)
    exponents = torch.stack([m * mean**2 / (2 * k), m * spread**2 / 2])
    return (exponents - math.log(2)).clamp(min=0).sum()
