"""Checking arrays and laying them out as batches of vectors."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex

import numpy as np

from ._namespace import (
    Array,
    Namespace,
    array_namespace,
    backend_name,
    dtype_name,
    from_host,
    is_on_host,
    on_host,
    refuse_capture,
    square_root,
    stop_gradient,
)

__all__ = [
    "Vectors",
    "as_integer",
    "as_last_vectors",
    "as_shape",
    "as_vectors",
    "cast",
    "centred_direction",
    "cosine",
    "float64_norm",
    "normalize_axis",
    "norm",
    "total",
    "working",
]

Axis = int | Sequence[int] | None

FLOATS = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Vectors:
    """An array seen as a batch of vectors along chosen axes.

    `data` has shape ``(*batch, N)`` in the working dtype: float64 stays, everything else becomes
    float32.
    """

    data: Array
    xp: Namespace
    original: Array
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    """Lengths of the axes that form the vector, in the order in which they are flattened."""
    finite: Array | None = None
    """If that was not checked: which vectors were finite, ``(*batch, 1)``; the others are zero."""

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return tuple(self.data.shape[:-1])

    @property
    def size(self) -> int:
        """Length N of each vector."""
        return int(self.data.shape[-1])

    def hosted(self) -> Vectors:
        """Return the same vectors as NumPy arrays, on the same memory, if that is what they are on.

        For long work: a call of Torch takes several times as long as one of NumPy, and the bits of
        the result are the same. Not for what automatic differentiation records.
        """
        if not is_on_host(self.data):
            return self
        finite = None if self.finite is None else on_host(self.finite)
        data = on_host(self.data)
        return replace(self, data=data, xp=array_namespace(data), finite=finite)

    def rounded(self, data: Array) -> Array:
        """Return vectors with the values that they have once restored, in the working dtype."""
        x = self.original
        if dtype_name(data) == dtype_name(x):
            return data
        elsewhere = backend_name(data) != backend_name(x)
        values = from_host(data, x) if elsewhere else data
        xp = array_namespace(x)
        values = working(cast(values, x.dtype, xp), xp)
        return on_host(values) if elsewhere else values

    def restore(self, data: Array) -> Array:
        """Bring vectors of shape ``(*batch, N)`` back to the shape and dtype of the original."""
        xp, x = self.xp, self.original
        if self.finite is not None:
            data = xp.where(self.finite, data, xp.full_like(data, float("nan")))
        if backend_name(data) != backend_name(x):
            data, xp = from_host(data, x), array_namespace(x)
        order = [axis for axis in range(x.ndim) if axis not in self.axes] + list(self.axes)
        moved = xp.reshape(data, (*self.batch, *self.shape))
        inverse = [order.index(axis) for axis in range(x.ndim)]
        return cast(xp.permute_dims(moved, tuple(inverse)), x.dtype, xp)


def as_vectors(x: Array, axis: Axis = None, *, check_finite: bool = True) -> Vectors:
    """Check `x` and flatten `axis` (all axes if None) into vectors; the other axes are the batch.

    Without `check_finite`, vectors that are not finite count as zero, and are restored as NaN.

    Raises
    ------
    TypeError
        If `x` is not an array of a supported backend, or not real floating point.
    ValueError
        If `x` is empty, holds NaN or infinity, or `axis` is out of range or repeated.
    """
    xp = array_namespace(x)
    data = working(x, xp)
    axes = normalize_axis(axis, x.ndim)
    if 0 in x.shape:
        raise ValueError(f"x must not be empty, got shape {tuple(x.shape)}")
    if check_finite:
        refuse_capture(x, "check_finite=True", "check_finite=False")
        finite = xp.isfinite(data)
        if not bool(xp.all(finite)):
            _raise_not_finite(finite, xp)
    others = [a for a in range(x.ndim) if a not in axes]
    shape = tuple(int(x.shape[a]) for a in axes)
    data = xp.permute_dims(data, (*others, *axes))
    data = xp.reshape(data, (*(x.shape[a] for a in others), math.prod(shape)))
    if check_finite:
        return Vectors(data=data, xp=xp, original=x, axes=axes, shape=shape)
    finite = xp.all(xp.isfinite(data), axis=-1, keepdims=True)
    data = xp.where(finite, data, xp.zeros_like(data))
    return Vectors(data=data, xp=xp, original=x, axes=axes, shape=shape, finite=finite)


def as_last_vectors(x: Array, shape: tuple[int, ...], *, check_finite: bool = True) -> Vectors:
    """Check that the last axes of `x` have a given shape, and flatten them into vectors."""
    array_namespace(x)
    if tuple(x.shape)[-len(shape) :] != shape:
        raise ValueError(f"x must have shape (..., *{shape}), got {tuple(x.shape)}")
    return as_vectors(x, tuple(range(-len(shape), 0)), check_finite=check_finite)


def working(x: Array, xp: Namespace) -> Array:
    """Return `x` in the working dtype: float64 stays, other floating dtypes become float32."""
    kind = dtype_name(x)
    if kind not in FLOATS:
        raise TypeError(f"x must have dtype {', '.join(FLOATS)}, got {x.dtype}")
    return x if kind in ("float64", "float32") else cast(x, xp.float32, xp)


def cast(x: Array, dtype: object, xp: Namespace) -> Array:
    """Return `x` with another dtype; bfloat16 of NumPy is not in the standard's `astype`."""
    if x.dtype == dtype:
        return x
    return x.astype(dtype) if hasattr(x, "astype") else xp.astype(x, dtype)


