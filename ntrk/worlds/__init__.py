"""Worlds in which the right answer is known."""

from .divergence import divergence
from .gaussian_mixture import GaussianMixture
from .rewards import LinearReward, QuadraticReward

__all__ = ["GaussianMixture", "LinearReward", "QuadraticReward", "divergence"]
