"""What an isometry is; identity, adjoint, composition; the pullback of a projection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._arrays import Axis, as_vectors
from .._namespace import Array, Namespace, array_namespace, uncompiled

__all__ = [
    "Adjoint",
    "Composition",
    "Identity",
    "Isometry",
    "pullback",
    "pulled_back",
    "same_vectors",
]


class Isometry(ABC):
    """A linear map of the last axis that preserves norms; its adjoint is its inverse.

    ``forward`` and ``adjoint`` keep type, shape, dtype and device, and work in float32 at least.
    ``a @ b`` applies `b` first; ``a.T`` swaps the two directions.
    """

    size: int | None = None
    """Length it is made for, or None if it takes any."""

    def forward(self, x: Array) -> Array:
        """Apply the transform Q along the last axis."""
        return self._checked(x, self.apply)

    def adjoint(self, y: Array) -> Array:
        """Apply the adjoint (and inverse) of Q along the last axis."""
        return self._checked(y, self.apply_adjoint)

    @abstractmethod
    def apply(self, x: Array, xp: Namespace) -> Array:
        """`forward` on a checked array of working dtype."""

    @abstractmethod
    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        """`adjoint` on a checked array of working dtype."""

    @property
    def T(self) -> Isometry:
        """The isometry whose forward is this one's adjoint."""
        return Adjoint(self)

    def __matmul__(self, other: Isometry) -> Composition:
        return Composition(self, other)

    def check_size(self, size: int) -> None:
        """Raise ValueError if vectors of length `size` do not fit."""
        if self.size is not None and size != self.size:
            raise ValueError(f"{self!r} takes vectors of length {self.size}, got {size}")

    @uncompiled
    def _checked(self, x: Array, transform: Callable[[Array, Namespace], Array]) -> Array:
        array_namespace(x)
        if x.ndim == 0:
            raise ValueError("x must have a last axis to transform, got shape ()")
        vectors = as_vectors(x, -1)
        self.check_size(vectors.size)
        return vectors.restore(transform(vectors.data, vectors.xp))


@dataclass(frozen=True)
class Identity(Isometry):
    """Leaves the vector as it is."""

    def apply(self, x: Array, xp: Namespace) -> Array:
        return x

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return y


@dataclass(frozen=True)
class Adjoint(Isometry):
    """The adjoint of `base`; also written ``base.T``."""

    base: Isometry

    @property
    def size(self) -> int | None:  # type: ignore[override]
        return self.base.size

    @property
    def T(self) -> Isometry:
        return self.base

    def apply(self, x: Array, xp: Namespace) -> Array:
        return self.base.apply_adjoint(x, xp)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return self.base.apply(y, xp)


class Composition(Isometry):
    """The product of isometries; the last one is applied first. Also written ``a @ b``.

    Examples
    --------
    >>> import numpy as np
    >>> from whitenoise.isometries import Butterfly
    >>> twice = Composition(Butterfly(1), Butterfly(1))
    >>> twice.forward(np.array([1.0, 0.0, 0.0, 0.0])).round(3).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """

    def __init__(self, *factors: Isometry) -> None:
        if not all(isinstance(f, Isometry) for f in factors):
            raise TypeError(f"factors must be isometries, got {factors!r}")
        sizes = {f.size for f in factors} - {None}
        if not factors or len(sizes) > 1:
            raise ValueError(f"factors must be one or more isometries of one size, got {factors!r}")
        self.factors = factors
        self.size = sizes.pop() if sizes else None

    def __repr__(self) -> str:
        return " @ ".join(map(repr, self.factors))

    def apply(self, x: Array, xp: Namespace) -> Array:
        for factor in reversed(self.factors):
            x = factor.apply(x, xp)
        return x

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        for factor in self.factors:
            y = factor.apply_adjoint(y, xp)
        return y


def pullback(projection: Callable[..., Any], isometry: Isometry) -> Callable[..., Any]:
    """Turn the projection onto a set C into that onto ``{x : Qx in C}``: ``Q^T P(Q x)``.

    Parameters
    ----------
    projection
        A ``project_*`` function with its own arguments bound, for example
        ``functools.partial(project_2os, chunk_size=16)``.
    isometry
        The isometry Q.

    Returns
    -------
    callable
        ``projected(x, *, axis=None, return_certificate=False, **options)`` with the meaning of
        `projection`, whose other options pass through.

    Notes
    -----
    Nearest points map to nearest points because Q keeps distances, so the certificate of the
    projection holds as it is.

    References
    ----------
    Eqs. 103-108 and Proposition B.5 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> from whitenoise import project_1os
    >>> from whitenoise.isometries import RealFourier
    >>> typical_spectrum = pullback(project_1os, RealFourier())
    >>> y = typical_spectrum(np.sin(np.arange(64.0)))
    >>> bool(np.abs(RealFourier().forward(y)).max() < 6)
    True
    """

    @uncompiled
    def projected(
        x: Array, *, axis: Axis = None, return_certificate: bool = False, **options: Any
    ) -> Any:
        vectors = as_vectors(x, axis)
        isometry.check_size(vectors.size)
        xp = vectors.xp
        seen = isometry.apply(vectors.data, xp)
        found = projection(seen, axis=-1, return_certificate=return_certificate, **options)
        y, *certificate = found if return_certificate else (found,)
        kept = same_vectors(seen, y, xp)
        restored = vectors.restore(pulled_back(vectors.data, kept, y, isometry, xp))
        return (restored, *certificate) if return_certificate else restored

    return projected


def pulled_back(data: Array, kept: Array, y: Array, isometry: Isometry, xp: Namespace) -> Array:
    """Map `y`, made from the image of `data`, back; vectors that are `kept` keep every bit."""
    return xp.where(kept, data, isometry.apply_adjoint(y, xp))


def same_vectors(a: Array, b: Array, xp: Namespace) -> Array:
    """Which vectors are equal in every entry, shape (..., 1)."""
    return xp.all(a == b, axis=-1, keepdims=True)
