"""Circular autocorrelation of a field that is white and Gaussian under the null."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .._namespace import Array
from ..reference import FloatArray
from .family import Place, Rows, Statistic, loudest
from .laws import ScoreTable, log_two_sided, quadratic_law
from .view import IntArray, Layout, View

__all__ = ["LagProbe"]

_REACH_LINE, _REACH_PLANE, _REACH_OTHER = 32, 4, 3


class LagProbe:
    """Circular autocorrelation at near lags, and the largest over all lags.

    At a lag of order `m` in the group of shifts the sum of products is a quadratic form with
    eigenvalues ``cos(2 pi j / m)``, each ``N / m`` times, so its cumulant generating function is
    known.
    """

    def __init__(self, layout: Layout) -> None:
        self.shape = layout.shape
        order = _lag_orders(self.shape)
        self.size = layout.size
        near, first = _near_lags(self.shape)
        self.first = [lag for lag in first if order[lag] > 2]
        self.near = [lag for lag in near if order[lag] > 2]
        half = _half_of_lags(self.shape) & (order > 2)
        # Orders above 16 have the same law to ten digits.
        kind = np.where(half, np.minimum(order, 17), 0)
        self.orders = [int(m) for m in np.unique(kind) if m > 0]
        self.members = [np.flatnonzero(kind == m) for m in self.orders]
        self.flat_near = np.array(
            [np.ravel_multi_index(lag, self.shape) for lag in self.first + self.near],
            dtype=np.int64,
        )
        self.order = order

    def measure(self, view: View, field: Array) -> dict[str, Array]:
        xp = view.xp
        axes = tuple(range(1, len(self.shape) + 1))
        spectrum = xp.fft.rfftn(field, axes=axes)
        power = xp.real(spectrum) ** 2 + xp.imag(spectrum) ** 2
        complex_power = xp.astype(power, xp.complex128)
        lags = xp.fft.irfftn(complex_power, s=self.shape, axes=axes)
        lags = xp.reshape(lags, (view.batch, -1))
        measured = {"near": xp.take(lags, view.host(self.flat_near), axis=-1)}
        for m, members in zip(self.orders, self.members, strict=True):
            inside = xp.take(lags, view.host(members), axis=-1)
            index = xp.argmax(xp.abs(inside), axis=-1)
            value = xp.take_along_axis(inside, index[:, None], axis=-1)
            index = xp.astype(index, xp.float64)[:, None]
            measured[f"far_{m}"] = xp.concat([-xp.abs(value), value, index], axis=-1)
        return measured

    def judge(self, rows: Rows, prefix: str, blocks: int, noun: str) -> list[Statistic]:
        near = rows[f"{prefix}near"]
        lags = self.first + self.near
        if not lags:
            return []
        score = np.stack(
            [
                _lag_law(min(int(self.order[lag]), 17), self.size * blocks)(near[:, i])
                for i, lag in enumerate(lags)
            ],
            axis=-1,
        )
        log_p = log_two_sided(score)

        def describe_at(lag: tuple[int, ...], value: float) -> Place:
            signed = tuple(k - n if 2 * k > n else k for k, n in zip(lag, self.shape, strict=True))
            at = signed if len(signed) > 1 else signed[0]
            return Place(
                f"the {noun}autocorrelation at lag {at} is {value / self.size / blocks:+.3g}",
                {"view": "lags", "lag": signed},
            )

        result = []
        for i, lag in enumerate(self.first):
            place = [describe_at(lag, near[b, i]) for b in range(len(near))]
            name = f"{noun}autocorrelation at lag {lag if len(lag) > 1 else lag[0]}"
            result.append(Statistic(name, 5.0, log_p[:, i], place.__getitem__))
        skip = len(self.first)
        if self.near:
            result.append(
                loudest(
                    log_p[:, skip:],
                    f"{noun}autocorrelation at near lags",
                    3.0,
                    lambda b, i: describe_at(self.near[i], near[b, skip + i]),
                )
            )
        for m, members in zip(self.orders, self.members, strict=True):
            peak = rows[f"{prefix}far_{m}"]
            # The peak is of one block, whose sum of products has the law of N values.
            far = log_two_sided(_lag_law(m, self.size)(peak[:, 1]))
            which = f"lags of order {m}" if m < 17 else "all lags"

            def describe(b: int, peak: FloatArray = peak, members: IntArray = members) -> Place:
                lag = np.unravel_index(int(members[int(peak[b, 2])]), self.shape)
                return describe_at(tuple(int(k) for k in lag), peak[b, 1] * blocks)

            log_far = np.minimum(far + np.log(members.size * blocks), 0.0)
            weight = 2.0 if m == self.orders[-1] else 0.3
            result.append(
                Statistic(f"largest {noun}autocorrelation of {which}", weight, log_far, describe)
            )
        return result


@lru_cache(maxsize=128)
def _lag_law(order: int, size: int) -> ScoreTable:
    m = order if order < 17 else 128
    j = np.arange(m // 2 + 1)
    copies = np.where((j == 0) | (2 * j == m), 1, 2)
    return quadratic_law(np.cos(2 * np.pi * j / m), copies * size / m)


def _lag_orders(shape: tuple[int, ...]) -> IntArray:
    """Order of each lag vector in the group of circular shifts."""
    order = np.ones((1,) * len(shape), dtype=np.int64)
    for axis, n in enumerate(shape):
        own = n // np.gcd(np.arange(n), n)
        order = np.lcm(order, own.reshape([-1 if a == axis else 1 for a in range(len(shape))]))
    return order


def _half_of_lags(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """One of each pair of opposite lags."""
    index = np.arange(math.prod(shape)).reshape(shape)
    opposite = index
    for axis in range(len(shape)):
        opposite = np.roll(np.flip(opposite, axis), 1, axis)
    return index < opposite


def _near_lags(shape: tuple[int, ...]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Lags within reach, and the nearest neighbours along each axis, one of each opposite pair."""
    d = len(shape)
    zero = [0] * d
    first: list[tuple[int, ...]] = []
    near: list[tuple[int, ...]] = []
    for axis in range(d):
        if shape[axis] > 2:
            first.append(tuple(1 if a == axis else 0 for a in range(d)))
    if d == 1:
        near = [(k,) for k in range(2, min(_REACH_LINE, (shape[0] - 1) // 2) + 1)]
        return near, first
    height, width = shape[-2:]
    for dy in range(min(_REACH_PLANE, (height - 1) // 2) + 1):
        reach = min(_REACH_PLANE, (width - 1) // 2)
        for dx in range(-reach, reach + 1):
            if dy > 0 or dx > 0:
                near.append((*zero[:-2], dy, dx % width))
    for axis in range(d - 2):
        for k in range(2, min(_REACH_OTHER, (shape[axis] - 1) // 2) + 1):
            near.append(tuple(k if a == axis else 0 for a in range(d)))
    return [lag for lag in near if lag not in first], first
