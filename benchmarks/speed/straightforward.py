"""The `paper` operator as one would write it with Torch: two sorts, a clip, and back.

The yardstick of the fast paths. Each set takes one pass of sort, clip and unsort on whole tensors,
each transform the operations that Torch has. It stops where the library goes on (the clip may leave
the set, ties come in no random order, input is not checked), so it is not charged for that either.
The bounds are the library's, brought to the device beforehand.
"""

from __future__ import annotations

import math

import torch

from whitenoise.order_statistics import two_level_interval
from whitenoise.reference import STANDARD_NORMAL, Chi
from whitenoise.sets import DEFAULT_LEVEL

CHUNK_SIZES = (16, 64)
TILE_SIZES = (4, 16, 64)
FIELD_CHUNK = 16
TILED_MIXING = 256


def working(x):
    """Tensor in the dtype that is computed in: no transform of Torch takes half precision."""
    return x if x.dtype == torch.float64 else x.float()


def two_level(size, chunk_size, like, law=STANDARD_NORMAL):
    """Return the pass onto the two-level set of vectors of length `size`."""
    lower, upper = (
        torch.tensor(end, dtype=working(like).dtype, device=like.device)
        for end in two_level_interval(
            size // chunk_size, chunk_size, DEFAULT_LEVEL, simultaneous=False, reference=law
        )
    )

    def projected(x):
        rows = x.reshape(*x.shape[:-1], -1, chunk_size)
        values, within = torch.sort(rows, dim=-1)
        ranked, across = torch.sort(values, dim=-2)
        clipped = torch.clamp(ranked, lower, upper)
        values = torch.empty_like(clipped).scatter_(-2, across, clipped)
        return torch.empty_like(values).scatter_(-1, within, values).reshape(x.shape)

    return on_windows(projected, size, chunk_size)


def tiles(size, tile_size, like):
    """Return the pass onto the vectors whose tile means and norms are two-level typical."""
    unit = tile_size * FIELD_CHUNK
    n_tiles = (size - size % unit) // tile_size
    typical_mean = two_level(n_tiles, FIELD_CHUNK, like)
    typical_radius = two_level(n_tiles, FIELD_CHUNK, like, Chi(tile_size - 1))
    root = math.sqrt(tile_size)

    def projected(x):
        parts = x.reshape(*x.shape[:-1], -1, tile_size)
        mean = parts.mean(dim=-1)
        centred = parts - mean[..., None]
        radius = torch.linalg.vector_norm(centred, dim=-1)
        new_mean = typical_mean(mean * root) / root
        stretch = typical_radius(radius) / radius.clamp_min(torch.finfo(x.dtype).tiny)
        return (new_mean[..., None] + stretch[..., None] * centred).reshape(x.shape)

    return on_windows(projected, size, unit)


def on_windows(projected, size, unit):
    """Where the unit does not divide the length: once at the start, once at the end."""
    length = size - size % unit
    if length == size:
        return projected

    def twice(x):
        x = torch.cat([projected(x[..., :length]), x[..., length:]], dim=-1)
        return torch.cat([x[..., : size - length], projected(x[..., size - length :])], dim=-1)

    return twice


def fourier(x):
    """Compact transform of even N: ``[X_0, X_{N/2}, sqrt(2) Re X_k, sqrt(2) Im X_k]``."""
    spectrum = torch.fft.rfft(x, norm="ortho")
    inner = math.sqrt(2) * spectrum[..., 1:-1]
    return torch.cat([spectrum.real[..., :1], spectrum.real[..., -1:], inner.real, inner.imag], -1)


def inverse_fourier(y):
    real, imag = y[..., 2:].chunk(2, dim=-1)
    inner = torch.complex(real, imag) / math.sqrt(2)
    ends = torch.complex(y[..., :2], torch.zeros_like(y[..., :2]))
    spectrum = torch.cat([ends[..., :1], inner, ends[..., 1:]], dim=-1)
    return torch.fft.irfft(spectrum, n=y.shape[-1], norm="ortho")


def butterfly(x, repeats, tile_size):
    """Sums of neighbours, then their differences, again and again within tiles of even length."""
    y = x.reshape(*x.shape[:-1], -1, tile_size)
    for _ in range(repeats):
        a, b = y.reshape(*y.shape[:-1], -1, 2).unbind(dim=-1)
        y = torch.cat([a + b, a - b], dim=-1) * math.sqrt(0.5)
    return y.reshape(x.shape)


def inverse_butterfly(y, repeats, tile_size):
    x = y.reshape(*y.shape[:-1], -1, tile_size)
    for _ in range(repeats):
        total, difference = x.chunk(2, dim=-1)
        x = torch.stack([total + difference, total - difference], dim=-1) * math.sqrt(0.5)
        x = x.reshape(*y.shape[:-1], -1, tile_size)
    return x.reshape(y.shape)


def full_butterfly(size):
    """Arguments of the butterflies that mix the whole vector."""
    return round(math.log2(size)), size


def tiled_butterfly(size):
    """Arguments of the butterflies that mix tiles; `size` is a multiple of the tile."""
    return round(math.log2(TILED_MIXING)), TILED_MIXING


def paper(size, like):
    """Return one sweep of the stages of the preset `paper`, in its four domains."""
    stages = [two_level(size, chunk, like) for chunk in CHUNK_SIZES]
    stages += [tiles(size, tile, like) for tile in TILE_SIZES]
    full, tiled = full_butterfly(size), tiled_butterfly(size)
    domains = (
        (lambda x: x, lambda y: y),
        (fourier, inverse_fourier),
        (lambda x: butterfly(x, *full), lambda y: inverse_butterfly(y, *full)),
        (lambda x: butterfly(x, *tiled), lambda y: inverse_butterfly(y, *tiled)),
    )

    def sweep(x):
        y = working(x)
        for there, back in domains:
            y = there(y)
            for stage in stages:
                y = stage(y)
            y = back(y)
        return y.to(x.dtype)

    return sweep
