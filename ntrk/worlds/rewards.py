"""Rewards whose tilt of a Gaussian is a Gaussian."""

from __future__ import annotations

from typing import Any

from .arguments import as_number, as_numbers, as_rows

__all__ = ["LinearReward", "QuadraticReward", "Reward"]

Tensor = Any


class LinearReward:
    """The reward ``<direction, x>`` for a `direction` of ``N`` numbers in any shape.

    Examples
    --------
    >>> import torch
    >>> LinearReward([2.0, 1.0])(torch.tensor([[1.0, 3.0], [0.0, 1.0]]))
    tensor([5., 1.])
    """

    curvature = 0.0

    def __init__(self, direction: Any) -> None:
        self.slope = as_numbers("direction", direction).reshape(-1)  # the gradient at zero

    def __call__(self, x: Tensor, prompts: object = None) -> Tensor:
        return (as_rows("x", x, len(self.slope)) @ self.slope.to(x.device)).to(x.dtype)


class QuadraticReward:
    """The reward ``-(weight / 2) ||x - target||^2`` for a `target` of ``N`` numbers in any shape.

    Where `weight` is negative, it grows away from the target.

    Examples
    --------
    >>> import torch
    >>> QuadraticReward([1.0, 1.0], weight=2.0)(torch.tensor([[1.0, 3.0]]))
    tensor([-4.])
    """

    def __init__(self, target: Any, weight: float = 1.0) -> None:
        self.target = as_numbers("target", target).reshape(-1)
        self.curvature = as_number("weight", weight)
        self.slope = self.curvature * self.target

    def __call__(self, x: Tensor, prompts: object = None) -> Tensor:
        offsets = as_rows("x", x, len(self.target)) - self.target.to(x.device)
        return (-self.curvature / 2 * offsets.square().sum(1)).to(x.dtype)


Reward = LinearReward | QuadraticReward
