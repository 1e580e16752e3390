"""Typicality of data that arrives in blocks, on one machine or on several."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._arrays import as_shape, as_vectors
from .._namespace import Array, array_namespace, stop_gradient, uncompiled
from .family import Rows
from .report import TypicalityReport
from .run import battery, declared_dtype
from .view import SIGNIFICANT_BITS, Layout

__all__ = ["TypicalityAccumulator"]


class TypicalityAccumulator:
    """Test a stream of blocks of one shape in bounded memory.

    Parameters
    ----------
    shape
        Shape of one block.
    dtype
        Name of the dtype to which values were rounded; that of the first update if None.

    Notes
    -----
    What is kept does not grow with the number of blocks: sums over blocks of energies, counts,
    products and squared scores, and the loudest peak of each kind. Adding is exact, so neither the
    order of the updates nor their split over several accumulators matters, but for the last digits
    of sums. Within a block everything is tested as by `typicality`; across blocks, what sits at the
    same place of each adds up. What is not tested: products of values of different blocks, copies
    and equal values in different blocks; the report says so.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> first, second = TypicalityAccumulator((64, 64)), TypicalityAccumulator((64, 64))
    >>> for _ in range(3):
    ...     first.update(rng.standard_normal((64, 64)))
    >>> second.update(rng.standard_normal((5, 64, 64)))  # several blocks at once
    >>> first.merge(second)
    >>> report = first.report()
    >>> report.blocks, report.size, report.pvalue > 0.001
    (8, 32768, True)
    """

    def __init__(self, shape: int | Sequence[int], dtype: str | None = None) -> None:
        self._shape = as_shape(shape)
        if not self._shape:
            raise ValueError("shape must have at least one axis, got ()")
        if dtype is not None and dtype not in SIGNIFICANT_BITS:
            raise ValueError(f"dtype must be one of {', '.join(SIGNIFICANT_BITS)}, got {dtype!r}")
        self._dtype = dtype
        self._rows: dict[str, Rows] = {}
        self._blocks = 0

    @property
    def blocks(self) -> int:
        """Number of blocks seen."""
        return self._blocks

    @uncompiled
    def update(self, x: Array) -> None:
        """Add one block, or several along leading axes: shape ``(..., *shape)``.

        Raises
        ------
        TypeError, ValueError
            As `typicality`; if the trailing axes are not `shape`, or the dtype is not that of the
            first update.
        """
        array_namespace(x)  # refuse what is no array
        d = len(self._shape)
        if tuple(x.shape)[-d:] != self._shape:
            raise ValueError(
                f"x must have shape (..., {', '.join(map(str, self._shape))}), got {tuple(x.shape)}"
            )
        vectors = as_vectors(stop_gradient(x), tuple(range(-d, 0)))
        if self._dtype is None:
            self._dtype = declared_dtype(x, None)
        declared_dtype(x, self._dtype)
        rows = battery(self._layout).measure(vectors.data)
        self._add(rows, math.prod(vectors.batch))

    def merge(self, other: TypicalityAccumulator) -> None:
        """Add what another accumulator has seen, from this process or from another.

        Raises
        ------
        ValueError
            If shapes or dtypes differ.
        """
        if other._blocks == 0:
            return
        if self._dtype is None:
            self._dtype = other._dtype
        if (other._shape, other._dtype) != (self._shape, self._dtype):
            raise ValueError(
                f"other must hold blocks of shape {self._shape} and dtype {self._dtype}, got "
                f"{other._shape} and {other._dtype}"
            )
        self._add(other._rows, other._blocks)

    def report(self) -> TypicalityReport:
        """Report on everything seen so far.

        Raises
        ------
        ValueError
            If nothing was seen.
        """
        if self._blocks == 0:
            raise ValueError("the accumulator has seen no block")
        return battery(self._layout).report(self._rows, blocks=self._blocks)

    @property
    def _layout(self) -> Layout:
        assert self._dtype is not None
        return Layout(self._shape, self._dtype)

    def _add(self, rows: dict[str, Rows], blocks: int) -> None:
        loudest = {family.name: family.keep_loudest for family in battery(self._layout).families}
        for name, family_rows in rows.items():
            held = self._rows.setdefault(name, {})
            for key, value in family_rows.items():
                if key in held:
                    value = np.concatenate([held[key], value])
                if key in loudest[name]:
                    held[key] = value[[np.argmin(value[:, 0])]]
                else:
                    held[key] = value.sum(axis=0, keepdims=True)
        self._blocks += blocks
