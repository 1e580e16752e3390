"""Orthogonal transforms, their adjoints, and the pullback of a projection through one.

An isometry maps the last axis of an array, of length N, to another vector of length N with the same
norm: white Gaussian noise stays white Gaussian noise. Those that need geometry (a grid of several
axes) are told its `shape`, whose product is N, and read the vector in C order.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ._arrays import Axis, as_integer, as_vectors, normalize_axis
from ._namespace import Array, Namespace, array_namespace, uncompiled

__all__ = [
    "Adjoint",
    "AxisPermutation",
    "BlockPermutation",
    "Butterfly",
    "Composition",
    "Cosine",
    "Hartley",
    "Identity",
    "Isometry",
    "Permutation",
    "RealFourier",
    "SignedPermutation",
    "pullback",
    "pulled_back",
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


@dataclass(frozen=True)
class RealFourier(Isometry):
    """Orthonormal Fourier transform of a real vector, packed into a real vector of equal length.

    ``[X_0, X_{N/2}, sqrt(2) Re X_k, sqrt(2) Im X_k]`` for ``k = 1 .. N/2 - 1``; without
    ``X_{N/2}`` if N is odd. Any N, O(N log N).

    References
    ----------
    Eqs. 111-112 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> RealFourier().forward(np.array([1.0, 1.0, 1.0, 1.0])).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """

    def apply(self, x: Array, xp: Namespace) -> Array:
        n = int(x.shape[-1])
        spectrum = xp.fft.rfft(x, axis=-1, norm="ortho")
        real, imag = xp.real(spectrum), xp.imag(spectrum)
        pairs = (n - 1) // 2
        root = math.sqrt(2)
        parts = [
            real[..., :1],
            real[..., pairs + 1 :],
            root * real[..., 1 : pairs + 1],
            root * imag[..., 1 : pairs + 1],
        ]
        return xp.concat(parts, axis=-1)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        n = int(y.shape[-1])
        pairs = (n - 1) // 2
        first = n - 2 * pairs  # the real coefficients: X_0 and, if N is even, X_{N/2}
        half = 1 / math.sqrt(2)
        real = xp.concat(
            [y[..., :1], half * y[..., first : first + pairs], y[..., 1:first]], axis=-1
        )
        imag = half * y[..., first + pairs :]
        zero = xp.zeros_like(y[..., :1])
        imag = xp.concat([zero, imag, zero[..., : first - 1]], axis=-1)
        return xp.fft.irfft(_complex(real, imag, xp), n=n, axis=-1, norm="ortho")


class _OnGrid(Isometry):
    """An isometry of vectors that are grids of a given `shape`."""

    def __init__(self, shape: tuple[int, ...], axes: Axis = None) -> None:
        self.shape = tuple(as_integer("shape", n, least=1) for n in shape)
        if not self.shape:
            raise ValueError(f"shape must hold one or more lengths, got {shape!r}")
        self.axes = normalize_axis(axes, len(self.shape))
        self.size = math.prod(self.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, axes={self.axes})"

    def apply(self, x: Array, xp: Namespace) -> Array:
        return self._on_grid(x, self._transform, xp)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return self._on_grid(y, self._inverse, xp)

    def _on_grid(
        self, x: Array, transform: Callable[[Array, tuple[int, ...], Namespace], Array], xp: Any
    ) -> Array:
        axes = tuple(axis - len(self.shape) for axis in self.axes)
        grid = xp.reshape(x, (*x.shape[:-1], *self.shape))
        return xp.reshape(transform(grid, axes, xp), x.shape)

    @abstractmethod
    def _transform(self, grid: Array, axes: tuple[int, ...], xp: Namespace) -> Array: ...

    @abstractmethod
    def _inverse(self, grid: Array, axes: tuple[int, ...], xp: Namespace) -> Array: ...


class Hartley(_OnGrid):
    """Orthonormal Hartley transform over several axes: ``Re X - Im X`` of the Fourier transform.

    A real, symmetric, orthogonal matrix for any lengths, and its own inverse.

    Parameters
    ----------
    shape
        Grid of the vector.
    axes
        Axes to transform; all if None.

    References
    ----------
    R. N. Bracewell, "Discrete Hartley transform", J. Opt. Soc. Am. 73 (1983).

    Examples
    --------
    >>> import numpy as np
    >>> q = Hartley((2, 2))
    >>> q.forward(np.array([1.0, 0.0, 0.0, 0.0])).round(12).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """

    def _transform(self, grid: Array, axes: tuple[int, ...], xp: Namespace) -> Array:
        spectrum = xp.fft.fftn(_complex(grid, xp.zeros_like(grid), xp), axes=axes, norm="ortho")
        return xp.real(spectrum) - xp.imag(spectrum)

    _inverse = _transform


class Cosine(_OnGrid):
    """Orthonormal cosine transform (DCT-II) over several axes, whole or in blocks.

    Parameters
    ----------
    shape
        Grid of the vector.
    axes
        Axes to transform; all if None.
    block
        Length of the blocks along each transformed axis, which it must divide; None transforms
        whole axes. ``Cosine((3, 64, 64), axes=(1, 2), block=8)`` is that of JPEG.

    Examples
    --------
    >>> import numpy as np
    >>> Cosine((4,)).forward(np.ones(4)).round(12).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, shape: tuple[int, ...], axes: Axis = None, block: int | None = None) -> None:
        super().__init__(shape, axes)
        self.block = block
        if block is not None:
            as_integer("block", block, least=1)
            uneven = [self.shape[a] for a in self.axes if self.shape[a] % block]
            if uneven:
                raise ValueError(f"block must divide the axes it cuts, got {block} for {uneven}")

    def __repr__(self) -> str:
        return f"Cosine(shape={self.shape}, axes={self.axes}, block={self.block})"

    def _transform(self, grid: Array, axes: tuple[int, ...], xp: Namespace) -> Array:
        return self._each_axis(grid, axes, _dct, xp)

    def _inverse(self, grid: Array, axes: tuple[int, ...], xp: Namespace) -> Array:
        return self._each_axis(grid, axes, _inverse_dct, xp)

    def _each_axis(
        self,
        grid: Array,
        axes: tuple[int, ...],
        transform: Callable[[Array, Namespace], Array],
        xp: Namespace,
    ) -> Array:
        for axis in axes:
            last = xp.moveaxis(grid, axis, -1)
            length = self.block or last.shape[-1]
            cut = xp.reshape(last, (*last.shape[:-1], -1, length))
            grid = xp.moveaxis(xp.reshape(transform(cut, xp), last.shape), -1, axis)
        return grid


