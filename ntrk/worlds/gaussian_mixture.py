"""Gaussian mixtures: a prior whose diffusion, and whose tilt by simple rewards, are known exactly.

Everything is computed in float64 on the device of the means. An argument `x` is a floating-point
tensor of shape ``(batch, *shape)`` with ``N`` numbers a row, so latents are given as they are; what
is returned has the type of `x`, and its shape where it is a vector for each row.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .arguments import as_number, as_numbers, as_rows
from .rewards import Reward

__all__ = ["GaussianMixture"]

Tensor = Any


class GaussianMixture:
    """A mixture of ``K`` Gaussian laws in ``N`` dimensions.

    Parameters
    ----------
    weights
        ``K`` positive numbers that sum to one.
    means
        ``(K, N)`` numbers.
    covariances
        For each component a variance ``(K,)``, the variances of its coordinates ``(K, N)``, or a
        symmetric positive definite matrix ``(K, N, N)``. Only matrices cost more than ``K N``.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or is out of its range.

    Notes
    -----
    A covariance is kept as variances along orthonormal axes. Noise, and rewards whose second
    derivative is a multiple of the identity, leave the axes as they are; hence diffused, posterior
    and tilted laws are mixtures of the same form.

    References
    ----------
    Eqs. 1 (tilted law), 26 (value), 31 and 35 to 40 (path, velocity and score) of the paper.

    Examples
    --------
    >>> from ntrk.worlds import LinearReward
    >>> world = GaussianMixture([0.5, 0.5], [[-2.0, 0.0], [2.0, 0.0]], [1.0, 1.0])
    >>> world.velocity(torch.tensor([[1.0, 3.0]]), t=0.0)          # no noise in x: minus x
    tensor([[-1., -3.]])
    >>> tilted = world.tilted(LinearReward([1.0, 0.0]), temperature=2.0)
    >>> tilted.means.tolist(), [round(w, 3) for w in tilted.weights.tolist()]
    ([[-1.5, 0.0], [2.5, 0.0]], [0.119, 0.881])
    """

    def __init__(self, weights: Any, means: Any, covariances: Any) -> None:
        means = as_numbers("means", means)
        if means.ndim != 2 or means.numel() == 0:
            raise ValueError(f"means must have shape (K, N), got {tuple(means.shape)}")
        count, size = means.shape
        weights = as_numbers("weights", weights).to(means.device)
        if weights.shape != (count,) or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(
                f"weights must be {count} positive numbers, as there are means, that sum to one; "
                f"got {weights.tolist()}, sum {weights.sum():.12g}"
            )
        variances, axes = as_numbers("covariances", covariances).to(means.device), None
        if variances.shape not in [(count,), (count, size), (count, size, size)]:
            raise ValueError(
                f"covariances must have shape (K,), (K, N) or (K, N, N) with K = {count} and "
                f"N = {size}, got {tuple(variances.shape)}"
            )
        if variances.ndim == 3:
            variances, axes = _principal(variances)
        elif not (variances > 0).all():
            raise ValueError(f"covariances must be positive, got {variances.min():.6g}")
        self._set(weights.log(), means, variances.reshape(count, -1).expand(count, size), axes)

    def _set(self, log_weights: Tensor, means: Tensor, variances: Tensor, axes: Tensor) -> None:
        self.means, self.size = means, means.shape[1]
        self._log_weights, self._variances, self._axes = log_weights, variances, axes

    @property
    def weights(self) -> Tensor:
        """Probability of each component."""
        return self._log_weights.exp()

    def mean(self) -> Tensor:
        """Return the mean, of shape ``(N,)``."""
        return self.weights @ self.means

    def covariance(self) -> Tensor:
        """Return the covariance as a dense ``(N, N)`` matrix."""
        offsets = self.means - self.mean()
        between = offsets.T @ (self.weights[:, None] * offsets)
        if self._axes is None:
            return between + (self.weights @ self._variances).diag()
        spreads = self.weights[:, None] * self._variances
        return between + torch.einsum("kni,ki,kmi->nm", self._axes, spreads, self._axes)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw an ``(n, N)`` sample; `generator` is on the device of the means."""
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = self._variances.sqrt()[chosen]
        noise *= torch.empty_like(noise).normal_(generator=generator)
        if self._axes is not None:
            for k, axes in enumerate(self._axes):
                noise[chosen == k] = noise[chosen == k] @ axes.T
        return self.means[chosen] + noise

    def log_density(self, x: Tensor) -> Tensor:
        """Return the log-density at each row of `x`."""
        return self._split(x)[1].logsumexp(1).to(x.dtype)

    def diffused(self, alpha: float, sigma: float) -> GaussianMixture:
        """Return the law of ``alpha x_0 + sigma eps``, with x_0 from this one and standard eps."""
        alpha, sigma = as_number("alpha", alpha, low=0), as_number("sigma", sigma, low=0)
        if alpha == sigma == 0:
            raise ValueError("alpha and sigma must not both be zero")
        variances = alpha**2 * self._variances + sigma**2
        return _mixture(self._log_weights, alpha * self.means, variances, self._axes)

    def tweedie_estimate(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """Return ``E[x_0 | x_t = x]`` for ``x_t = alpha x_0 + sigma eps``."""
        return self._regress(x, alpha, sigma, 1, alpha * self._variances)

    def score(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """Return the gradient of the log-density of ``x_t = alpha x_0 + sigma eps`` at `x`."""
        return self._regress(x, alpha, sigma, 0, -1)

    def velocity(self, x: Tensor, t: float) -> Tensor:
        """Return ``E[eps - x_0 | x_t = x]`` on the flow path, alpha = 1 - t and sigma = t."""
        t = as_number("t", t, low=0, high=1)
        return self._regress(x, 1 - t, t, -1, t - (1 - t) * self._variances)

    def posterior(self, x: Tensor, alpha: float, sigma: float) -> GaussianMixture:
        """Return the law of x_0 given ``alpha x_0 + sigma eps = x``, for an `x` of one row."""
        diffused = self.diffused(alpha, as_number("sigma", sigma, low=1e-100))
        residuals, log_joint = diffused._split(x)
        if len(x) != 1:
            raise ValueError(f"x must have one row, got {len(x)}")
        gain = self._variances / diffused._variances
        means = self.means + self._from_axes(alpha * gain * residuals[0])
        return _mixture(log_joint[0].log_softmax(0), means, float(sigma) ** 2 * gain, self._axes)

    def tilted(self, reward: Reward, temperature: float) -> GaussianMixture:
        """Return the law proportional to ``p(x) exp(reward(x) / temperature)`` (Eq. 1).

        A tilt without a finite integral, and any other reward, is refused.
        """
        return self._tilt(reward, temperature)[0]

    def value(
        self, x: Tensor, alpha: float, sigma: float, reward: Reward, temperature: float
    ) -> Tensor:
        """Return ``log E[exp(reward(x_0) / temperature) | x_t = x]``.

        The value function of the paper is `temperature` times this. The gradient is
        ``tilted(reward, temperature).score(x, alpha, sigma) - score(x, alpha, sigma)`` (Eq. 40), so
        the optimal reverse kernel is that of the tilted law.
        """
        tilted, log_mass = self._tilt(reward, temperature)
        rows = as_rows("x", x, self.size)
        after = tilted.diffused(alpha, sigma).log_density(rows)
        return (log_mass + after - self.diffused(alpha, sigma).log_density(rows)).to(x.dtype)

    def expected_reward(self, reward: Reward) -> float:
        """Return the mean of `reward` under this law."""
        self._check(reward)
        at_means = reward(self.means) - reward.curvature / 2 * self._variances.sum(1)
        return float(self.weights @ at_means)

    def projected(self, matrix: Any) -> GaussianMixture:
        """Return the law of ``matrix @ x``, for a ``(d, N)`` matrix of independent rows."""
        matrix = as_numbers("matrix", matrix).to(self.means.device)
        if matrix.ndim != 2 or matrix.shape[1] != self.size:
            raise ValueError(f"matrix must have shape (d, {self.size}), got {tuple(matrix.shape)}")
        turned = matrix[None] if self._axes is None else matrix @ self._axes
        axes = _principal((turned * self._variances[:, None]) @ turned.mT)
        return _mixture(self._log_weights, self.means @ matrix.T, *axes)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals from the means along the axes, ``(batch, K, N)``, and log joint densities."""
        residuals = as_rows("x", x, self.size)[:, None] - self.means
        if self._axes is not None:
            residuals = torch.einsum("bkn,knm->bkm", residuals, self._axes)
        exponents = residuals.square() / self._variances + self._variances.log()
        normaliser = self.size * math.log(2 * math.pi)
        return residuals, self._log_weights - (exponents.sum(2) + normaliser) / 2

    def _from_axes(self, vectors: Tensor) -> Tensor:
        """Turn ``(..., K, N)`` coordinates along the axes of each component into vectors."""
        if self._axes is None:
            return vectors
        return torch.einsum("...km,knm->...kn", vectors, self._axes)

    def _check(self, reward: Any) -> None:
        if not isinstance(reward, Reward):
            raise TypeError(f"reward must be linear or quadratic, got {type(reward).__name__}")
        if len(reward.slope) != self.size:
            size = len(reward.slope)
            raise ValueError(f"reward must be one of {self.size} numbers, got one of {size}")

    def _regress(self, x: Tensor, alpha: float, sigma: float, offset: int, slopes: Any) -> Tensor:
        """Expectation given ``x_t = x`` of what is linear in it in each component.

        There it is `offset` times the mean and, along each axis, `slopes` times the residual over
        the variance of ``x_t``: no division by alpha or sigma, hence good at both ends of a path.
        """
        diffused = self.diffused(alpha, sigma)
        residuals, log_joint = diffused._split(x)
        linear = offset * self.means + self._from_axes(slopes / diffused._variances * residuals)
        return (log_joint.softmax(1)[..., None] * linear).sum(1).reshape(x.shape).to(x.dtype)

    def _tilt(self, reward: Reward, temperature: float) -> tuple[GaussianMixture, Tensor]:
        """The tilted law, and the logarithm of ``E[exp(reward / temperature)]``."""
        self._check(reward)
        temperature = as_number("temperature", temperature, low=1e-100)
        shrinkage = 1 + reward.curvature / temperature * self._variances
        if not (shrinkage > 0).all():
            least = -temperature / float(self._variances.max())
            raise ValueError(
                f"weight must exceed -temperature / largest variance = {least:.6g}, or "
                f"exp(reward / temperature) has no finite mean; got {reward.curvature:.6g}"
            )
        # At y = m + d, d ~ N(0, v), the reward is r(m) + g d - c d^2 / 2: a Gaussian integral.
        slopes = (reward.slope.to(self.means.device) - reward.curvature * self.means) / temperature
        if self._axes is not None:
            slopes = torch.einsum("kn,knm->km", slopes, self._axes)
        variances = self._variances / shrinkage
        log_gains = (variances * slopes.square() - shrinkage.log()).sum(1) / 2
        log_masses = self._log_weights + log_gains + reward(self.means) / temperature
        log_mass = log_masses.logsumexp(0)
        means = self.means + self._from_axes(variances * slopes)
        return _mixture(log_masses - log_mass, means, variances, self._axes), log_mass


def _mixture(*parts: Tensor) -> GaussianMixture:
    mixture = object.__new__(GaussianMixture)
    mixture._set(*parts)
    return mixture


def _principal(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Variances along the principal axes of each matrix, and those axes as columns."""
    variances, axes = torch.linalg.eigh(covariances)
    smallest = (variances / variances[:, -1:].abs()).min()
    asymmetry = (covariances - covariances.mT).abs().max()
    if not (smallest > 1e-14 and asymmetry < 1e-12 * variances.max()):
        raise ValueError(
            f"covariances must be symmetric and positive definite, got an asymmetry of "
            f"{asymmetry:.3g} and a smallest eigenvalue {smallest:.3g} times the largest"
        )
    return variances, axes
