"""Parts of the array that repeat, mirror or mix others; relations between channels; low rank."""

from __future__ import annotations

import numpy as np

from .alternative import alternative, mix


def blend(x, copy, weight):
    """Add a share of a copy and keep the variance."""
    return (x + weight * copy) / np.hypot(1, weight)


# --- symmetries and copies


@alternative("copies", 0.04, 0.06, 0.1)
def mirrored(rng, shape, weight):
    x = rng.standard_normal(shape)
    return blend(x, np.flip(x, axis=rng.integers(1, 3)), weight)


@alternative("copies", -0.04, -0.06, -0.1)
def antisymmetric_under_rotation(rng, shape, weight):
    x = rng.standard_normal(shape)
    return blend(x, x[:, ::-1, ::-1], weight)


@alternative("copies", 0.04, 0.06, 0.1)
def half_shift(rng, shape, weight):
    x = rng.standard_normal(shape)
    axis = rng.integers(1, 3)
    return blend(x, np.roll(x, shape[axis] // 2, axis), weight)


@alternative("copies", 0.04, 0.06, 0.1)
def transposed(rng, shape, weight):
    x = rng.standard_normal(shape)
    return blend(x, x.transpose(0, 2, 1), weight)


@alternative("copies", 0.08, 0.11, 0.16)
def shifted_somewhere(rng, shape, weight):
    x = rng.standard_normal(shape)
    shift = [rng.integers(5, n - 5) for n in shape[1:]]
    return blend(x, np.roll(x, shift, (1, 2)), weight)


def with_patch(rng, shape, side, rho):
    """Replace a square patch by a copy, of correlation `rho`, of one elsewhere."""
    x = rng.standard_normal(shape)
    y, w = shape[1] - side + 1, shape[2] - side + 1
    while True:
        (c0, c1), (y0, y1), (x0, x1) = (rng.integers(n, size=2) for n in (shape[0], y, w))
        if c0 != c1 or abs(y0 - y1) >= side or abs(x0 - x1) >= side:
            break
    source = x[c0, y0 : y0 + side, x0 : x0 + side]
    target = x[c1, y1 : y1 + side, x1 : x1 + side]
    target[:] = rho * source + np.sqrt(1 - rho**2) * target
    return x


@alternative("copies", 2, 4, 8)
def patch_copied(rng, shape, side):
    return with_patch(rng, shape, int(side), 1.0)


@alternative("copies", 0.5, 0.7, 0.95)
def patch_copied_with_noise(rng, shape, rho):
    return with_patch(rng, shape, 12, rho)


@alternative("copies", -0.5, -0.7, -0.95)
def patch_negated_with_noise(rng, shape, rho):
    return with_patch(rng, shape, 12, rho)


# --- channels


@alternative("channels", 0.045, 0.07, 0.12)
def common_component(rng, shape, share):
    return mix(rng.standard_normal(shape), rng.standard_normal(shape[1:]), share)


@alternative("channels", 0.11, 0.17, 0.28)
def two_channels_correlated(rng, shape, rho):
    x = rng.standard_normal(shape)
    a, b = rng.choice(shape[0], 2, replace=False)
    x[b] = rho * x[a] + np.sqrt(1 - rho**2) * x[b]
    return x


@alternative("channels", 0.16, 0.22, 0.35)
def channel_repeated_with_shift(rng, shape, rho):
    x = rng.standard_normal(shape)
    a, b = rng.choice(shape[0], 2, replace=False)
    shift = [rng.integers(n) for n in shape[1:]]
    x[b] = rho * np.roll(x[a], shift, (0, 1)) + np.sqrt(1 - rho**2) * x[b]
    return x


@alternative("channels", 0.055, 0.08, 0.13)
def channel_offsets(rng, shape, amplitude):
    sign = np.where(np.arange(shape[0]) % 2, -1.0, 1.0)
    return rng.standard_normal(shape) + amplitude * sign[:, None, None]


@alternative("channels", 0.08, 0.12, 0.2)
def loud_channel(rng, shape, excess):
    x = rng.standard_normal(shape)
    x[rng.integers(shape[0])] *= 1 + excess
    return x


# --- low rank


def direction(rng, n):
    """Random direction in n dimensions."""
    v = rng.standard_normal(n)
    return v / np.linalg.norm(v)


@alternative("low rank", 1.5, 1.9, 2.5)
def rank_one_channel(rng, shape, spike):
    """Add a rank-one matrix to one channel; `spike` 1 is where its singular value shows."""
    x = rng.standard_normal(shape)
    outer = np.multiply.outer(direction(rng, shape[1]), direction(rng, shape[2]))
    x[rng.integers(shape[0])] += spike * np.sqrt(shape[2]) * outer
    return x


@alternative("low rank", 1.6, 2.2, 3.2)
def one_loud_direction(rng, shape, spike):
    """Rows with more variance along one direction; `spike` 1 is where the eigenvalue shows."""
    x = rng.standard_normal(shape)
    v = direction(rng, shape[2])
    excess = spike * np.sqrt(shape[2] / (shape[0] * shape[1]))
    return x + (np.sqrt(1 + excess) - 1) * (x @ v)[..., None] * v


@alternative("low rank", 1.1, 1.4, 1.9)
def rank_one_tensor(rng, shape, spike):
    """Add an outer product of three directions, of norm `spike` times N^(1/4)."""
    a, b, c = (direction(rng, n) for n in shape)
    outer = np.multiply.outer(np.multiply.outer(a, b), c)
    return rng.standard_normal(shape) + spike * outer.size**0.25 * outer