@dataclass(frozen=True)
class Butterfly(Isometry):
    """Repeated sums and differences of neighbours: a Hadamard transform when repeated enough.

    One step maps a vector ``(a_1, b_1, a_2, b_2, ...)`` to all ``(a + b)/sqrt(2)`` followed by all
    ``(a - b)/sqrt(2)``; an odd entry out stays last. ``log2(N)`` steps are the Hadamard transform
    of a power of two N.

    Parameters
    ----------
    repeats
        Number of steps, at least 0.
    tile_size
        Cut the vector into tiles of this length, each transformed on its own, the shorter
        remainder as well; None treats the vector as one tile.

    References
    ----------
    Eq. 113 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> Butterfly(1).forward(np.array([3.0, 1.0, 0.0, 4.0, 5.0])).round(3).tolist()
    [2.828, 2.828, 1.414, -2.828, 5.0]
    """

    repeats: int
    tile_size: int | None = None

    def __post_init__(self) -> None:
        as_integer("repeats", self.repeats, least=0)
        if self.tile_size is not None:
            as_integer("tile_size", self.tile_size, least=1)

    def apply(self, x: Array, xp: Namespace) -> Array:
        return self._on_tiles(x, _butterfly, xp)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return self._on_tiles(y, _inverse_butterfly, xp)

    def _on_tiles(
        self, x: Array, step: Callable[[Array, Namespace], Array], xp: Namespace
    ) -> Array:
        n = int(x.shape[-1])
        tile = self.tile_size or n
        whole = n - n % tile
        parts = []
        if whole:
            tiles = xp.reshape(x[..., :whole], (*x.shape[:-1], -1, tile))
            for _ in range(self.repeats):
                tiles = step(tiles, xp)
            parts.append(xp.reshape(tiles, (*x.shape[:-1], whole)))
        if whole < n:
            rest = x[..., whole:]
            for _ in range(self.repeats):
                rest = step(rest, xp)
            parts.append(rest)
        return xp.concat(parts, axis=-1)


