"""What a reward is to a sampler: named terms with weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

__all__ = ["Reward", "as_reward"]

Function = Callable[[Tensor, Sequence[str]], Tensor]


class Reward:
    """A weighted sum of named rewards.

    Parameters
    ----------
    terms
        Name to function ``(images, prompts) -> (batch,)``. Images are float, in [0, 1], of shape
        (batch, channels, height, width), for video (batch, frames, channels, height, width).
    weights
        Name to weight, any finite number; 1 where absent.
    differentiable
        Whether gradients flow from rewards to images. False lets methods that need them refuse at
        once; a reward that turns out not to be differentiable is refused at its first gradient.

    Examples
    --------
    >>> import torch
    >>> bright = Reward({"bright": lambda images, prompts: images.mean((1, 2, 3))})
    >>> dark = Reward({"dark": lambda images, prompts: 1 - images.mean((1, 2, 3))})
    >>> total = bright - 0.5 * dark
    >>> total(torch.ones(2, 3, 4, 4), ["", ""])
    tensor([1., 1.])
    >>> total.name
    'bright - 0.5*dark'
    """

    def __init__(
        self,
        terms: Mapping[str, Function],
        weights: Mapping[str, float] | None = None,
        *,
        differentiable: bool = True,
    ) -> None:
        given: dict[str, Any] = dict(weights or {})
        if not terms:
            raise ValueError("a reward must have at least one term, got none")
        for name, term in terms.items():
            if not callable(term):
                raise TypeError(f"the reward {name!r} must be a function, got {term!r}")
        for name, weight in given.items():
            if name not in terms:
                raise ValueError(f"weights must name terms, which are {list(terms)}, got {name!r}")
            if not isinstance(weight, Real):
                raise TypeError(f"the weight of {name!r} must be a number, got {weight!r}")
            if not math.isfinite(weight):
                raise ValueError(f"the weight of {name!r} must be finite, got {weight!r}")
        self.terms = dict(terms)
        self.weights = {name: float(given.get(name, 1.0)) for name in terms}
        self.differentiable = differentiable

    @property
    def name(self) -> str:
        """The sum as one would write it."""
        text = ""
        for name, weight in self.weights.items():
            sign = "-" if weight < 0 else "+" if text else ""
            size = "" if abs(weight) == 1 else f"{abs(weight):g}*"
            text += f" {sign} {size}{name}" if text else f"{sign}{size}{name}"
        return text

    def __repr__(self) -> str:
        return f"Reward({self.name})"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the weighted sum, one number an image."""
        return self.total(self.evaluate(images, prompts))

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of the values of the terms."""
        terms = [self.weights[name] * values[name] for name in self.terms]
        return torch.stack(terms).sum(0)

    def evaluate(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return each term by itself, unweighted."""
        values = {}
        for name, term in self.terms.items():
            value = term(images, prompts)
            if not isinstance(value, torch.Tensor):
                raise TypeError(f"the reward {name!r} must return a tensor, got {value!r}")
            if value.shape != (len(images),):
                raise ValueError(
                    f"the reward {name!r} must return a tensor of shape ({len(images)},), one "
                    f"number an image, got shape {tuple(value.shape)}"
                )
            values[name] = value.float() if value.dtype.itemsize < 4 else value
        return values

    def __add__(self, other: Reward) -> Reward:
        if not isinstance(other, Reward):
            return NotImplemented
        for name in self.terms:
            if name in other.terms:
                raise ValueError(f"two rewards of one name cannot be added: {name!r}")
        return Reward(
            self.terms | other.terms,
            self.weights | other.weights,
            differentiable=self.differentiable and other.differentiable,
        )

    def __sub__(self, other: Reward) -> Reward:
        return self + -other

    def __mul__(self, weight: Any) -> Reward:
        if not isinstance(weight, Real):
            return NotImplemented
        weights = {name: float(weight) * own for name, own in self.weights.items()}
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
