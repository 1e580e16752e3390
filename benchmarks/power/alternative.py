"""What an alternative is, and the tools from which most of them are made.

An alternative draws arrays of shape (channels, height, width) that are not independent N(0, 1)
values, of about unit variance, at three strengths.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Shape = tuple[int, int, int]
STRENGTHS = ("weak", "medium", "strong")


@dataclass(frozen=True)
class Alternative:
    """A law other than white Gaussian noise."""

    generate: Callable[[np.random.Generator, Shape, float], FloatArray]
    kind: str
    strengths: tuple[float, float, float]

    @property
    def name(self) -> str:
        """Name as the tables show it."""
        return self.generate.__name__.replace("_", " ")

    def draws(self, shape: Shape, strength: int, count: int, seed: int = 0) -> FloatArray:
        """Draw `count` arrays of strength number 0, 1 or 2, the same ones every time."""
        rng = np.random.default_rng((seed, zlib.crc32(self.name.encode()), strength, *shape))
        value = self.strengths[strength]
        return np.stack([self.generate(rng, shape, value) for _ in range(count)])


def alternative(kind, weak, medium, strong):
    """Turn a generator ``(rng, shape, strength) -> array`` into an alternative."""
    return lambda generate: Alternative(generate, kind, (weak, medium, strong))


def alternatives_in(*modules: ModuleType) -> list[Alternative]:
    """All alternatives that modules define, in the order of their text."""
    return [a for module in modules for a in vars(module).values() if isinstance(a, Alternative)]


def mix(noise, pattern, share):
    """Give a pattern of unit variance a share of the energy."""
    return np.sqrt(1 - share) * noise + np.sqrt(share) * pattern


def unit(pattern):
    """Scale a pattern to unit mean square."""
    return pattern / np.sqrt(np.mean(pattern**2))


def frequencies(shape):
    """Vertical, horizontal and radial frequency of the 2-D Fourier grid, cycles per sample."""
    y = np.fft.fftfreq(shape[-2])[:, None]
    x = np.fft.fftfreq(shape[-1])
    return y, x, np.hypot(y, x)


def coloured(rng, shape, power):
    """Gaussian field, periodic and stationary in each channel, of the given power spectrum."""
    gain = np.sqrt(power / np.mean(power))
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * gain).real


def tiles(x, side):
    """View as (channels, rows of tiles, side, columns of tiles, side)."""
    c, h, w = x.shape
    return x.reshape(c, h // side, side, w // side, side)


def ramp(n):
    """Straight line over n points with mean 0 and mean square 1."""
    line = np.arange(n) - (n - 1) / 2
    return unit(line)