class Permutation(Isometry):
    """Reorders entries: ``forward(x)[k] = x[order[k]]``.

    Parameters
    ----------
    order
        The integers 0..N-1 in any order.

    Examples
    --------
    >>> import numpy as np
    >>> Permutation([2, 0, 1]).forward(np.array([10.0, 20.0, 30.0])).tolist()
    [30.0, 10.0, 20.0]
    """

    def __init__(self, order: Any) -> None:
        self.order = np.asarray(order)
        self.size = self.order.size
        if self.order.ndim != 1 or self.order.dtype.kind not in "iu":
            raise TypeError(f"order must be one sequence of integers, got {order!r}")
        if not np.array_equal(np.sort(self.order), np.arange(self.size)):
            raise ValueError(f"order must hold each of 0..{self.size - 1} once, got {order!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"

    @cached_property
    def _inverse_order(self) -> Any:
        return np.argsort(self.order)

    def apply(self, x: Array, xp: Namespace) -> Array:
        return xp.take(x, xp.asarray(self.order, device=x.device), axis=-1)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return xp.take(y, xp.asarray(self._inverse_order, device=y.device), axis=-1)


class AxisPermutation(Permutation):
    """Reads a grid in another order of its axes, so that chunks run along another one.

    Parameters
    ----------
    shape
        Grid of the vector.
    axes
        The axes in their new order, slowest first.

    Examples
    --------
    >>> import numpy as np
    >>> AxisPermutation((2, 3), (1, 0)).forward(np.arange(6.0)).tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
        positive = normalize_axis(axes, len(shape))
        if len(positive) != len(shape):
            raise ValueError(f"axes must name every axis of {shape}, got {axes!r}")
        index = np.arange(math.prod(shape)).reshape(shape)
        super().__init__(index.transpose(positive).reshape(-1))


class BlockPermutation(Permutation):
    """Reads a grid block by block, so that a chunk is a block of neighbours.

    Parameters
    ----------
    shape
        Grid of the vector.
    block
        Lengths of the blocks; the last blocks of an axis that they do not divide are shorter.

    Examples
    --------
    >>> import numpy as np
    >>> BlockPermutation((2, 4), (2, 2)).forward(np.arange(8.0)).tolist()
    [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]
    """

    def __init__(self, shape: tuple[int, ...], block: tuple[int, ...]) -> None:
        if len(block) != len(shape) or min(block, default=1) < 1:
            raise ValueError(f"block must hold {len(shape)} lengths of at least 1, got {block!r}")
        places = np.indices(shape).reshape(len(shape), -1)
        steps = np.asarray(block)[:, None]
        # Sort by block first, by place in the block second, in C order each.
        super().__init__(np.lexsort([*(places % steps)[::-1], *(places // steps)[::-1]]))


class SignedPermutation(Isometry):
    """A random order and random signs, fixed by a seed.

    Parameters
    ----------
    size
        Length of the vector.
    seed
        Seed of ``numpy.random.default_rng``.

    Examples
    --------
    >>> import numpy as np
    >>> q = SignedPermutation(4, seed=0)
    >>> bool(np.allclose(q.adjoint(q.forward(np.arange(4.0))), np.arange(4.0)))
    True
    """

    def __init__(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.seed = seed
        self._permutation = Permutation(rng.permutation(size))
        self._signs = rng.choice([-1.0, 1.0], size)
        self.size = size

    def __repr__(self) -> str:
        return f"SignedPermutation(size={self.size}, seed={self.seed})"

    def apply(self, x: Array, xp: Namespace) -> Array:
        return self._permutation.apply(x, xp) * self._signs_beside(x, xp)

    def apply_adjoint(self, y: Array, xp: Namespace) -> Array:
        return self._permutation.apply_adjoint(y * self._signs_beside(y, xp), xp)

    def _signs_beside(self, x: Array, xp: Namespace) -> Array:
        return xp.asarray(self._signs, dtype=x.dtype, device=x.device)


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
    >>> import functools
    >>> import numpy as np
    >>> from whitenoise.projections import project_1os
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
        restored = vectors.restore(pulled_back(vectors.data, seen, y, isometry, xp))
        return (restored, *certificate) if return_certificate else restored

    return projected


def pulled_back(data: Array, seen: Array, y: Array, isometry: Isometry, xp: Namespace) -> Array:
    """Map `y`, the image of ``seen = Q data``, back; vectors it left alone keep every bit."""
    kept = xp.all(y == seen, axis=-1, keepdims=True)
    return xp.where(kept, data, isometry.apply_adjoint(y, xp))


def _complex(real: Array, imag: Array, xp: Namespace) -> Array:
    unit = xp.asarray(1j, dtype=xp.complex64 if real.dtype == xp.float32 else xp.complex128)
    return real + unit * imag


def _butterfly(x: Array, xp: Namespace) -> Array:
    even = x.shape[-1] // 2 * 2
    a, b = x[..., 0:even:2], x[..., 1:even:2]
    scale = math.sqrt(0.5)
    return xp.concat([scale * (a + b), scale * (a - b), x[..., even:]], axis=-1)


def _inverse_butterfly(y: Array, xp: Namespace) -> Array:
    half = y.shape[-1] // 2
    total, difference = y[..., :half], y[..., half : 2 * half]
    scale = math.sqrt(0.5)
    pairs = xp.stack([scale * (total + difference), scale * (total - difference)], axis=-1)
    return xp.concat([xp.reshape(pairs, (*y.shape[:-1], 2 * half)), y[..., 2 * half :]], axis=-1)


def _dct(x: Array, xp: Namespace) -> Array:
    """Orthonormal DCT-II of the last axis through one FFT (Makhoul, 1980)."""
    n = int(x.shape[-1])
    folded = xp.concat([x[..., 0::2], xp.flip(x[..., 1::2], axis=-1)], axis=-1)
    spectrum = xp.fft.fft(_complex(folded, xp.zeros_like(folded), xp), axis=-1)
    cosine, sine, scale = _dct_factors(n, x, xp)
    return scale * (xp.real(spectrum) * cosine + xp.imag(spectrum) * sine)


def _inverse_dct(y: Array, xp: Namespace) -> Array:
    n = int(y.shape[-1])
    cosine, sine, scale = _dct_factors(n, y, xp)
    a = y / scale
    b = xp.concat([xp.zeros_like(a[..., :1]), xp.flip(a[..., 1:], axis=-1)], axis=-1)
    # The spectrum of the folded vector is (a - i b) exp(i pi k / 2n).
    spectrum = _complex(a * cosine + b * sine, a * sine - b * cosine, xp)
    folded = xp.real(xp.fft.ifft(spectrum, axis=-1))
    half = (n + 1) // 2
    evens, odds = folded[..., :half], xp.flip(folded[..., half:], axis=-1)
    last = evens[..., odds.shape[-1] :]  # one entry if n is odd
    pairs = xp.stack([evens[..., : odds.shape[-1]], odds], axis=-1)
    return xp.concat([xp.reshape(pairs, (*y.shape[:-1], -1)), last], axis=-1)


def _dct_factors(n: int, like: Array, xp: Namespace) -> tuple[Array, Array, Array]:
    angle = np.pi * np.arange(n) / (2 * n)
    scale = np.where(np.arange(n) == 0, np.sqrt(1 / n), np.sqrt(2 / n))
    factors = (np.cos(angle), np.sin(angle), scale)
    cosine, sine, scale = (xp.asarray(f, dtype=like.dtype, device=like.device) for f in factors)
    return cosine, sine, scale
