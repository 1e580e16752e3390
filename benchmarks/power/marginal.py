"""Independent values of the wrong law, and values that are too exact to be random."""

from __future__ import annotations

import numpy as np
from scipy import special

from .alternative import alternative, tiles

# --- the law of one value


@alternative("marginal", 0.05, 0.08, 0.12)
def mean_shift(rng, shape, mean):
    return rng.standard_normal(shape) + mean


@alternative("marginal", 0.035, 0.055, 0.09)
def variance_inflation(rng, shape, excess):
    return rng.standard_normal(shape) * (1 + excess)


@alternative("marginal", 0.035, 0.055, 0.09)
def variance_deflation(rng, shape, deficit):
    return rng.standard_normal(shape) * (1 - deficit)


@alternative("marginal", 30, 18, 10)
def student_t(rng, shape, df):
    return rng.standard_t(df, shape) * np.sqrt((df - 2) / df)


@alternative("marginal", 300, 120, 40)
def skewed_gamma(rng, shape, k):
    return (rng.gamma(k, size=shape) - k) / np.sqrt(k)


@alternative("marginal", 0.08, 0.14, 0.25)
def Laplace_mixture(rng, shape, share):
    heavy = rng.laplace(scale=np.sqrt(0.5), size=shape)
    return np.where(rng.random(shape) < share, heavy, rng.standard_normal(shape))


@alternative("marginal", 0.2, 0.35, 0.6)
def uniform_mixture(rng, shape, share):
    flat = rng.uniform(-np.sqrt(3), np.sqrt(3), shape)
    return np.where(rng.random(shape) < share, flat, rng.standard_normal(shape))


@alternative("marginal", 0.58, 0.66, 0.8)
def bimodal(rng, shape, mode):
    side = rng.choice([-mode, mode], shape)
    return side + np.sqrt(1 - mode**2) * rng.standard_normal(shape)


@alternative("marginal", 3.3, 3.0, 2.7)
def truncated(rng, shape, bound):
    tail = special.ndtr(-bound)
    return special.ndtri(rng.uniform(tail, 1 - tail, shape))


@alternative("marginal", 0.001, 0.003, 0.006)
def outliers(rng, shape, share):
    return rng.standard_normal(shape) * np.where(rng.random(shape) < share, 4.0, 1.0)


@alternative("marginal", 0.4, 0.6, 0.9)
def stratified(rng, shape, share):
    """Draw the values with ranks so regular that the histogram fluctuates less than by chance."""
    n = int(np.prod(shape))
    u = np.sort(rng.random(n))
    regular = (np.arange(n) + rng.random(n)) / n
    return special.ndtri(rng.permutation((1 - share) * u + share * regular)).reshape(shape)


@alternative("marginal", 0.002, 0.004, 0.01)
def gap_at_zero(rng, shape, half_width):
    """No value is nearer to zero than `half_width`."""
    inner = special.ndtr(half_width)
    return rng.choice([-1.0, 1.0], shape) * special.ndtri(rng.uniform(inner, 1, shape))


# --- exactness


@alternative("exactness", 3.4, 3.1, 2.6)
def clipped(rng, shape, bound):
    return np.clip(rng.standard_normal(shape), -bound, bound)


@alternative("exactness", 2**-18, 2**-12, 2**-5)
def lattice(rng, shape, step):
    return np.round(rng.standard_normal(shape) / step) * step


@alternative("exactness", 14, 11, 8)
def short_significand(rng, shape, bits):
    significand, exponent = np.frexp(rng.standard_normal(shape))
    return np.ldexp(np.round(significand * 2.0**bits) / 2.0**bits, exponent)


@alternative("exactness", 0.0005, 0.002, 0.01)
def repeated_values(rng, shape, share):
    x = rng.standard_normal(shape)
    copied = rng.random(shape) < share
    x[copied] = rng.choice(x.ravel(), np.count_nonzero(copied))
    return x


@alternative("exactness", 0.0005, 0.002, 0.01)
def zeros(rng, shape, share):
    return np.where(rng.random(shape) < share, 0.0, rng.standard_normal(shape))


@alternative("exactness", 0.002, 0.02, 0.3)
def antithetic_pairs(rng, shape, share):
    """Negate a share of the first half of the array and put it into the second."""
    x = rng.standard_normal(int(np.prod(shape)))
    half = x.size // 2
    paired = rng.random(half) < share
    x[half:][paired] = -x[:half][paired]
    return x.reshape(shape)


@alternative("exactness", 3, 2, 1)
def standardised(rng, shape, axes):
    """Take out mean and scale of the whole array, of each channel, or of each row."""
    x = rng.standard_normal(shape)
    over = tuple(range(-int(axes), 0))
    x = x - x.mean(axis=over, keepdims=True)
    return x / x.std(axis=over, keepdims=True)


@alternative("exactness", 3, 2, 1)
def on_the_sphere(rng, shape, axes):
    """Give the whole array, each channel or each row its expected norm."""
    x = rng.standard_normal(shape)
    over = tuple(range(-int(axes), 0))
    return x / np.sqrt(np.mean(x**2, axis=over, keepdims=True))


@alternative("exactness", 0.15, 0.25, 0.5)
def tile_energies_too_regular(rng, shape, pull):
    """Pull the energies of 4 x 4 tiles towards 1."""
    x = tiles(rng.standard_normal(shape), 4)
    energy = np.mean(x**2, axis=(2, 4), keepdims=True)
    return (x * energy ** (-pull / 2)).reshape(shape)


@alternative("exactness", 0.15, 0.25, 0.5)
def tile_means_too_regular(rng, shape, pull):
    """Pull the means of 4 x 4 tiles towards 0."""
    x = tiles(rng.standard_normal(shape), 4)
    return (x - pull * x.mean(axis=(2, 4), keepdims=True)).reshape(shape)


@alternative("exactness", 0.1, 0.03, 0.0)
def halves_permuted(rng, shape, jitter):
    """Second half of the array: the values of the first in random order, with a jitter."""
    n = int(np.prod(shape))
    first = rng.standard_normal(n // 2)
    again = (rng.permutation(first) + jitter * rng.standard_normal(n // 2)) / np.hypot(1, jitter)
    return np.concatenate([first, again]).reshape(shape)
