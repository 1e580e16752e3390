"""A world shaped like a latent: three smooth pictures with power-law noise, and two rewards.

Its mixture lives in the coordinates of a discrete cosine transform, in which the covariances are
diagonal. The transform is orthonormal, so states, models and laws are turned there and back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import dct
from scipy.optimize import brentq

import whitenoise as wn
from ntrk.worlds import GaussianMixture, LinearReward, QuadraticReward

SHAPE = (4, 16, 16)
WEIGHTS = (0.5, 0.3, 0.2)
SCALES = (0.7, 1.0, 1.4)  # of the variances of the three components
CORNER = 2.0  # frequency from which the power falls
SMOOTH = 4  # frequencies of the means in each direction
DISTANCE = 16.0  # norm of each mean, the square root of N times a half
SHIFTS = {"linear": 2.0, "quadratic": 1.5}  # of E[r] by the tilt, in the prior's deviations of r

_COSINES = torch.from_numpy(dct(np.eye(SHAPE[-1]), norm="ortho", axis=0))


def turned(x: torch.Tensor) -> torch.Tensor:
    """Return the cosine coefficients of fields, ``(batch, N)`` in float64."""
    return (_COSINES @ x.double() @ _COSINES.T).flatten(1)


def fields(coefficients: torch.Tensor) -> torch.Tensor:
    """Return the fields of given cosine coefficients."""
    return _COSINES.T @ coefficients.reshape(-1, *SHAPE) @ _COSINES


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

    def velocity(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """Return the exact velocity of fields."""
        return fields(self.prior.velocity(turned(x), t)).to(x.dtype)

    def reward(self, x: torch.Tensor, prompts: object = None) -> torch.Tensor:
        """Return the reward of fields."""
        return self.known(turned(x)).to(x.dtype)


def linear() -> Case:
    """Reward the projection on a smooth direction: a bump in each channel, of changing sign."""
    prior = _prior()
    return _case("linear", prior, LinearReward(_direction()), _direction())


def quadratic() -> Case:
    """Reward closeness to a picture, a draw of the prior: minus half the squared distance."""
    prior = _prior()
    target = prior.sample(1, torch.Generator().manual_seed(1))[0]
    return _case("quadratic", prior, QuadraticReward(target), target - prior.mean())


CASES = {"linear": linear, "quadratic": quadratic}


def _prior() -> GaussianMixture:
    rows, columns = np.indices(SHAPE[1:])
    power = 1 / (1 + (np.hypot(rows, columns) / CORNER) ** 2)
    power = np.broadcast_to(power / power.mean(), SHAPE).reshape(-1)
    smooth = np.broadcast_to((rows < SMOOTH) & (columns < SMOOTH), SHAPE).reshape(-1)
    means = np.random.default_rng(0).standard_normal((len(WEIGHTS), smooth.size)) * smooth
    # The modes differ in the reward by half a standard deviation, and otherwise by far more.
    direction = _direction().numpy()
    means -= np.outer(means @ direction, direction)
    means *= DISTANCE / np.linalg.norm(means, axis=1, keepdims=True)
    step = np.sqrt(direction**2 @ power) / 2
    means += np.outer(step * np.array([-1, 0, 1]), direction)
    return GaussianMixture(WEIGHTS, means, np.outer(SCALES, power))


def _direction() -> torch.Tensor:
    grid = (np.arange(SHAPE[-1]) + 0.5) / SHAPE[-1]
    centres = [(0.3, 0.3), (0.7, 0.4), (0.4, 0.7), (0.6, 0.6)]
    bumps = [
        sign * np.exp(-((grid[:, None] - a) ** 2 + (grid - b) ** 2) / 0.04)
        for sign, (a, b) in zip((1, -1, 1, -1), centres, strict=True)
    ]
    direction = turned(torch.from_numpy(np.stack(bumps))[None])[0]
    return direction / direction.norm()


def _case(
    name: str,
    prior: GaussianMixture,
    known: LinearReward | QuadraticReward,
    direction: torch.Tensor,
) -> Case:
    rewards = known(prior.sample(100_000, torch.Generator().manual_seed(0)))
    goal = prior.expected_reward(known) + SHIFTS[name] * float(rewards.std())
    exponent = brentq(
        lambda e: prior.tilted(known, 10**e).expected_reward(known) - goal, -2, 4, xtol=1e-12
    )
    temperature = 10**exponent
    tilted = prior.tilted(known, temperature)
    white = wn.whiten(fields(direction)[0].numpy(), rng=0)
    random = np.random.default_rng(2).standard_normal(direction.shape)
    smooth = torch.from_numpy(random) * (prior._variances[1] > 1)
    modes = torch.linalg.svd(prior.means - prior.means.mean(0), full_matrices=False).Vh[0]
    first, second = (
        _orthonormal(direction, modes),
        _orthonormal(direction, modes, turned(torch.from_numpy(white)[None])[0], smooth),
    )
    return Case(name, prior, tilted, known, temperature, first, second[2:])


def _orthonormal(*rows: torch.Tensor) -> torch.Tensor:
    """Orthonormalise rows in their order; signs stay."""
    q, r = torch.linalg.qr(torch.stack(rows).T)
    return (q * r.diagonal().sign()).T
