"""ReNO: the initial noise as a variable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments import as_count, check_range
from ..rows import per_row
from ..sampler import Run, Steps
from .method import Method
from .trajectory import Ascent, optimise_noise

__all__ = ["ReNO"]


@dataclass(frozen=True)
class ReNO(Method):
    """Ascend the reward in the initial noise by stochastic gradient descent; keep the best pass.

    The loss adds ``penalty`` times minus the logarithm of the density of the noise's norm,
    ``||z||^2 / 2 - (N - 1) log ||z||``; gradients are clipped to norm `clip`, and Nesterov's
    momentum is 0.9, as in the authors' code. Injected noise stays as it was drawn.

    Parameters
    ----------
    passes
        Trajectories sampled, with an update between them.
    learning_rate, clip, penalty
        See above.

    References
    ----------
    Eyring et al., "ReNO: Enhancing One-Step Text-to-Image Models through Reward-Based Noise
    Optimization", NeurIPS 2024.
    """

    passes: int = 50
    learning_rate: float = 5.0
    clip: float = 0.1
    penalty: float = 0.01

    name = "reno"
    label = "ReNO"
    summary = "the initial noise optimised, by the gradient through the trajectory"
    kind = "noise optimisation"
    needs_gradient = True
    detachable = False

    def __post_init__(self) -> None:
        as_count("passes", self.passes)
        check_range("learning_rate", self.learning_rate, 0, open_low=True)
        check_range("clip", self.clip, 0, open_low=True)
        check_range("penalty", self.penalty, 0)

    def sample(self, run: Run) -> Steps:
        def begin(drawn: Tensor, first: int) -> Ascent:
            initial = drawn[0].clone().requires_grad_()
            optimizer = torch.optim.SGD(
                [initial], lr=self.learning_rate, momentum=0.9, nesterov=True
            )

            def update(reward: Tensor) -> None:
                norm = initial.flatten(1).norm(dim=1)
                price = (norm**2 / 2 - (initial[0].numel() - 1) * norm.log()).sum()
                (gradient,) = torch.autograd.grad(self.penalty * price - reward.sum(), initial)
                gradient = run.usable(gradient, reward)
                length = gradient.flatten(1).norm(dim=1).clamp(min=self.clip)
                initial.grad = gradient * per_row(self.clip / length, gradient)
                optimizer.step()

            return lambda: torch.cat([initial[None], drawn[1:]]), update

        return (yield from optimise_noise(run, self.passes, begin))

    def evaluations(self, steps: int) -> int:
        return self.passes * steps
