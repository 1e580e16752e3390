"""What families look at: a batch of arrays in double precision, and transforms they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._namespace import Array, Namespace

IntArray = NDArray[np.int64]

Tables = dict[tuple[int, str, str], tuple[NDArray[Any], Array]]
"""Tables by identity and device: the host's, and that beside the data."""

__all__ = ["SIGNIFICANT_BITS", "Groups", "IntArray", "Layout", "Tables", "View", "group_sums"]

SIGNIFICANT_BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
"""Bits of the significand, the leading one included."""


@dataclass(frozen=True)
class Layout:
    """Shape and dtype of one vector: what plans depend on."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def bits(self) -> int:
        """Bits of the significand."""
        return SIGNIFICANT_BITS[self.dtype]

    @property
    def planes(self) -> tuple[int, int, int] | None:
        """Shape (C, H, W) as images along the last two axes, None if these are too short."""
        if len(self.shape) < 2 or min(self.shape[-2:]) < 4:
            return None
        height, width = self.shape[-2:]
        return self.size // (height * width), height, width


class View:
    """A batch of vectors, shape ``(B, *shape)``, float64 on the device of the caller's array."""

    def __init__(self, x: Array, xp: Namespace, layout: Layout, tables: Tables) -> None:
        self.x = x
        self._tables = tables
        self.xp = xp
        self.layout = layout
        self.batch = int(x.shape[0])
        self._grams: dict[tuple[int | None, int], Array] = {}

    @cached_property
    def flat(self) -> Array:
        """Shape (B, N)."""
        return self.xp.reshape(self.x, (self.batch, -1))

    @cached_property
    def squares(self) -> Array:
        """Squared values, shape ``(B, *shape)``."""
        return self.x * self.x

    @cached_property
    def total(self) -> Array:
        """Sum of the values, shape (B,)."""
        return self.xp.sum(self.flat, axis=-1)

    @cached_property
    def energy(self) -> Array:
        """Sum of the squared values, shape (B,)."""
        return self.xp.sum(self.xp.reshape(self.squares, (self.batch, -1)), axis=-1)

    @cached_property
    def sorted(self) -> Array:
        """Values in increasing order, shape (B, N)."""
        return self.xp.sort(self.flat, axis=-1, stable=False)

    def host(self, values: NDArray[Any]) -> Array:
        """Bring a table of a family beside the data, once for each device.

        The cache holds the table itself, so that its identity stays its own.
        """
        key = (id(values), self.xp.__name__, str(self.x.device))
        if key not in self._tables:
            there = self.xp.asarray(np.ascontiguousarray(values), device=self.x.device)
            self._tables[key] = (values, there)
        return self._tables[key][1]

    def gram(self, axis: int | None, rows: int) -> Array:
        """Inner products of the slices of an axis, or of the phases of the flattened array."""
        key = (axis, rows)
        if key not in self._grams:
            xp = self.xp
            if axis is None:
                n = self.layout.size // rows
                x = xp.reshape(self.flat[:, : n * rows], (self.batch, n, rows))
                x = xp.matrix_transpose(x)
            else:
                x = xp.reshape(xp.moveaxis(self.x, axis + 1, 1), (self.batch, rows, -1))
            self._grams[key] = x @ xp.matrix_transpose(x)
        return self._grams[key]

    def sum_others(self, values: Array, axis: int) -> Array:
        """Sum over every axis of the vector but one, shape (B, n)."""
        others = tuple(a + 1 for a in range(len(self.layout.shape)) if a != axis)
        return self.xp.sum(values, axis=others) if others else values


@dataclass(frozen=True)
class Groups:
    """A partition of flat positions, to add up what falls into each group."""

    order: IntArray
    """Positions sorted by group; positions of no group are left out."""
    ends: IntArray
    """Where in `order` each group ends."""
    counts: IntArray
    """Positions in each group."""
    labels: IntArray
    """Label of each group."""

    @classmethod
    def of(cls, labels: NDArray[Any]) -> Groups:
        """Group positions by label 0, 1, ...; negative labels belong nowhere."""
        labels = np.asarray(labels).ravel().astype(np.int64)
        order = np.argsort(labels, kind="stable")
        order = order[np.searchsorted(labels[order], 0) :]
        present, counts = np.unique(labels[order], return_counts=True)
        return cls(order, np.cumsum(counts) - 1, counts.astype(np.int64), present)

    @property
    def starts(self) -> IntArray:
        """Where in `order` each group starts."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1] + 1])


def group_sums(view: View, values: Array, groups: Groups) -> Array:
    """Add up `values` of shape (B, n) in each group, shape (B, G)."""
    xp = view.xp
    sums = xp.cumulative_sum(xp.take(values, view.host(groups.order), axis=-1), axis=-1)
    sums = xp.take(sums, view.host(groups.ends), axis=-1)
    return xp.concat([sums[:, :1], sums[:, 1:] - sums[:, :-1]], axis=-1)