def normalize_axis(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return `axis` as a tuple of distinct nonnegative axes; None means all."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    axes = tuple(as_integer("axis", a) for a in axes)
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"axis must lie in -{ndim}..{ndim - 1}, got {axis!r}")
    positive = tuple(a % ndim for a in axes)
    if not axes or len(set(positive)) < len(axes):
        raise ValueError(f"axis must name one or more distinct axes, got {axis!r}")
    return positive


def as_integer(name: str, value: object, least: int | None = None) -> int:
    """Return `value` as an int, or raise TypeError or ValueError that names the argument."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    number = operator.index(value)
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def as_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return `shape` as a tuple of lengths of at least 1; an integer is one axis."""
    lengths = shape if isinstance(shape, Sequence) else (shape,)
    return tuple(as_integer("shape", n, least=1) for n in lengths)


def norm(x: Array, xp: Namespace) -> Array:
    """Euclidean norm along the last axis, which stays; no square overflows or underflows."""
    scale, relative = _scaled_norm(x, xp)
    return scale * relative


def cosine(a: Array, b: Array, xp: Namespace) -> Array:
    """Cosine similarity along the last axis; 0 for a zero vector."""
    lengths = norm(a, xp), norm(b, xp)
    a, b = (v / xp.where(n > 0, n, xp.ones_like(n)) for v, n in zip((a, b), lengths, strict=True))
    return xp.sum(a * b, axis=-1)


def float64_norm(x: Array, xp: Namespace) -> Array:
    """Euclidean norm along the last axis, in float64: that of float32 values may exceed float32."""
    scale, relative = _scaled_norm(x, xp)
    return (xp.astype(scale, xp.float64) * xp.astype(relative, xp.float64))[..., 0]


def _scaled_norm(x: Array, xp: Namespace) -> tuple[Array, Array]:
    scale = stop_gradient(xp.max(xp.abs(x), axis=-1, keepdims=True))
    scale = xp.where((scale > 0) & (scale < float("inf")), scale, xp.ones_like(scale))
    scaled = x / scale
    return scale, square_root(total(scaled * scaled, xp), xp)


def total(x: Array, xp: Namespace) -> Array:
    """Sum along the last axis, which stays with length 1.

    The second half is added to the first, again and again: an order of its own, so that the sum has
    the same bits on every backend and in every kernel. The error is that of pairwise summation.
    """
    size = int(x.shape[-1])
    while size > 1:
        half = size // 2
        folded = x[..., :half] + x[..., half : 2 * half]
        x = folded if size % 2 == 0 else xp.concat([folded, x[..., 2 * half :]], axis=-1)
        size -= half
    return x


def centred_direction(x: Array, xp: Namespace) -> Array:
    """Subtract the mean along the last axis and scale to norm 1."""
    centred = x - total(x, xp) / int(x.shape[-1])
    return centred / norm(centred, xp)


def _raise_not_finite(finite: Array, xp: Namespace) -> None:
    flat = xp.reshape(finite, (-1,))
    count = int(xp.sum(xp.astype(~flat, xp.int64)))
    position = int(xp.argmax(xp.astype(~flat, xp.int32)))
    index = []
    for length in reversed(finite.shape):
        position, rest = divmod(position, int(length))
        index.append(rest)
    raise ValueError(
        f"x must be finite, got {count} NaN or infinite values, the first at index "
        f"{tuple(reversed(index))}"
    )
