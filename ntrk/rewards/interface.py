"""What a reward is to a sampler: named terms with weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

__all__ = ["Reward", "as_reward"]

Tensor = torch.Tensor
Function = Callable[[Tensor, Sequence[str]], Tensor]


class Reward:
    """A weighted sum of named rewards.

    Parameters
    ----------
    terms
        Name to function ``(images, prompts) -> (batch,)``. Images are float, in [0, 1], of shape
        (batch, channels, height, width), for video (batch, frames, channels, height, width).
    weights
        Name to weight; 1 where absent.
    differentiable
        Whether gradients flow from rewards to images. False lets methods that need them refuse at
        once; a reward that turns out not to be differentiable is refused at its first gradient.

    Examples
    --------
    >>> import torch
    >>> bright = Reward({"bright": lambda images, prompts: images.mean((1, 2, 3))})
    >>> dark = Reward({"dark": lambda images, prompts: 1 - images.mean((1, 2, 3))})
    >>> total = bright + 0.5 * dark
    >>> total(torch.ones(2, 3, 4, 4), ["", ""])
    tensor([1., 1.])
    >>> total.name
    'bright + 0.5*dark'
    """

    def __init__(
        self,
        terms: Mapping[str, Function],
        weights: Mapping[str, float] | None = None,
        *,
        differentiable: bool = True,
    ) -> None:
        weights = dict(weights or {})
        unknown = set(weights) - set(terms)
        if unknown or not terms:
            raise ValueError(
                f"weights must name terms, which are {sorted(terms)}, got {sorted(unknown)}"
            )
        for name, term in terms.items():
            if not callable(term):
                raise TypeError(f"the reward {name!r} must be a function, got {term!r}")
        self.terms = dict(terms)
        self.weights = {name: float(weights.get(name, 1.0)) for name in terms}
        self.differentiable = differentiable

    @property
    def name(self) -> str:
        """The sum as one would write it."""
        return " + ".join(
            name if self.weights[name] == 1 else f"{self.weights[name]:g}*{name}"
            for name in self.terms
        )

    def __repr__(self) -> str:
        return f"Reward({self.name})"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the weighted sum, one number an image."""
        return sum(  # type: ignore[return-value]
            self.weights[name] * value for name, value in self.evaluate(images, prompts).items()
        )

    def evaluate(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return each term by itself, unweighted."""
        values = {}
        for name, term in self.terms.items():
            value = term(images, prompts)
            if not isinstance(value, torch.Tensor) or value.shape != (len(images),):
                got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value)
                raise ValueError(
                    f"the reward {name!r} must return a tensor of shape ({len(images)},), one "
                    f"number an image, got {got}"
                )
            values[name] = value.float() if value.dtype.itemsize < 4 else value
        return values

    def __add__(self, other: Reward) -> Reward:
        if set(self.terms) & set(other.terms):
            raise ValueError(f"two rewards of one name: {set(self.terms) & set(other.terms)}")
        return Reward(
            self.terms | other.terms,
            self.weights | other.weights,
            differentiable=self.differentiable and other.differentiable,
        )

    def __mul__(self, weight: float) -> Reward:
        weights = {name: weight * own for name, own in self.weights.items()}
        return Reward(self.terms, weights, differentiable=self.differentiable)

    __rmul__ = __mul__

    def __neg__(self) -> Reward:
        return -1.0 * self


def as_reward(reward: Any) -> Reward:
    """Return a `Reward` of a `Reward`, a function, or a mapping from names to functions.

    A function may say of itself that it has no gradient: ``function.differentiable = False``.
    """
    if isinstance(reward, Reward):
        return reward
    if isinstance(reward, Mapping):
        differentiable = all(getattr(term, "differentiable", True) for term in reward.values())
        return Reward(reward, differentiable=differentiable)
    if not callable(reward):
        raise TypeError(
            "reward must be a function (images, prompts) -> (batch,), a mapping of names to such "
            f"functions or a Reward, got {type(reward).__qualname__} {reward!r}"
        )
    name = getattr(reward, "__name__", type(reward).__name__)
    return Reward({name: reward}, differentiable=getattr(reward, "differentiable", True))
