"""Structure in the Fourier, cosine, Hadamard and wavelet domains."""

from __future__ import annotations

import numpy as np
from scipy import fft, linalg

from .alternative import alternative, coloured, frequencies, tiles, unit

# --- lines


@alternative("spectral", 0.22, 0.3, 0.42)
def plane_wave(rng, shape, amplitude):
    """Add a sine of random frequency and phase to one channel."""
    y, x = np.indices(shape[1:])
    fy, fx, phase = rng.uniform(-0.5, 0.5), rng.uniform(0, 0.5), rng.uniform(0, 1)
    noise = rng.standard_normal(shape)
    noise[rng.integers(shape[0])] += amplitude * np.sin(2 * np.pi * (fy * y + fx * x + phase))
    return noise


@alternative("spectral", 0.11, 0.15, 0.21)
def hum(rng, shape, amplitude):
    """Add a sine along the flat array."""
    t = np.arange(np.prod(shape)).reshape(shape)
    wave = np.sin(2 * np.pi * (rng.uniform(0.02, 0.48) * t + rng.uniform()))
    return rng.standard_normal(shape) + amplitude * wave


@alternative("spectral", 0.15, 0.22, 0.32)
def chirp(rng, shape, amplitude):
    """Add a sine whose frequency rises from 0.1 to 0.2 along the flat array."""
    t = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    turns = t.size * (0.1 * t + 0.05 * t**2)
    return rng.standard_normal(shape) + amplitude * np.sin(2 * np.pi * (turns + rng.uniform()))


# --- colours


@alternative("spectral", 0.14, 0.22, 0.35)
def pink(rng, shape, exponent):
    _, _, r = frequencies(shape)
    return coloured(rng, shape, np.maximum(r, 1 / shape[1]) ** -exponent)


@alternative("spectral", 0.14, 0.22, 0.35)
def blue(rng, shape, exponent):
    _, _, r = frequencies(shape)
    return coloured(rng, shape, np.maximum(r, 1 / shape[1]) ** exponent)


@alternative("spectral", 0.07, 0.11, 0.18)
def pink_on_the_sphere(rng, shape, exponent):
    """Power 1/f along the flat array, then scaled to the norm that noise has on average."""
    n = int(np.prod(shape))
    f = np.maximum(np.fft.rfftfreq(n), 1 / n)
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * f ** (-exponent / 2), n)
    return unit(x).reshape(shape)


def band(shape, inside, gain):
    """Power spectrum that is `gain` inside a set of frequencies and 1 elsewhere."""
    return np.where(inside, gain, 1.0)


@alternative("spectral", 0.15, 0.25, 0.4)
def low_pass(rng, shape, loss):
    _, _, r = frequencies(shape)
    return coloured(rng, shape, band(shape, r > 0.5, 1 - loss))


@alternative("spectral", 0.4, 0.6, 0.9)
def high_pass(rng, shape, loss):
    _, _, r = frequencies(shape)
    return coloured(rng, shape, band(shape, r < 0.1, 1 - loss))


@alternative("spectral", 0.28, 0.45, 0.7)
def ring(rng, shape, gain):
    _, _, r = frequencies(shape)
    return coloured(rng, shape, band(shape, (r >= 0.2) & (r < 0.25), 1 + gain))


@alternative("spectral", 0.2, 0.35, 0.6)
def notch(rng, shape, loss):
    """Take away power in a band of horizontal frequencies."""
    _, x, _ = frequencies(shape)
    centre = rng.uniform(0.1, 0.4)
    return coloured(rng, shape, band(shape, np.abs(np.abs(x) - centre) < 0.03, 1 - loss))


@alternative("spectral", 0.9, 1.4, 2.5)
def narrow_band(rng, shape, gain):
    """Raise the power around one 2-D frequency."""
    y, x, _ = frequencies(shape)
    fy, fx = rng.uniform(-0.4, 0.4), rng.uniform(0.1, 0.4)
    near = np.minimum(np.hypot(y - fy, x - fx), np.hypot(y + fy, x + fx)) < 0.06
    return coloured(rng, shape, band(shape, near, 1 + gain))


