"""Worlds in which the right answer is known."""

from .gaussian_mixture import GaussianMixture, LinearReward, QuadraticReward, divergence

__all__ = ["GaussianMixture", "LinearReward", "QuadraticReward", "divergence"]
