"""Generators that are wrong in a way that textbooks describe."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from scipy import special, stats

from benchmarks.sources.source import ATYPICAL, TYPICAL, Source


def sources() -> Iterator[Source]:
    yield Source(
        "RANDU, inverse CDF",
        partial(randu, (256, 256)),
        ATYPICAL,
        "xₙ₊₂ = 6xₙ₊₁ - 9xₙ mod 1: triples lie on 15 planes",
    )
    yield Source(
        "16-bit LCG, inverse CDF, one period",
        partial(lcg16, (256, 256)),
        ATYPICAL,
        "each of 65,536 values once: far too regular",
    )
    yield Source(
        "16-bit LCG, inverse CDF, two periods",
        partial(lcg16, (512, 256)),
        ATYPICAL,
        "the second half repeats the first",
    )
    yield Source(
        "Box-Muller on an LCG",
        partial(neave, (1024, 1024)),
        ATYPICAL,
        "u₂ = 131u₁ mod 1 inside each pair: the tails are cut (Neave 1973)",
    )
    yield Source(
        "Box-Muller on 8-bit uniforms",
        partial(box_muller_8bit, (256, 256)),
        ATYPICAL,
        "nothing beyond 3.33; the arithmetic of pytorch issue 166853",
        dtype="bfloat16",
    )
    yield Source(
        "inverse CDF of 23-bit uniforms, float32",
        partial(inverse_23bit, (256, 256)),
        ATYPICAL,
        "nearly 9 times as many equal pairs as rounding makes; the recipe of `jax.random.normal`",
    )
    yield Source(
        "sum of 12 uniforms",
        partial(sum_of_12, (64, 64)),
        TYPICAL,
        "excess kurtosis -0.1 is 1.3 standard errors at this size",
    )
    yield Source(
        "sum of 12 uniforms",
        partial(sum_of_12, (1024, 1024)),
        ATYPICAL,
        "excess kurtosis -0.1 is 21 standard errors at this size",
    )
    yield Source(
        "SciPy truncnorm(-3, 3)",
        partial(truncated, (256, 256), 3),
        ATYPICAL,
        "genuine noise has 177 values beyond",
    )
    yield Source(
        "SciPy truncnorm(-5, 5)",
        partial(truncated, (256, 256), 5),
        TYPICAL,
        "genuine noise has 0.04 values beyond",
    )
    yield Source(
        "Wallace's pool, no correction",
        partial(wallace, (64, 1024)),
        ATYPICAL,
        "each row is an orthogonal transform of the last: all have one norm",
    )


def lcg(count: int, multiplier: int, increment: int, bits: int, seed: int) -> np.ndarray:
    """Return the next `count` states of ``x -> multiplier x + increment mod 2^bits``, by doubling.

    Unsigned 64-bit arithmetic wraps, which does no harm to residues of a smaller power of two.
    """
    mask = 2**bits - 1
    states = np.array([(multiplier * seed + increment) & mask], dtype=np.uint64)
    jump, step = multiplier, increment  # states[k + len(states)] = jump * states[k] + step
    while states.size < count:
        ahead = states * np.uint64(jump) + np.uint64(step)
        states = np.concatenate([states, ahead & np.uint64(mask)])
        jump, step = jump * jump & mask, step * (jump + 1) & mask
    return states[:count]


def randu(shape: tuple[int, ...]) -> np.ndarray:
    states = lcg(int(np.prod(shape)), 65539, 0, 31, seed=1)
    return special.ndtri(states / 2**31).reshape(shape)


def lcg16(shape: tuple[int, ...]) -> np.ndarray:
    states = lcg(int(np.prod(shape)), 25173, 13849, 16, seed=1)
    return special.ndtri((states + 0.5) / 2**16).reshape(shape)


def neave(shape: tuple[int, ...]) -> np.ndarray:
    uniform = lcg(int(np.prod(shape)), 131, 0, 35, seed=1) / 2**35
    return box_muller(uniform[::2], uniform[1::2]).reshape(shape)


def box_muller(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Turn pairs of uniforms, the first in (0, 1], into interleaved pairs of normals."""
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).ravel()


def box_muller_8bit(shape: tuple[int, ...]) -> torch.Tensor:
    uniform = np.random.default_rng(0).integers(256, size=(2, int(np.prod(shape)) // 2)) / 256
    normal = torch.from_numpy(box_muller(1 - uniform[0], uniform[1]).reshape(shape))
    return normal.to(torch.bfloat16)


def inverse_23bit(shape: tuple[int, ...]) -> np.ndarray:
    uniform = np.random.default_rng(0).integers(2**23, size=shape) / 2**22 - 1
    inside = np.maximum(uniform, np.nextafter(np.float32(-1), np.float32(0)))
    return (np.sqrt(2) * special.erfinv(inside)).astype(np.float32)


def sum_of_12(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).random((12, *shape)).sum(axis=0) - 6


def truncated(shape: tuple[int, ...], bound: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return stats.truncnorm.rvs(-bound, bound, size=shape, random_state=rng)


def wallace(shape: tuple[int, int]) -> np.ndarray:
    """Refill a pool by shuffling it and mixing values four at a time; every row is one pool."""
    rows, pool = shape
    rng = np.random.default_rng(0)
    mix = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    values = [rng.standard_normal(pool)]
    for _ in range(rows - 1):
        shuffled = rng.permutation(values[-1]).reshape(4, -1)
        values.append((mix @ shuffled).ravel())
    return np.stack(values)
