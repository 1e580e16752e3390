"""A world shaped like a latent: three smooth pictures with power-law noise, and some rewards.

Its mixture lives in the coordinates of a discrete cosine transform, in which the covariances are
diagonal. The transform is orthonormal, so states, models and laws are turned there and back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.fft import dct
from scipy.optimize import brentq

import whitenoise as wn
from ntrk.worlds import GaussianMixture, LinearReward, QuadraticReward

CHANNELS, SIZE = 4, 16
WEIGHTS = (0.5, 0.3, 0.2)
SCALES = (0.7, 1.0, 1.4)  # of the variances of the three components
CORNER = 2.0  # frequency from which the power falls
SMOOTH = 4  # frequencies of smooth fields in each direction
DISTANCE = 16.0  # norm of each mean, the square root of N times a half
# Of the expected reward by the tilt, in the standard deviations of the prior.
SHIFTS = {"linear": 2.0, "bumps": 2.0, "quadratic": 1.5}


def turned(x: torch.Tensor) -> torch.Tensor:
    """Return the cosine coefficients of fields, ``(batch, N)`` in float64."""
    cosines = _cosines(x.shape[-1])
    return (cosines @ x.double() @ cosines.T).flatten(1)


def fields(coefficients: torch.Tensor) -> torch.Tensor:
    """Return the fields of given cosine coefficients, ``(batch, channels, size, size)``."""
    size = math.isqrt(coefficients.shape[1] // CHANNELS)
    cosines = _cosines(size)
    return cosines.T @ coefficients.reshape(-1, CHANNELS, size, size) @ cosines


@cache
def _cosines(size: int) -> torch.Tensor:
    return torch.from_numpy(dct(np.eye(size), norm="ortho", axis=0))


@dataclass(frozen=True)
class Case:
    """The world with one of its rewards.

    Attributes
    ----------
    prior, tilted
        The laws of the coefficients.
    known
        The reward of coefficients.
    temperature
        Of the tilt.
    along
        Two orthonormal rows: the direction of the reward, and the one that separates the modes.
    aside
        Two orthonormal rows that are orthogonal to the reward's direction: what whitening adds to
        it, and a smooth field.
    """

    name: str
    prior: GaussianMixture
    tilted: GaussianMixture
    known: LinearReward | QuadraticReward
    temperature: float
    along: torch.Tensor
    aside: torch.Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a field."""
        size = math.isqrt(self.prior.size // CHANNELS)
        return CHANNELS, size, size

    def velocity(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """Return the exact velocity of fields."""
        return fields(self.prior.velocity(turned(x), t)).to(x.dtype)

    def reward(self, x: torch.Tensor, prompts: object = None) -> torch.Tensor:
        """Return the reward of fields."""
        return self.known(turned(x)).to(x.dtype)


@cache
def linear(size: int = SIZE) -> Case:
    """Reward the projection on a direction whose power falls with frequency, as the data's does."""
    random = np.random.default_rng(3).standard_normal(CHANNELS * size**2)
    direction = torch.from_numpy(random * np.sqrt(_power(size)))
    return _linear("linear", direction / direction.norm())


@cache
def bumps(size: int = SIZE) -> Case:
    """Reward the projection on a bump in each channel: hardly any power beyond low frequencies."""
    grid = (np.arange(size) + 0.5) / size
    centres = [(0.3, 0.3), (0.7, 0.4), (0.4, 0.7), (0.6, 0.6)]
    shapes = [
        sign * np.exp(-((grid[:, None] - a) ** 2 + (grid - b) ** 2) / 0.04)
        for sign, (a, b) in zip((1, -1, 1, -1), centres, strict=True)
    ]
    direction = turned(torch.from_numpy(np.stack(shapes))[None])[0]
    return _linear("bumps", direction / direction.norm())


@cache
def quadratic(size: int = SIZE) -> Case:
    """Reward closeness to a picture, a draw of the prior: minus half the squared distance."""
    prior = _prior(np.zeros(CHANNELS * size**2))
    target = prior.sample(1, torch.Generator().manual_seed(1))[0]
    return _case("quadratic", prior, QuadraticReward(target), target - prior.mean())


CASES = {"linear": linear, "bumps": bumps, "quadratic": quadratic}


def spread(prior: GaussianMixture, known: LinearReward | QuadraticReward) -> float:
    """Return the standard deviation of the reward under the prior, from a sample."""
    return float(known(prior.sample(10_000, torch.Generator().manual_seed(0))).std())


def _power(size: int) -> np.ndarray:
    """Variances of the coefficients, one on average."""
    power = 1 / (1 + (np.hypot(*np.indices((size, size))) / CORNER) ** 2)
    return np.broadcast_to(power / power.mean(), (CHANNELS, size, size)).reshape(-1)


def _smooth(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draw coefficients of smooth fields."""
    rows, columns = np.indices((size, size))
    low = np.broadcast_to((rows < SMOOTH) & (columns < SMOOTH), (CHANNELS, size, size)).reshape(-1)
    return rng.standard_normal((count, low.size)) * low


def _prior(direction: np.ndarray) -> GaussianMixture:
    """Three modes that differ along `direction` by half a standard deviation, else by far more."""
    size = math.isqrt(len(direction) // CHANNELS)
    means = _smooth(np.random.default_rng(0), len(WEIGHTS), size)
    means -= np.outer(means @ direction, direction)
    means *= DISTANCE / np.linalg.norm(means, axis=1, keepdims=True)
    step = np.sqrt(direction**2 @ _power(size)) / 2
    means += np.outer(step * np.array([-1, 0, 1]), direction)
    return GaussianMixture(WEIGHTS, means, np.outer(SCALES, _power(size)))


def _linear(name: str, direction: torch.Tensor) -> Case:
    return _case(name, _prior(direction.numpy()), LinearReward(direction), direction)


def _case(
    name: str,
    prior: GaussianMixture,
    known: LinearReward | QuadraticReward,
    direction: torch.Tensor,
) -> Case:
    goal = prior.expected_reward(known) + SHIFTS[name] * spread(prior, known)
    exponent = brentq(
        lambda e: prior.tilted(known, 10**e).expected_reward(known) - goal, -2, 4, xtol=1e-12
    )
    temperature = 10**exponent
    modes = torch.linalg.svd(prior.means - prior.means.mean(0), full_matrices=False).Vh[0]
    field = fields(direction[None])
    white = turned(torch.from_numpy(wn.whiten(field[0].numpy(), preset="default-1", rng=0))[None])[
        0
    ]
    smooth = torch.from_numpy(_smooth(np.random.default_rng(2), 1, field.shape[-1])[0])
    rows = orthonormal(direction, modes, white, smooth)
    return Case(
        name, prior, prior.tilted(known, temperature), known, temperature, rows[:2], rows[2:]
    )


def orthonormal(*rows: torch.Tensor) -> torch.Tensor:
    """Orthonormalise rows in their order; signs stay."""
    q, r = torch.linalg.qr(torch.stack(rows).T)
    return (q * r.diagonal().sign()).T
