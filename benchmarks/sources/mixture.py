"""A Gaussian mixture whose denoiser is known in closed form, and the ODE that turns it into noise.

A stand-in for a trained diffusion model: nothing is learned, so whatever is wrong with an inverted
latent comes from the steps and the schedule.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import fft, special

Path = list[tuple[float, float]]
"""(alpha, sigma) from clean to noise; the noisy array is ``alpha * clean + sigma * noise``."""


@dataclass(frozen=True)
class GaussianMixture:
    """Equally likely Gaussians with different means and one covariance.

    Everything is kept in the orthonormal cosine basis of the last two axes, where the covariance is
    diagonal. White noise is white in either basis.
    """

    means: np.ndarray
    """Cosine coefficients of the means, shape (K, *shape)."""
    variances: np.ndarray
    """Variances of the coefficients, shape `shape`."""

    @classmethod
    def of_images(cls, shape: tuple[int, int, int], components: int, seed: int) -> GaussianMixture:
        """Make channels with a spectrum that falls as 1/f, in means and in variances.

        Values have mean square 1, half from the means, half from the variances.
        """
        rng = np.random.default_rng(seed)
        row, column = np.mgrid[: shape[1], : shape[2]]
        spectrum = np.broadcast_to(1 / (1 + row**2 + column**2), shape)
        spectrum = 0.5 * spectrum / spectrum.mean()
        means = rng.standard_normal((components, *shape)) * np.sqrt(spectrum)
        return cls(means, spectrum)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `count` arrays, in coefficients."""
        chosen = self.means[rng.integers(len(self.means), size=count)]
        return chosen + np.sqrt(self.variances) * rng.standard_normal(chosen.shape)

    def denoise(self, y: np.ndarray, alpha: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected clean array and the expected noise, given noisy arrays `y`."""
        total = alpha**2 * self.variances + sigma**2
        flat, means = y.reshape(len(y), -1), self.means.reshape(len(self.means), -1)
        # Of the squared distance to each component, what all have in common cancels.
        weighted = alpha * means / total.ravel()
        log_likelihood = flat @ weighted.T - alpha / 2 * np.sum(weighted * means, axis=1)
        share = special.softmax(log_likelihood, axis=1)
        mean = (share @ means).reshape(y.shape)
        residual = (y - alpha * mean) / total
        return mean + alpha * self.variances * residual, sigma * residual

    def follow(self, y: np.ndarray, path: Path) -> np.ndarray:
        """Follow the deterministic ODE along `path` by DDIM steps, in either direction."""
        for here, there in itertools.pairwise(path):
            clean, noise = self.denoise(y, *here)
            y = there[0] * clean + there[1] * noise
        return y


def pixels(coefficients: np.ndarray) -> np.ndarray:
    return fft.idctn(coefficients, axes=(-2, -1), norm="ortho")


def coefficients(pixels: np.ndarray) -> np.ndarray:
    return fft.dctn(pixels, axes=(-2, -1), norm="ortho")


def flow_path(steps: int) -> Path:
    """Straight path of flow matching, which ends in pure noise."""
    return [(1 - t, t) for t in np.linspace(0, 1, steps + 1)]


def stable_diffusion_path(steps: int) -> Path:
    """Scaled-linear schedule of Stable Diffusion, which ends with 0.5 % of the signal's energy."""
    kept = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    chosen = np.linspace(-1, 999, steps + 1).round().astype(int)[1:]
    return [(1.0, 0.0), *((kept[t] ** 0.5, (1 - kept[t]) ** 0.5) for t in chosen)]
