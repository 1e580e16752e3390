"""Generators of normal numbers that people use, at two or three sizes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats

from benchmarks.sources.source import ATYPICAL, TYPICAL, Missing, Source

DRAWS = {64: 128, 256: 16}
"""How many square arrays of each side."""
WITH_LARGE = DRAWS | {2048: 1}
LARGEST = 3072

ROUNDED = "float64 draws, rounded; the dtype says so"


def sources() -> Iterator[Source | Missing]:
    for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        # All share the ziggurat, so that one of them is enough for the large arrays.
        draws = WITH_LARGE if kind is np.random.PCG64 else DRAWS
        name, generator = f"NumPy {kind.__name__}", partial(_numpy, kind)
        yield from _sizes(name, generator, "float64", "ziggurat, 52 bits", draws)
        yield from _sizes(name, generator, "float32", "ziggurat, 23 bits", draws)
    yield Source(
        "NumPy PCG64",
        partial(_numpy, np.random.PCG64, (1, LARGEST, LARGEST), "float32"),
        ATYPICAL,
        "ziggurat, 23 bits: 1 % more pairs of equal values than rounding makes",
        axis=(1, 2),
    )
    yield from _sizes("NumPy PCG64, cast", _numpy_cast, "float16", ROUNDED)
    yield from _sizes("NumPy randn", _randn, "float64", "legacy polar method on MT19937")
    yield from _sizes("SciPy norm.rvs", _scipy, "float64", "NumPy's ziggurat", DRAWS)
    yield from _sizes("Python random.gauss", _gauss, "float64", "Box-Muller on MT19937, 53 bits")
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        yield from _sizes("Torch randn, CPU", _torch, dtype, "Box-Muller on MT19937")
    yield from _held_in_float32()
    if torch.cuda.is_available():
        for dtype in ("float64", "float32", "float16", "bfloat16"):
            cuda = partial(_torch, device="cuda")
            yield from _sizes("Torch randn, CUDA", cuda, dtype, "Box-Muller on Philox")
    else:
        yield Missing("Torch randn, CUDA", "Torch finds no CUDA device")
    yield from _cupy()


def _sizes(
    name: str,
    draw: Callable[[tuple[int, int, int], str], Any],
    dtype: str,
    why: str,
    draws: dict[int, int] = WITH_LARGE,
) -> Iterator[Source]:
    for side, count in draws.items():
        shape = (count, side, side)
        yield Source(name, partial(draw, shape, dtype), TYPICAL, why, axis=(1, 2))


def _held_in_float32() -> Iterator[Source]:
    """Rounded to bfloat16 but stored wider, as happens to latents on their way."""

    def draw() -> torch.Tensor:
        return _torch((16, 256, 256), "bfloat16").float()

    name = "Torch randn, CPU, bfloat16 in float32"
    yield Source(name, draw, ATYPICAL, "8 significant bits, dtype claims 24", axis=(1, 2))
    yield Source(
        f"{name}, declared",
        draw,
        TYPICAL,
        '8 significant bits, with `dtype="bfloat16"`',
        axis=(1, 2),
        dtype="bfloat16",
    )


def _numpy(kind: type[np.random.BitGenerator], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.Generator(kind(0)).standard_normal(shape, dtype=np.dtype(dtype))


def _numpy_cast(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return _numpy(np.random.PCG64, shape, "float64").astype(dtype)


def _randn(shape: tuple[int, ...], _: str) -> np.ndarray:
    return np.random.RandomState(0).randn(*shape)


def _scipy(shape: tuple[int, ...], _: str) -> np.ndarray:
    return stats.norm.rvs(size=shape, random_state=np.random.default_rng(1))


def _gauss(shape: tuple[int, ...], _: str) -> np.ndarray:
    generator = random.Random(0)
    values = (generator.gauss(0.0, 1.0) for _ in range(int(np.prod(shape))))
    return np.fromiter(values, np.float64).reshape(shape)


def _torch(shape: tuple[int, ...], dtype: str, device: str = "cpu") -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(0)
    return torch.randn(shape, generator=generator, device=device, dtype=getattr(torch, dtype))


def _cupy() -> Iterator[Source | Missing]:
    name = "CuPy standard_normal"
    try:
        import cupy
    except ImportError:
        yield Missing(name, "CuPy is not installed")
        return
    if not cupy.cuda.is_available():
        yield Missing(name, "CuPy finds no CUDA device")
        return

    def draw(shape: tuple[int, ...], dtype: str) -> Any:
        return cupy.random.default_rng(0).standard_normal(shape, dtype=dtype)

    for dtype in ("float64", "float32"):
        yield from _sizes(name, draw, dtype, "cuRAND")
