"""Frequencies: compact real Fourier, Hartley and cosine transforms."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Axis, as_integer, normalize_axis
from .._kernels import find
from .._namespace import Array, Namespace
from .base import Isometry

__all__ = [
    "Cosine",
    "Hartley",
    "RealFourier",
]


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
        fast = find("real_fourier", x)
        if fast:
            return fast(x, adjoint=False)
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
        y = y + 0.0  # -0 becomes 0: complex arithmetic keeps its sign here and loses it there
        fast = find("real_fourier", y)
        if fast:
            return fast(y, adjoint=True)
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
        return xp.fft.irfft(complex_array(real, imag, xp), n=n, axis=-1, norm="ortho")


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
        spectrum = xp.fft.fftn(
            complex_array(grid, xp.zeros_like(grid), xp), axes=axes, norm="ortho"
        )
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


def complex_array(real: Array, imag: Array, xp: Namespace) -> Array:
    """Join real and imaginary parts, in the precision that they have."""
    dtype = xp.complex64 if real.dtype == xp.float32 else xp.complex128
    unit = xp.asarray(1j, dtype=dtype, device=real.device)
    return real + unit * imag


def _dct(x: Array, xp: Namespace) -> Array:
    """Orthonormal DCT-II of the last axis through one FFT (Makhoul, 1980)."""
    fast = find("cosine", x)
    if fast:
        return fast(x, adjoint=False)
    n = int(x.shape[-1])
    folded = xp.concat([x[..., 0::2], xp.flip(x[..., 1::2], axis=-1)], axis=-1)
    spectrum = xp.fft.fft(complex_array(folded, xp.zeros_like(folded), xp), axis=-1)
    cosine, sine, scale = _dct_factors(n, x, xp)
    return scale * (xp.real(spectrum) * cosine + xp.imag(spectrum) * sine)


def _inverse_dct(y: Array, xp: Namespace) -> Array:
    fast = find("cosine", y)
    if fast:
        return fast(y, adjoint=True)
    n = int(y.shape[-1])
    cosine, sine, scale = _dct_factors(n, y, xp)
    a = y / scale
    b = xp.concat([xp.zeros_like(a[..., :1]), xp.flip(a[..., 1:], axis=-1)], axis=-1)
    # The spectrum of the folded vector is (a - i b) exp(i pi k / 2n).
    spectrum = complex_array(a * cosine + b * sine, a * sine - b * cosine, xp)
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
