"""Latents that carry a watermark, and the noise that privacy is bought with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.sources.source import ATYPICAL, TYPICAL, Source

SHAPE = (4, 64, 64)
COPIES = 8  # times a message is repeated along each spatial axis
RADIUS = 10


def sources() -> Iterator[Source]:
    yield Source(
        "Gaussian Shading, plain message",
        partial(shaded, images=1, encrypted=False),
        ATYPICAL,
        "signs repeat a tile of 4x8x8 bits, moduli are half-normal",
    )
    yield Source(
        "Gaussian Shading, encrypted message",
        partial(shaded, images=1, encrypted=True),
        TYPICAL,
        "signs are those of a stream cipher, so the law is exact",
    )
    yield Source(
        "Gaussian Shading, 8 images with one key",
        partial(shaded, images=8, encrypted=True),
        ATYPICAL,
        "the images, read as one array, share their signs",
    )
    yield Source(
        "Tree-Ring",
        tree_ring,
        ATYPICAL,
        "ten rings of constant values in the spectrum of one channel",
    )
    yield Source(
        "Laplace noise, standardised",
        laplace,
        ATYPICAL,
        "the mechanism of pure differential privacy; excess kurtosis 3",
    )
    for scale in (16, 1024):
        yield Source(
            f"discrete Gaussian, scale {scale}",
            partial(discrete_gaussian, scale),
            ATYPICAL,
            f"integers divided by {scale}",
        )


def shaded(images: int, encrypted: bool) -> np.ndarray:
    """Latents whose signs spell a repeated message (arXiv:2404.04956), exclusive-or a cipher."""
    rng = np.random.default_rng(0)
    message = rng.integers(2, size=(SHAPE[0], SHAPE[1] // COPIES, SHAPE[2] // COPIES))
    bits = np.tile(message, (1, COPIES, COPIES))
    if encrypted:
        bits ^= rng.integers(2, size=SHAPE)
    modulus = np.abs(rng.standard_normal((images, *SHAPE)))
    latents = (2 * bits - 1) * modulus
    return latents[0] if images == 1 else latents


def tree_ring() -> np.ndarray:
    """Rings around the zero frequency, each of one value of a noise spectrum (arXiv:2305.20030)."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal(SHAPE)
    height, width = SHAPE[1:]
    radius = np.hypot(*np.mgrid[-(height // 2) : height // 2, -(width // 2) : width // 2])
    key = np.fft.fftshift(np.fft.fft2(rng.standard_normal((height, width))))
    spectrum = np.fft.fftshift(np.fft.fft2(latents[-1]))
    for outer in range(RADIUS, 0, -1):
        spectrum[radius <= outer] = key[0, outer]
    latents[-1] = np.fft.ifft2(np.fft.ifftshift(spectrum)).real
    return latents


def laplace() -> np.ndarray:
    return np.random.default_rng(0).laplace(size=(256, 256)) / np.sqrt(2)


def discrete_gaussian(scale: int) -> np.ndarray:
    """Integers k with probability proportional to ``exp(-k^2 / 2 scale^2)``, over `scale`."""
    values = np.arange(-9 * scale, 9 * scale + 1)
    weights = np.exp(-0.5 * (values / scale) ** 2)
    rng = np.random.default_rng(0)
    return rng.choice(values, size=(256, 256), p=weights / weights.sum()) / scale
