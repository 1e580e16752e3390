"""Paths ``x_t = alpha_t x_0 + sigma_t eps`` from data to noise, and what a prediction means there.

A model predicts one of four things: the velocity ``alpha' x_0 + sigma' eps``, the noise, the data
or the score. They are linear in each other, so one pair, `Denoised`, stands for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = [
    "PATHS",
    "PREDICTIONS",
    "Denoised",
    "Point",
    "flow",
    "variance_exploding",
    "variance_preserving",
]

Tensor = Any

PREDICTIONS = ("velocity", "noise", "data", "score")


class Denoised(NamedTuple):
    """What is known of ``x_t``: the Tweedie estimate ``E[x_0 | x_t]`` and ``E[eps | x_t]``."""

    data: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Point:
    """A point of a path: its scales and their derivatives in the path's own time.

    Attributes
    ----------
    alpha, sigma
        ``x = alpha x_0 + sigma eps`` (Eq. 31 of the paper).
    alpha_dot, sigma_dot
        Their derivatives, which say what a velocity is (Eq. 35).

    Examples
    --------
    >>> point = flow(0.25)
    >>> x0, eps = 2.0, -1.0
    >>> x = point.alpha * x0 + point.sigma * eps
    >>> point.denoise(x, eps - x0, "velocity")
    Denoised(data=2.0, noise=-1.0)
    """

    alpha: float
    sigma: float
    alpha_dot: float
    sigma_dot: float

    @property
    def time(self) -> float:
        """Flow time ``t = sigma / (alpha + sigma)``: any path is a flow path at another scale."""
        return self.sigma / (self.alpha + self.sigma)

    @property
    def scale(self) -> float:
        """The scale ``alpha + sigma`` of this path against the flow path at the same `time`."""
        return self.alpha + self.sigma

    def denoise(self, x: Tensor, prediction: Tensor, kind: str) -> Denoised:
        """Turn a model's prediction at `x` into estimates of data and noise (Eqs. 35-39).

        Parameters
        ----------
        x, prediction
            Arrays of one shape.
        kind
            What was predicted: one of `PREDICTIONS`.

        Raises
        ------
        ValueError
            If `kind` is unknown, or does not determine both here: noise and score say nothing of
            the data where ``alpha = 0``, nor does the data of the noise where ``sigma = 0``.
        """
        if kind == "velocity":
            # Solves velocity = alpha' x0 + sigma' eps and x = alpha x0 + sigma eps; divides by
            # neither alpha nor sigma, so it holds at both ends.
            det = self.alpha_dot * self.sigma - self.sigma_dot * self.alpha
            data = (self.sigma * prediction - self.sigma_dot * x) / det
            return Denoised(data, (self.alpha_dot * x - self.alpha * prediction) / det)
        if kind == "data":
            return Denoised(prediction, self.noise_in(x, prediction))
        if kind not in PREDICTIONS:
            raise ValueError(f"kind must be one of {', '.join(PREDICTIONS)}, got {kind!r}")
        noise = prediction if kind == "noise" else -self.sigma * prediction
        if self.alpha == 0:
            raise ValueError(f"a prediction of the {kind} does not determine the data at alpha = 0")
        return Denoised((x - self.sigma * noise) / self.alpha, noise)

    def noise_in(self, x: Tensor, data: Tensor) -> Tensor:
        """Return the noise that makes `x` of `data`."""
        if self.sigma == 0:
            raise ValueError("the data does not determine the noise at sigma = 0")
        return (x - self.alpha * data) / self.sigma

    def velocity(self, denoised: Denoised) -> Tensor:
        """Return the velocity of the path (Eq. 35)."""
        return self.alpha_dot * denoised.data + self.sigma_dot * denoised.noise

    def score(self, denoised: Denoised) -> Tensor:
        """Return the score ``grad log p_t`` (Eqs. 36 and 38)."""
        if self.sigma == 0:
            raise ValueError("there is no score at sigma = 0")
        return -denoised.noise / self.sigma


def flow(t: float) -> Point:
    """Point of the flow path ``alpha = 1 - t, sigma = t``, whose velocity is ``eps - x_0``."""
    return Point(1 - t, t, -1.0, 1.0)


def variance_preserving(t: float) -> Point:
    """Point of the variance-preserving path ``alpha = cos(pi t / 2), sigma = sin(pi t / 2)``.

    Its velocity is that of the angle, diffusers' ``v_prediction``: ``alpha eps - sigma x_0``.
    """
    angle = math.pi * t / 2
    alpha, sigma = math.cos(angle) if t < 1 else 0.0, math.sin(angle)
    return Point(alpha, sigma, -sigma, alpha)


def variance_exploding(t: float) -> Point:
    """Point of the variance-exploding path ``alpha = 1, sigma = t``; its velocity is the noise."""
    return Point(1.0, t, 0.0, 1.0)


PATHS: dict[str, Callable[[float], Point]] = {
    "flow": flow,
    "variance_preserving": variance_preserving,
    "variance_exploding": variance_exploding,
}
