"""Arrays to try a check on: genuine noise, and named kinds of structure that is not noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import special

from .._arrays import FLOATS, as_integer
from ..reference import FloatArray

__all__ = ["KINDS", "LEAST_SIZE", "Shape", "atypical_array", "typical_array"]

Shape = int | tuple[int, ...]
Rng = np.random.Generator

LEAST_SIZE = 1024
"""Values that an atypical array has at least, so that its structure cannot be chance."""


def typical_array(shape: Shape, *, seed: int, dtype: DTypeLike = "float64") -> NDArray[np.floating]:
    """Return white Gaussian noise.

    Parameters
    ----------
    shape
        Shape of the array.
    seed
        Of ``numpy.random.default_rng``.
    dtype
        float64, float32 or float16, to which the values are rounded.

    Examples
    --------
    >>> typical_array(3, seed=0).round(3)
    array([ 0.126, -0.132,  0.64 ])
    """
    shape, kind = _checked(shape, dtype, 1)
    return np.random.default_rng(seed).standard_normal(shape).astype(kind)


def atypical_array(
    kind: str, shape: Shape, *, seed: int, dtype: DTypeLike = "float64"
) -> NDArray[np.floating]:
    """Return an array that a check of typicality must reject, at any false alarm down to 1e-6.

    Parameters
    ----------
    kind
        Name of the structure, one of `KINDS`.
    shape
        Shape of the array, of at least 1024 values.
    seed, dtype
        As for `typical_array`.

    Examples
    --------
    >>> atypical_array("constant", 1024, seed=0)[:3].round(3)
    array([0.126, 0.126, 0.126])
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    shape, name = _checked(shape, dtype, LEAST_SIZE)
    rng = np.random.default_rng(seed)
    return np.reshape(KINDS[kind](rng, shape), shape).astype(name)


def _checked(shape: Shape, dtype: DTypeLike, least: int) -> tuple[tuple[int, ...], np.dtype]:
    lengths = shape if isinstance(shape, tuple) else (shape,)
    lengths = tuple(as_integer("shape", length, least=1) for length in lengths)
    if math.prod(lengths) < least:
        raise ValueError(f"shape must hold at least {least} values, got {shape!r}")
    name = np.dtype(dtype)
    if name.name not in FLOATS:
        raise TypeError(f"dtype must be one of {', '.join(FLOATS)}, got {name}")
    return lengths, name


def _flat(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    return rng.standard_normal(math.prod(shape))


def _constant(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    return np.full(shape, rng.standard_normal())


def _shifted(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    return _flat(rng, shape) + 0.5


def _scaled(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    return np.asarray(1.5 * _flat(rng, shape))


def _sparse(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """One value in ten, of variance ten."""
    x = _flat(rng, shape)
    x *= np.sqrt(10)
    x[rng.random(x.size) >= 0.1] = 0
    return x


def _heavy_tailed(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """Cauchy, with the quartiles of N(0, 1)."""
    return 0.6745 * rng.standard_cauchy(shape)


def _uniform(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    return rng.uniform(-np.sqrt(3), np.sqrt(3), shape)


def _rounded(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    return np.round(8 * _flat(rng, shape)) / 8


def _too_regular(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """Normal quantiles at equal steps, in random order."""
    size = math.prod(shape)
    return rng.permutation(special.ndtri((np.arange(size) + 0.5) / size))


def _sorted(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    return np.sort(_flat(rng, shape))


def _sine(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """Half the variance in one wave."""
    size = math.prod(shape)
    cycles = rng.integers(2, size // 4)
    wave = np.sin(2 * np.pi * (cycles * np.arange(size) / size + rng.random()))
    return np.asarray(wave + np.sqrt(0.5) * _flat(rng, shape))


def _smooth(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """Every value is the mean of two neighbours, times the square root of two."""
    x = rng.standard_normal(math.prod(shape) + 1)
    return np.asarray((x[1:] + x[:-1]) / np.sqrt(2))


def _upsampled(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """Every value twice along the last axis, or along all if that is too short."""
    size = math.prod(shape)
    return np.repeat(rng.standard_normal((size + 1) // 2), 2)[:size]


def _copied(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """The second half repeats the first: a repeated channel, frame or row."""
    x = _flat(rng, shape)
    x[x.size - x.size // 2 :] = x[: x.size // 2]
    return x


def _negated(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    x = _copied(rng, shape)
    x[: x.size // 2] *= -1
    return x


def _mirrored(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    x = _flat(rng, shape)
    x[x.size - x.size // 2 :] = x[: x.size // 2][::-1]
    return x


def _patched(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """A quarter of the array comes again in other rows, under a little noise."""
    x = _flat(rng, shape)
    row = shape[-1] if 8 * shape[-1] <= x.size else 1
    rows = x[: x.size // row * row].reshape(-1, row)
    height = len(rows) // 4
    start = rng.integers(0, height + 1)
    target = rng.integers(2 * height, len(rows) - height + 1)
    rows[target : target + height] *= np.sqrt(1 - 0.99**2)
    rows[target : target + height] += 0.99 * rows[start : start + height]
    return x


def _alternating(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """Signs take turns."""
    x = np.abs(_flat(rng, shape))
    return np.asarray(x * (-1.0) ** np.arange(x.size))


def _loud_half(rng: Rng, shape: tuple[int, ...]) -> FloatArray:
    """The first half has seven times the variance of the second."""
    x = _flat(rng, shape)
    x[: x.size // 2] *= np.sqrt(1.75)
    x[x.size // 2 :] *= np.sqrt(0.25)
    return x


KINDS: dict[str, Callable[[Rng, tuple[int, ...]], FloatArray]] = {
    "constant": _constant,
    "shifted": _shifted,
    "scaled": _scaled,
    "sparse": _sparse,
    "heavy-tailed": _heavy_tailed,
    "uniform": _uniform,
    "rounded": _rounded,
    "too regular": _too_regular,
    "sorted": _sorted,
    "sine": _sine,
    "smooth": _smooth,
    "upsampled": _upsampled,
    "copied": _copied,
    "negated": _negated,
    "mirrored": _mirrored,
    "patched": _patched,
    "alternating": _alternating,
    "loud half": _loud_half,
}
"""Kinds of structure by name, simplest first."""
