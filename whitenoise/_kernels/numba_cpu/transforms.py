"""Isometries: Hadamard transforms in a few passes over memory, other butterflies step by step.

A power of two of N entries is cut into blocks of 4096, which a first-level cache holds twice, and
all their steps are made there. What remains are series of up to 256 entries at a stride, sixteen of
which go through the cache side by side: N = 65,536 takes two passes over memory instead of sixteen.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import fft

from .jit import kernel
from .lanes import LANES, sum_and_difference
from .threads import Phase, claim, finish, run, thread_count

__all__ = [
    "blocks",
    "butterfly",
    "cosine",
    "real_fourier",
    "series",
    "steps",
]

Floats = np.ndarray[Any, Any]

_BLOCK = 4096
_SERIES = 256
_ROOT = math.sqrt(0.5)


def butterfly(x: Floats, repeats: int, adjoint: bool) -> Floats:
    """`repeats` butterfly steps on each row of (R, n), or their inverse."""
    size = x.shape[1]
    if size == 1 << repeats:
        return _hadamard(x, adjoint)
    source, sink, spare = x, np.empty_like(x), np.empty_like(x)
    phases: list[Phase] = []
    for _ in range(repeats):
        phases.append((steps, len(x), (source, sink, adjoint)))
        source, sink, spare = sink, spare, sink
    run(phases, x.size)
    return source if repeats else x.copy()


def _hadamard(x: Floats, adjoint: bool) -> Floats:
    y = x.copy()
    size = x.shape[1]
    block = min(size, _BLOCK)
    rows = y.reshape(-1, block)
    phases: list[Phase] = [(blocks, len(rows), (rows, adjoint))]
    stride = block
    while stride < size:
        length = min(_SERIES, size // stride)
        tasks = y.size // (length * LANES)
        phases.append((series, tasks, (y.reshape(-1), length, stride, adjoint)))
        stride *= length
    run(phases[::-1] if adjoint else phases, y.size)
    return y


@kernel
def _step(before: Any, after: Any, root: Any) -> None:
    """One step: sums of neighbours, then their differences, then an odd entry out."""
    half = len(before) // 2
    for k in range(half):
        after[k] = root * (before[2 * k] + before[2 * k + 1])
        after[half + k] = root * (before[2 * k] - before[2 * k + 1])
    for k in range(2 * half, len(before)):
        after[k] = before[k]


@kernel
def _inverse_step(before: Any, after: Any, root: Any) -> None:
    half = len(before) // 2
    for k in range(half):
        after[2 * k] = root * (before[k] + before[half + k])
        after[2 * k + 1] = root * (before[k] - before[half + k])
    for k in range(2 * half, len(before)):
        after[k] = before[k]


@kernel
def _root_like(x: Any) -> Any:
    """Return ``sqrt(1/2)`` in the dtype of `x`, so that products round as on the generic path."""
    root = np.empty(1, x.dtype)
    root[0] = _ROOT
    return root[0]


@kernel
def steps(counters: Any, tasks: Any, source: Any, sink: Any, adjoint: Any) -> None:
    """One step, or its inverse, on each row."""
    root = _root_like(source)
    row = claim(counters)
    while row < tasks:
        if adjoint:
            _inverse_step(source[row], sink[row], root)
        else:
            _step(source[row], sink[row], root)
        finish(counters)
        row = claim(counters)


@kernel
def blocks(counters: Any, tasks: Any, rows: Any, adjoint: Any) -> None:
    """All steps, or their inverse, on each row, whose length is a power of two; in place."""
    length = rows.shape[1]
    root = _root_like(rows)
    spare = np.empty((2, length), rows.dtype)
    row = claim(counters)
    while row < tasks:
        for k in range(length):
            spare[0, k] = rows[row, k]
        at, size = 0, length
        while size > 1:
            if adjoint:
                _inverse_step(spare[at], spare[1 - at], root)
            else:
                _step(spare[at], spare[1 - at], root)
            at, size = 1 - at, size // 2
        for k in range(length):
            rows[row, k] = spare[at, k]
        finish(counters)
        row = claim(counters)


@kernel
def series(counters: Any, tasks: Any, flat: Any, length: Any, stride: Any, adjoint: Any) -> None:
    """All levels of series of `length` entries at a `stride`, in place, `LANES` side by side."""
    values = np.empty((length, LANES), flat.dtype)
    root = _root_like(flat)
    groups = stride // LANES
    task = claim(counters)
    while task < tasks:
        first = task // groups * stride * length + task % groups * LANES
        for j in range(length):
            for k in range(LANES):
                values[j, k] = flat[first + j * stride + k]
        half = length // 2 if adjoint else 1
        while 0 < half < length:
            for block in range(0, length, 2 * half):
                for j in range(block, block + half):
                    sum_and_difference(values, j, j + half, root)
            half = half // 2 if adjoint else half * 2
        for j in range(length):
            for k in range(LANES):
                flat[first + j * stride + k] = values[j, k]
        finish(counters)
        task = claim(counters)


def real_fourier(x: Floats, adjoint: bool) -> Floats:
    """`isometries.RealFourier` of each row of (R, n), with a Fourier transform in threads."""
    size = x.shape[1]
    pairs = (size - 1) // 2
    edge = size - 2 * pairs  # X_0 and, if n is even, X_{n/2} are real
    # SciPy's own orthonormal scale is rounded otherwise than NumPy's.
    scale = np.reciprocal(np.sqrt(size, dtype=x.dtype))
    if adjoint:
        spectrum = np.zeros((len(x), size // 2 + 1), f"c{2 * x.itemsize}")
        spectrum.real[:, 0] = x[:, 0]
        spectrum.real[:, pairs + 1 :] = x[:, 1:edge]
        np.multiply(
            x[:, edge : edge + pairs], 1 / math.sqrt(2), out=spectrum.real[:, 1 : pairs + 1]
        )
        np.multiply(x[:, edge + pairs :], 1 / math.sqrt(2), out=spectrum.imag[:, 1 : pairs + 1])
        y: Floats = fft.irfft(spectrum, size, norm="forward", workers=thread_count())
        y *= scale
        return y
    spectrum = fft.rfft(x, workers=thread_count())
    spectrum.view(x.dtype)[...] *= scale
    packed = np.empty_like(x)
    packed[:, 0] = spectrum.real[:, 0]
    packed[:, 1:edge] = spectrum.real[:, pairs + 1 :]
    inner = spectrum[:, 1 : pairs + 1]
    np.multiply(inner.real, math.sqrt(2), out=packed[:, edge : edge + pairs])
    np.multiply(inner.imag, math.sqrt(2), out=packed[:, edge + pairs :])
    return packed


def cosine(x: Floats, adjoint: bool) -> Floats:
    """Orthonormal DCT-II of each row of (R, n), or its inverse."""
    transform = fft.idct if adjoint else fft.dct
    y: Floats = transform(x, type=2, norm="ortho", workers=thread_count())
    return y