@alternative("spectral", 0.1, 0.16, 0.27)
def anisotropic(rng, shape, gain):
    y, x, _ = frequencies(shape)
    return coloured(rng, shape, 1 + gain * np.cos(2 * np.arctan2(y, x)))


# --- too regular


@alternative("spectral", 0.07, 0.11, 0.2)
def equal_magnitudes(rng, shape, pull):
    """Pull the magnitudes of all frequencies towards each other; 1 keeps the phases only."""
    spectrum = np.fft.fft2(rng.standard_normal(shape))
    size = np.abs(spectrum) / np.sqrt(shape[1] * shape[2])
    return np.fft.ifft2(spectrum * size**-pull).real


@alternative("spectral", 0.25, 0.45, 0.9)
def shells_too_regular(rng, shape, pull):
    """Pull the energies of radial shells, one frequency thick, towards their expectation."""
    _, _, r = frequencies(shape)
    shell = (r * shape[1]).astype(int)
    spectrum = np.fft.fft2(rng.standard_normal(shape))
    for channel in spectrum:
        power = np.bincount(shell.ravel(), np.abs(channel.ravel()) ** 2)
        power /= np.bincount(shell.ravel()) * shape[1] * shape[2]
        channel *= power[shell] ** (-pull / 2)
    return np.fft.ifft2(spectrum).real


# --- cosine, Hadamard, wavelets


@alternative("spectral", 0.6, 0.9, 1.5)
def one_block_cosine_loud(rng, shape, gain):
    """Raise the energy of one frequency of the 8 x 8 cosine transform."""
    blocks = fft.dctn(tiles(rng.standard_normal(shape), 8), axes=(2, 4), norm="ortho")
    blocks[:, :, rng.integers(8), :, rng.integers(8)] *= np.sqrt(1 + gain)
    return fft.idctn(blocks, axes=(2, 4), norm="ortho").reshape(shape)


@alternative("spectral", 0.11, 0.18, 0.3)
def high_block_cosines_quiet(rng, shape, loss):
    """Take power from the high frequencies of 8 x 8 blocks, as compression does."""
    blocks = fft.dctn(tiles(rng.standard_normal(shape), 8), axes=(2, 4), norm="ortho")
    u = np.arange(8)
    high = np.add.outer(u, u)[:, None, :] > 8
    blocks *= np.where(high, np.sqrt(1 - loss), 1.0)
    return fft.idctn(blocks, axes=(2, 4), norm="ortho").reshape(shape)


@alternative("spectral", 0.08, 0.11, 0.16)
def Walsh_function(rng, shape, amplitude):
    """Add one of the functions of the Hadamard transform of the flat array."""
    n = int(np.prod(shape))
    index = rng.integers(1, n)
    # parity of the bits that index and position share
    parity = np.bitwise_count(np.arange(n) & index) % 2
    return rng.standard_normal(shape) + amplitude * (1.0 - 2.0 * parity).reshape(shape)


@alternative("spectral", 0.6, 0.9, 1.5)
def one_Hadamard_frequency_loud(rng, shape, gain):
    """Raise the energy of one coefficient of the Hadamard transform of groups of 64."""
    hadamard = linalg.hadamard(64) / 8.0
    groups = rng.standard_normal((int(np.prod(shape)) // 64, 64)) @ hadamard
    groups[:, rng.integers(1, 64)] *= np.sqrt(1 + gain)
    return (groups @ hadamard).reshape(shape)


@alternative("spectral", 0.16, 0.24, 0.4)
def Haar_diagonal_loud(rng, shape, gain):
    """Raise the energy of the diagonal details of the finest Haar wavelets."""
    x = tiles(rng.standard_normal(shape), 2)
    sign = np.array([1.0, -1.0])[:, None, None] * np.array([1.0, -1.0])
    detail = np.mean(x * sign, axis=(2, 4), keepdims=True) * sign
    return (x + (np.sqrt(1 + gain) - 1) * detail).reshape(shape)
