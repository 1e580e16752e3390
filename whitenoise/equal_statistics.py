"""Giving an array one statistic of another: the steps of `Equalizer`.

Each class measures a reference once, and then changes any array, by little, to have the same.
Arrays have shape ``(..., *shape)``, grids behind any batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ._namespace import Array, Namespace
from .isometries import Cosine
from .isometries.fourier import complex_array

__all__ = ["Step", "all_steps"]

Step = Callable[[Array], Array]

_WIDTH = 1.5  # standard deviation of the windows in which energies are compared, in samples
_BLOCK = 8  # of JPEG and of autoencoders


def all_steps(z: Array, shape: tuple[int, ...], xp: Namespace) -> list[Step]:
    """Return what gives an array each statistic of `z` in turn.

    Slices are compared where there are at least as many values in each as there are slices, and
    blocks where they divide the last two axes.
    """
    size, d = math.prod(shape), len(shape)
    window = _Window(shape, z, xp)
    steps: list[Step] = [
        _Slices(z, axis - d, shape, xp)
        for axis, length in enumerate(shape)
        if 1 < length <= size // length
    ]
    steps.append(_Frequencies(z, window, xp))
    if d > 1 and not any(length % _BLOCK for length in shape[-2:]):
        steps.append(_Blocks(z, shape, xp))
    steps.append(_Places(z, window, xp))
    if d > 1:
        steps += [_Means(z, axis, d, xp) for axis in range(d)]
    return [*steps, _Values(z, shape, xp)]


class _Slices:
    """The inner products of the slices across an axis, as a matrix.

    With those of the array as A and those wanted as B, the slices are mixed by the symmetric matrix
    ``A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2)``: no array that has the products B is nearer
    (I. Olkin and F. Pukelsheim, "The distance between two random vectors with given dispersion
    matrices", Linear Algebra Appl. 48, 1982).
    """

    def __init__(self, z: Array, axis: int, shape: tuple[int, ...], xp: Namespace) -> None:
        self._axis, self._first, self._xp = axis, -len(shape), xp
        self._wanted = self._products(self._rows(z))

    def __call__(self, y: Array) -> Array:
        xp, rows = self._xp, self._rows(y)
        values, vectors = xp.linalg.eigh(self._products(rows))
        values = xp.clip(values, 1e-12 * xp.max(values, axis=-1, keepdims=True), None)
        root, inverse = (
            (vectors * (values**power)[..., None, :]) @ xp.matrix_transpose(vectors)
            for power in (0.5, -0.5)
        )
        inner, axes = xp.linalg.eigh(root @ self._wanted @ root)
        middle = (axes * xp.sqrt(xp.clip(inner, 0, None))[..., None, :]) @ xp.matrix_transpose(axes)
        mixed = xp.astype(inverse @ middle @ inverse, y.dtype) @ rows
        moved = xp.moveaxis(y, self._axis, self._first)
        return xp.moveaxis(xp.reshape(mixed, moved.shape), self._first, self._axis)

    def _rows(self, y: Array) -> Array:
        """The slices as rows, (..., slices, values)."""
        moved = self._xp.moveaxis(y, self._axis, self._first)
        batch = tuple(moved.shape)[: moved.ndim + self._first]
        return self._xp.reshape(moved, (*batch, moved.shape[self._first], -1))

    def _products(self, rows: Array) -> Array:
        found = rows @ self._xp.matrix_transpose(rows)
        return self._xp.astype(found, self._xp.float64)


class _Window:
    """Weighted means of neighbours on a torus, with Gaussian weights."""

    def __init__(self, shape: tuple[int, ...], like: Array, xp: Namespace) -> None:
        self.axes, self._xp = tuple(range(-len(shape), 0)), xp
        transfer = xp.ones(shape, dtype=like.dtype, device=like.device)
        for axis, length in zip(self.axes, shape, strict=True):
            frequency = xp.fft.fftfreq(length, device=like.device)
            width = min(_WIDTH, length / 4)
            along = xp.exp(-2 * (math.pi * width) ** 2 * xp.astype(frequency, like.dtype) ** 2)
            transfer = transfer * xp.reshape(along, (-1, *[1] * (-1 - axis)))
        self._transfer = transfer

    def spectrum(self, y: Array) -> Array:
        """Return the Fourier transform over the grid."""
        xp = self._xp
        return xp.fft.fftn(complex_array(y, xp.zeros_like(y), xp), axes=self.axes)

    def array(self, spectrum: Array) -> Array:
        """Return the real array that has a Fourier transform."""
        return self._xp.real(self._xp.fft.ifftn(spectrum, axes=self.axes))

    def mean(self, energies: Array) -> Array:
        """Return the means around each place, positive."""
        found = self.array(self.spectrum(energies) * self._transfer)
        largest = self._xp.max(found, axis=self.axes, keepdims=True)
        # Rounding leaves a little less than zero where there is nothing.
        return self._xp.where(found > 1e-6 * largest, found, 1e-6 * largest)


class _Frequencies:
    """The energies of neighbouring frequencies."""

    def __init__(self, z: Array, window: _Window, xp: Namespace) -> None:
        self._window, self._xp = window, xp
        self._wanted = window.mean(xp.abs(window.spectrum(z)) ** 2)

    def __call__(self, y: Array) -> Array:
        spectrum = self._window.spectrum(y)
        own = self._window.mean(self._xp.abs(spectrum) ** 2)
        return self._window.array(spectrum * self._xp.sqrt(self._wanted / own))


class _Places:
    """The energies of neighbouring places."""

    def __init__(self, z: Array, window: _Window, xp: Namespace) -> None:
        self._window, self._xp = window, xp
        self._wanted = window.mean(z * z)

    def __call__(self, y: Array) -> Array:
        return y * self._xp.sqrt(self._wanted / self._window.mean(y * y))


class _Blocks:
    """The energies of the frequencies of 8 x 8 blocks, each over all blocks."""

    def __init__(self, z: Array, shape: tuple[int, ...], xp: Namespace) -> None:
        self._isometry, self._xp = Cosine(shape, axes=(-2, -1), block=_BLOCK), xp
        self._flat, self._shape = (math.prod(shape),), shape
        self._blocks = (-1, shape[-2] // _BLOCK, _BLOCK, shape[-1] // _BLOCK, _BLOCK)
        self._wanted = self._energies(self._coefficients(z))

    def __call__(self, y: Array) -> Array:
        xp, found = self._xp, self._coefficients(y)
        own = self._energies(found)
        gain = xp.sqrt(self._wanted / xp.where(own > 0, own, xp.ones_like(own)))
        changed = xp.reshape(found * gain, (*self._batch(y), *self._flat))
        return xp.reshape(self._isometry.apply_adjoint(changed, xp), y.shape)

    def _batch(self, y: Array) -> tuple[int, ...]:
        return tuple(y.shape)[: y.ndim - len(self._shape)]

    def _coefficients(self, y: Array) -> Array:
        flat = self._xp.reshape(y, (*self._batch(y), *self._flat))
        return self._xp.reshape(
            self._isometry.apply(flat, self._xp), (*self._batch(y), *self._blocks)
        )

    def _energies(self, coefficients: Array) -> Array:
        return self._xp.mean(coefficients**2, axis=(-5, -4, -2), keepdims=True)


class _Means:
    """The means of the slices across an axis: no array that has them is nearer."""

    def __init__(self, z: Array, axis: int, d: int, xp: Namespace) -> None:
        self._others = tuple(other - d for other in range(d) if other != axis)
        self._xp = xp
        self._wanted = self._means(z)

    def __call__(self, y: Array) -> Array:
        return y + (self._wanted - self._means(y))

    def _means(self, y: Array) -> Array:
        return self._xp.mean(y, axis=self._others, keepdims=True)


class _Values:
    """The values themselves, in the order that the array has: no array with them is nearer."""

    def __init__(self, z: Array, shape: tuple[int, ...], xp: Namespace) -> None:
        self._xp, self._d, self._size = xp, len(shape), math.prod(shape)
        self._sorted = xp.sort(self._flat(z), axis=-1)

    def __call__(self, y: Array) -> Array:
        xp = self._xp
        ranks = xp.argsort(xp.argsort(self._flat(y), axis=-1), axis=-1)
        return xp.reshape(xp.take_along_axis(self._sorted, ranks, axis=-1), y.shape)

    def _flat(self, y: Array) -> Array:
        return self._xp.reshape(y, (*tuple(y.shape)[: y.ndim - self._d], self._size))
