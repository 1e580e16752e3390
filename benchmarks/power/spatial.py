"""Correlation between neighbours, patterns of the mean or of the variance, order, resampling."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from .alternative import alternative, coloured, frequencies, mix, ramp, tiles, unit

# --- dependence between neighbours


def autoregressive(rng, shape, coefficient, axis):
    """Stationary first-order autoregression along one axis."""
    noise = np.sqrt(1 - coefficient**2) * rng.standard_normal(shape)
    first = [slice(None)] * 3
    first[axis] = slice(0, 1)
    noise[tuple(first)] /= np.sqrt(1 - coefficient**2)
    return signal.lfilter([1.0], [1.0, -coefficient], noise, axis=axis)


@alternative("dependence", 0.045, 0.07, 0.12)
def autoregression_along_rows(rng, shape, coefficient):
    return autoregressive(rng, shape, coefficient, 2)


@alternative("dependence", 0.045, 0.07, 0.12)
def autoregression_along_columns(rng, shape, coefficient):
    return autoregressive(rng, shape, coefficient, 1)


@alternative("dependence", -0.045, -0.07, -0.12)
def negative_autoregression(rng, shape, coefficient):
    return autoregressive(rng, shape, coefficient, 1)


@alternative("dependence", 0.018, 0.028, 0.05)
def blur(rng, shape, weight):
    x = rng.standard_normal(shape)
    near = sum(np.roll(x, step, axis) for step in (-1, 1) for axis in (1, 2))
    return (x + weight * near) / np.sqrt(1 + 4 * weight**2)


@alternative("dependence", 0.06, 0.09, 0.14)
def diagonal_moving_average(rng, shape, weight):
    x = rng.standard_normal(shape)
    return (x + weight * np.roll(x, (1, 1), (1, 2))) / np.hypot(1, weight)


@alternative("dependence", 0.08, 0.11, 0.16)
def echo_at_a_long_lag(rng, shape, weight):
    x = rng.standard_normal(int(np.prod(shape)))
    return ((x + weight * np.roll(x, 137)) / np.hypot(1, weight)).reshape(shape)


@alternative("dependence", 0.1, 0.16, 0.25)
def product_of_neighbours(rng, shape, weight):
    """White but dependent: add the product of the two values before."""
    x = rng.standard_normal(int(np.prod(shape)))
    x = x + weight * np.roll(x, 1) * np.roll(x, 2)
    return (x / np.hypot(1, weight)).reshape(shape)


# --- patterns of the mean


@alternative("mean pattern", 0.06, 0.09, 0.14)
def checkerboard(rng, shape, amplitude):
    y, x = np.indices(shape[1:])
    return rng.standard_normal(shape) + amplitude * (-1.0) ** (y + x)


@alternative("mean pattern", 0.1, 0.14, 0.2)
def stripes_of_rows(rng, shape, spread):
    offsets = rng.standard_normal((*shape[:2], 1))
    return mix(rng.standard_normal(shape), offsets, spread**2)


@alternative("mean pattern", 0.075, 0.1, 0.15)
def stripes_of_columns(rng, shape, spread):
    """Offsets of the columns, the same in all channels."""
    return mix(rng.standard_normal(shape), rng.standard_normal(shape[2]), spread**2)


@alternative("mean pattern", 0.09, 0.12, 0.17)
def steps_between_tiles(rng, shape, spread):
    c, h, w = shape
    offsets = np.kron(rng.standard_normal((c, h // 8, w // 8)), np.ones((1, 8, 8)))
    return mix(rng.standard_normal(shape), offsets, spread**2)


@alternative("mean pattern", 0.06, 0.09, 0.14)
def illumination_gradient(rng, shape, amplitude):
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * ramp(shape[2]) + np.sin(angle) * ramp(shape[1])[:, None]
    return rng.standard_normal(shape) + amplitude * slope


def bump(rng, shape, radius):
    """Gaussian bump of height 1 somewhere in one channel."""
    y, x = np.indices(shape[1:])
    centre = [rng.uniform(radius, n - radius) for n in shape[1:]]
    result = np.zeros(shape)
    channel = rng.integers(shape[0])
    result[channel] = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * radius**2))
    return result


@alternative("mean pattern", 0.9, 1.2, 1.7)
def bright_blob(rng, shape, height):
    return rng.standard_normal(shape) + height * bump(rng, shape, 3.0)


@alternative("mean pattern", 0.005, 0.01, 0.02)
def slow_drift(rng, shape, share):
    """Random walk along the flat array."""
    walk = np.cumsum(rng.standard_normal(int(np.prod(shape)))).reshape(shape)
    return mix(rng.standard_normal(shape), unit(walk - walk.mean()), share)


# --- patterns of the variance


@alternative("variance pattern", 0.045, 0.065, 0.1)
def variance_ramp(rng, shape, amplitude):
    return rng.standard_normal(shape) * np.exp(amplitude * ramp(shape[1])[:, None])


@alternative("variance pattern", 0.07, 0.11, 0.17)
def smooth_variance(rng, shape, amplitude):
    y, x, _ = frequencies(shape)
    field = coloured(rng, shape, np.exp(-40.0 * (y**2 + x**2) * 4))
    return rng.standard_normal(shape) * np.exp(amplitude * field)


@alternative("variance pattern", 0.07, 0.095, 0.14)
def variance_of_tiles(rng, shape, spread):
    c, h, w = shape
    log_scale = np.kron(rng.standard_normal((c, h // 8, w // 8)), np.ones((1, 8, 8)))
    return rng.standard_normal(shape) * np.exp(spread * log_scale)


@alternative("variance pattern", 0.08, 0.12, 0.2)
def loud_quadrant(rng, shape, excess):
    x = rng.standard_normal(shape)
    x[:, : shape[1] // 2, shape[2] // 2 :] *= 1 + excess
    return x


@alternative("variance pattern", 0.5, 0.8, 1.3)
def loud_column(rng, shape, excess):
    """Scale one column of one channel."""
    x = rng.standard_normal(shape)
    x[rng.integers(shape[0]), :, rng.integers(shape[2])] *= 1 + excess
    return x


@alternative("variance pattern", 0.35, 0.5, 0.8)
def loud_blob(rng, shape, excess):
    return rng.standard_normal(shape) * (1 + excess * bump(rng, shape, 4.0))


@alternative("variance pattern", 0.12, 0.15, 0.22)
def stochastic_volatility(rng, shape, spread):
    """Logarithm of the scale: an autoregression along the flat array."""
    log_scale = autoregressive(rng, (1, 1, int(np.prod(shape))), 0.9, 2).reshape(shape)
    return rng.standard_normal(shape) * np.exp(spread * log_scale - spread**2)


@alternative("variance pattern", 0.05, 0.075, 0.11)
def GARCH(rng, shape, alpha):
    beta = 0.85
    variance, path = 1.0, []
    for z in rng.standard_normal(int(np.prod(shape))).tolist():
        path.append(variance**0.5 * z)
        variance = 1 - alpha - beta + (alpha * z * z + beta) * variance
    return np.reshape(path, shape)


# --- order of the values


def in_groups(rng, shape, share, key):
    """Order a share of the groups of 16 consecutive values by increasing `key`."""
    groups = rng.standard_normal((int(np.prod(shape)) // 16, 16))
    chosen = rng.random(len(groups)) < share
    order = np.argsort(key(groups[chosen]), axis=1)
    groups[chosen] = np.take_along_axis(groups[chosen], order, axis=1)
    return groups.reshape(shape)


@alternative("order", 0.04, 0.08, 0.2)
def sorted_groups(rng, shape, share):
    return in_groups(rng, shape, share, lambda x: x)


@alternative("order", 0.06, 0.12, 0.3)
def groups_sorted_by_size(rng, shape, share):
    return in_groups(rng, shape, share, np.abs)


@alternative("order", 0.06, 0.09, 0.14)
def rows_nearly_sorted(rng, shape, rho):
    """Order each row by a key that has correlation `rho` with the values."""
    x = rng.standard_normal(shape)
    key = rho * x + np.sqrt(1 - rho**2) * rng.standard_normal(shape)
    return np.take_along_axis(x, np.argsort(key, axis=2), axis=2)


@alternative("order", 0.1, 0.15, 0.25)
def ordered_pairs(rng, shape, share):
    """Put a share of the pairs of consecutive values in increasing order."""
    pairs = rng.standard_normal((int(np.prod(shape)) // 2, 2))
    chosen = rng.random(len(pairs)) < share
    pairs[chosen] = np.sort(pairs[chosen], axis=1)
    return pairs.reshape(shape)


# --- resampling


@alternative("resampling", 0.05, 0.08, 0.14)
def nearest_upsampling(rng, shape, share):
    c, h, w = shape
    coarse = np.kron(rng.standard_normal((c, h // 2, w // 2)), np.ones((1, 2, 2)))
    return mix(rng.standard_normal(shape), coarse, share)


@alternative("resampling", 0.05, 0.08, 0.14)
def bilinear_upsampling(rng, shape, share):
    c, h, w = shape
    coarse = rng.standard_normal((c, h // 2, w // 2))
    fine = ndimage.zoom(coarse, (1, 2, 2), order=1, mode="grid-wrap", grid_mode=True)
    return mix(rng.standard_normal(shape), unit(fine), share)


def warped(rng, shape, amplitude, order):
    """Noise read at smoothly displaced places."""
    y, x, _ = frequencies(shape)
    flow = coloured(rng, (2, *shape[1:]), np.exp(-200.0 * (y**2 + x**2)))
    grid = np.indices(shape[1:]) + amplitude * flow
    noise = rng.standard_normal(shape)
    return np.stack(
        [ndimage.map_coordinates(n, grid, order=order, mode="grid-wrap") for n in noise]
    )


@alternative("resampling", 0.03, 0.045, 0.07)
def bilinear_warp(rng, shape, amplitude):
    """Scale to unit variance on average: interpolation takes variance away."""
    x = warped(rng, shape, amplitude, 1)
    return x / np.sqrt(1 - 4 * np.sqrt(2 / np.pi) * amplitude)


@alternative("resampling", 0.2, 0.3, 0.8)
def nearest_warp(rng, shape, amplitude):
    return warped(rng, shape, amplitude, 0)


# --- polyphase


@alternative("polyphase", 0.08, 0.12, 0.2)
def every_fourth_row_loud(rng, shape, excess):
    x = rng.standard_normal(shape)
    x[:, ::4] *= 1 + excess
    return x


@alternative("polyphase", 0.08, 0.12, 0.2)
def every_third_row_shifted(rng, shape, amplitude):
    x = rng.standard_normal(shape)
    x[:, ::3] += amplitude
    return x


@alternative("polyphase", 0.06, 0.09, 0.14)
def alternate_columns_shifted(rng, shape, amplitude):
    x = rng.standard_normal(shape)
    x[..., ::2] += amplitude
    x[..., 1::2] -= amplitude
    return x


@alternative("polyphase", 0.08, 0.12, 0.2)
def one_Bayer_phase_loud(rng, shape, excess):
    x = rng.standard_normal(shape)
    x[:, 1::2, ::2] *= 1 + excess
    return x


@alternative("polyphase", 0.09, 0.12, 0.17)
def eight_by_eight_pattern(rng, shape, spread):
    """Add one random 8 x 8 pattern to every tile."""
    x = tiles(rng.standard_normal(shape), 8)
    pattern = rng.standard_normal((8, 1, 8))
    return mix(x, pattern, spread**2).reshape(shape)
