"""Alternatives of other kinds, kept apart: nothing in the package was tuned on them."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage, special, stats

from .alternative import alternative, mix, ramp, tiles, unit

# --- generators of random numbers that are not good ones


@alternative("generator", 0.3, 0.6, 1.0)
def chaotic_map(rng, shape, share):
    """Mix in an orbit of the logistic map, brought to the normal law."""
    state, orbit = rng.uniform(0.1, 0.9), []
    for _ in range(int(np.prod(shape))):
        state = 4 * state * (1 - state)
        orbit.append(state)
    u = 2 / np.pi * np.arcsin(np.sqrt(np.reshape(orbit, shape)))
    chaos = special.ndtri(np.clip(u, 1e-9, 1 - 1e-9))
    return mix(rng.standard_normal(shape), chaos, share)


def congruential(start, multiplier, increment, bits, count):
    """Numbers in (0, 1) from a linear congruential generator modulo 2^bits."""
    state, mask, result = start, (1 << bits) - 1, []
    for _ in range(count):
        state = (multiplier * state + increment) & mask
        result.append((state + 0.5) / (mask + 1))
    return np.array(result)


@alternative("generator", 0.6, 0.8, 1.0)
def RANDU(rng, shape, share):
    start = 2 * int(rng.integers(2**30)) + 1
    u = congruential(start, 65539, 0, 31, int(np.prod(shape)))
    return mix(rng.standard_normal(shape), special.ndtri(u).reshape(shape), share)


@alternative("generator", 24, 18, 14)
def short_congruential(rng, shape, bits):
    bits = int(bits)
    start = int(rng.integers(1 << bits))
    u = congruential(start, 1664525, 1013904223, bits, int(np.prod(shape)))
    return special.ndtri(u).reshape(shape)


@alternative("generator", 64, 16, 1)
def scrambled_Sobol(rng, shape, dimension):
    dimension = int(dimension)
    points = stats.qmc.Sobol(dimension, scramble=True, rng=rng)
    u = points.random(int(np.prod(shape)) // dimension)
    return special.ndtri(np.clip(u, 1e-12, 1 - 1e-12)).reshape(shape)


@alternative("generator", 16, 12, 8)
def Box_Muller_of_few_bits(rng, shape, bits):
    n = int(np.prod(shape)) // 2
    u = (rng.integers(2 ** int(bits), size=n) + 0.5) / 2.0**bits
    radius, angle = np.sqrt(-2 * np.log(u)), rng.uniform(0, 2 * np.pi, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(shape)


@alternative("generator", 8, 5, 3)
def sum_of_uniforms(rng, shape, terms):
    total = rng.uniform(-0.5, 0.5, (int(terms), *shape)).sum(axis=0)
    return total * np.sqrt(12 / terms)


# --- what pipelines leave behind


@alternative("pipeline", 0.1, 0.2, 0.4)
def inversion_residual(rng, shape, strength):
    """Quieter and smoother noise inside discs, as where an inverted picture is flat."""
    y, x = np.indices(shape[1:])
    inside = np.zeros(shape[1:], bool)
    for _ in range(3):
        cy, cx = rng.uniform(0, shape[1]), rng.uniform(0, shape[2])
        inside |= np.hypot(y - cy, x - cx) < rng.uniform(0.1, 0.25) * shape[1]
    noise = rng.standard_normal(shape)
    smooth = ndimage.uniform_filter(noise, (1, 3, 3), mode="wrap")
    return np.where(inside, (1 - strength / 2) * noise + strength * smooth / 2, noise)


@alternative("pipeline", 0.1, 0.2, 0.35)
def quantised_block_cosines(rng, shape, step):
    u = np.arange(8)
    steps = step * (1 + np.add.outer(u, u))[:, None, :]
    blocks = fft.dctn(tiles(rng.standard_normal(shape), 8), axes=(2, 4), norm="ortho")
    return fft.idctn(np.round(blocks / steps) * steps, axes=(2, 4), norm="ortho").reshape(shape)


@alternative("pipeline", 0.8, 1.2, 1.8)
def error_diffusion(rng, shape, step):
    """Add to noise the error that diffusion of rounding errors along the rows leaves."""
    target = rng.standard_normal(shape)
    error, residue = np.zeros(shape[:2]), np.empty(shape)
    for column in range(shape[2]):
        wanted = target[..., column] + error
        error = wanted - np.round(wanted / step) * step
        residue[..., column] = target[..., column] - wanted + error
    noise = rng.standard_normal(shape)
    return (noise + residue / 2) / np.sqrt(1 + np.mean(residue**2) / 4)


@alternative("pipeline", 0.12, 0.18, 0.3)
def interlaced(rng, shape, rho):
    """Odd rows follow the even row above, one step to the side."""
    x = rng.standard_normal(shape)
    x[:, 1::2] = rho * np.roll(x[:, ::2], 1, axis=2) + np.sqrt(1 - rho**2) * x[:, 1::2]
    return x


@alternative("pipeline", 1, 2, 4)
def blocks_missing(rng, shape, count):
    """A few 4 x 4 blocks hold almost nothing."""
    x = tiles(rng.standard_normal(shape), 4)
    for _ in range(int(count)):
        c, i, j = (rng.integers(x.shape[axis]) for axis in (0, 1, 3))
        x[c, i, :, j, :] *= 0.05
    return x.reshape(shape)


@alternative("pipeline", 0.1, 0.15, 0.25)
def vignetting(rng, shape, depth):
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[1:]), indexing="ij")
    gain = 1 - depth * (y**2 + x**2)
    return rng.standard_normal(shape) * unit(gain)


@alternative("pipeline", 0.03, 0.05, 0.09)
def median_filtered(rng, shape, weight):
    x = rng.standard_normal(shape)
    x = x + weight * unit(ndimage.median_filter(x, size=(1, 3, 3), mode="wrap"))
    return x / np.sqrt(1 + weight**2 + 2 * weight * 0.3)


# --- series


@alternative("series", 0.06, 0.09, 0.14)
def jump_halfway(rng, shape, amplitude):
    n = int(np.prod(shape))
    step = np.where(np.arange(n) < n // 2, -amplitude, amplitude)
    return rng.standard_normal(shape) + step.reshape(shape)


@alternative("series", 0.045, 0.065, 0.1)
def growing_variance(rng, shape, amplitude):
    trend = ramp(int(np.prod(shape))).reshape(shape)
    return rng.standard_normal(shape) * np.exp(amplitude * trend)


@alternative("series", 0.04, 0.06, 0.09)
def multiplicative_cascade(rng, shape, spread):
    """Scale by a product of random factors over halves, quarters, eighths and so on."""
    n = int(np.prod(shape))
    log_scale = np.zeros(n)
    parts = 2
    while parts <= n // 16:
        log_scale += np.repeat(rng.standard_normal(parts), n // parts)
        parts *= 2
    return rng.standard_normal(shape) * np.exp(spread * log_scale).reshape(shape)


@alternative("series", 0.6, 0.8, 0.95)
def segment_repeated_with_jitter(rng, shape, rho):
    """A segment of 64 values comes twice more, with noise, at places drawn at random."""
    x = rng.standard_normal(int(np.prod(shape)))
    cells = rng.choice(x.size // 96, 3, replace=False) * 96 + rng.integers(32, size=3)
    first = x[cells[0] : cells[0] + 64].copy()
    for start in cells[1:]:
        x[start : start + 64] = rho * first + np.sqrt(1 - rho**2) * x[start : start + 64]
    return x.reshape(shape)


@alternative("series", 0.075, 0.1, 0.15)
def loudness_of_rows(rng, shape, spread):
    return rng.standard_normal(shape) * np.exp(spread * rng.standard_normal((*shape[:2], 1)))


# --- dependence of another kind


@alternative("joint law", 0.15, 0.3, 0.6)
def signs_multiply(rng, shape, share):
    """In a share of places the product of the four signs is positive; triples are independent."""
    x = rng.standard_normal(shape)
    product = np.sign(np.prod(x[:4], axis=0))
    x[3] = np.where(rng.random(shape[1:]) < share, x[3] * product, x[3])
    return x


@alternative("joint law", 0.15, 0.3, 0.6)
def locally_stratified(rng, shape, share):
    """Each run of 64 values is more regular than chance."""
    groups = np.sort(rng.random((int(np.prod(shape)) // 64, 64)), axis=1)
    regular = (np.arange(64) + rng.random(groups.shape)) / 64
    u = rng.permuted((1 - share) * groups + share * regular, axis=1)
    return special.ndtri(u).reshape(shape)
