"""Giving an array one statistic of another: the steps of `Equalizer`.

Each class measures a reference once, and then changes any array, by little, to have the same.
Arrays have shape ``(..., *shape)``, grids behind any batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ._namespace import Array, Namespace
from .isometries import Cosine
from .isometries.fourier import complex_array

__all__ = ["Step", "all_steps"]

Step = Callable[[Array], Array]

_HELD = 128  # values in a window in which energies are compared
_BLOCK = 8  # of JPEG and of autoencoders
_TINY = 1e-30  # keeps the ratio of two energies that are nothing at 1


def all_steps(z: Array, shape: tuple[int, ...], xp: Namespace) -> list[Step]:
    """Return what gives an array each statistic of `z` in turn.

    Slices are compared where each holds at least twice as many values as there are slices: with
    fewer, the products of noise are far from a diagonal matrix, and taking over its eigenvectors
    costs half of the direction of an image. Blocks are where they divide the last two axes, and
    what all images have in common where these, the last two axes, are not all there is.
    """
    size, d = math.prod(shape), len(shape)
    windows = [_Window(shape, count, z, xp) for count in ((2, d) if d > 2 else (d,))]
    crossed = [axis for axis, length in enumerate(shape) if length > 1 and 2 * length**2 <= size]
    steps: list[Step] = [_Slices(z, axis - d, shape, xp) for axis in crossed]
    steps += [_Frequencies(z, window, xp) for window in windows]
    if d > 1 and not any(length % _BLOCK for length in shape[-2:]):
        steps.append(_Blocks(z, shape, xp))
    steps.append(_Places(z, windows[0], xp))
    magnitudes, _, _ = _magnitudes(z, d, xp)
    loudness: list[Step] = [_Slices(magnitudes, a - d, shape, xp) for a in crossed if a < d - 2]
    loudness += [_Frequencies(magnitudes, window, xp) for window in windows]
    steps += [_OfMagnitudes(step, d, xp) for step in loudness]
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
        largest = xp.max(values, axis=-1, keepdims=True)
        values = xp.maximum(values, xp.clip(1e-12 * largest, _TINY, None))
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
    """Means of energies over neighbours on a torus of the last axes, with Gaussian weights.

    Over the axes before these the energies are averaged.
    """

    def __init__(self, shape: tuple[int, ...], count: int, like: Array, xp: Namespace) -> None:
        self._shape, self._xp = shape[-count:], xp
        self._axes = tuple(range(-count, 0))
        self._others = tuple(range(-len(shape), -count))
        # Gaussian weights of standard deviation s count as (2 s sqrt(pi))^count equal ones.
        width = (_HELD / math.prod(shape[:-count])) ** (1 / count) / (2 * math.pi**0.5)
        transfer = xp.ones(self._shape, dtype=like.dtype, device=like.device)
        for axis, length in zip(self._axes, self._shape, strict=True):
            offsets = np.minimum(np.arange(length), length - np.arange(length))
            weights = np.exp(-0.5 * (offsets / min(width, length / 4)) ** 2)
            along = np.fft.fft(weights / weights.sum()).real
            along = xp.asarray(along.tolist(), dtype=like.dtype, device=like.device)
            transfer = transfer * xp.reshape(along, (-1, *[1] * (-1 - axis)))
        self._transfer = transfer

    def spectrum(self, y: Array) -> Array:
        """Return half of the Fourier transform over the axes; conjugation gives the other."""
        return self._xp.fft.rfftn(y, axes=self._axes)

    def array(self, spectrum: Array) -> Array:
        """Return the real array that has half a Fourier transform."""
        return self._xp.fft.irfftn(spectrum, s=self._shape, axes=self._axes)

    def of_places(self, y: Array) -> Array:
        """Return the mean energy around each place, positive."""
        half = self._transfer[..., : self._shape[-1] // 2 + 1]
        return self._positive(self.array(self.spectrum(self._common(y * y)) * half))

    def of_frequencies(self, spectrum: Array) -> Array:
        """Return the mean energy around each frequency of half a spectrum, positive."""
        xp = self._xp
        energies = self._common(xp.abs(spectrum) ** 2)
        autocorrelation = self.array(complex_array(energies, xp.zeros_like(energies), xp))
        return self._positive(xp.real(self.spectrum(autocorrelation * self._transfer)))

    def _common(self, energies: Array) -> Array:
        if not self._others:
            return energies
        return self._xp.mean(energies, axis=self._others, keepdims=True)

    def _positive(self, found: Array) -> Array:
        # Rounding leaves a little less than zero where there is nothing.
        largest = self._xp.max(found, axis=self._axes, keepdims=True)
        return self._xp.maximum(found, self._xp.clip(1e-6 * largest, _TINY, None))


class _Frequencies:
    """The energies of neighbouring frequencies."""

    def __init__(self, z: Array, window: _Window, xp: Namespace) -> None:
        self._window, self._xp = window, xp
        self._wanted = window.of_frequencies(window.spectrum(z))

    def __call__(self, y: Array) -> Array:
        spectrum = self._window.spectrum(y)
        gain = self._xp.sqrt(self._wanted / self._window.of_frequencies(spectrum))
        return self._window.array(spectrum * gain)


class _Places:
    """The energies of neighbouring places."""

    def __init__(self, z: Array, window: _Window, xp: Namespace) -> None:
        self._window, self._xp = window, xp
        self._wanted = window.of_places(z)

    def __call__(self, y: Array) -> Array:
        return y * self._xp.sqrt(self._wanted / self._window.of_places(y))


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


class _OfMagnitudes:
    """What a step does to the magnitudes less their mean, which are white too."""

    def __init__(self, step: Step, d: int, xp: Namespace) -> None:
        self._step, self._d, self._xp = step, d, xp

    def __call__(self, y: Array) -> Array:
        centred, mean, sign = _magnitudes(y, self._d, self._xp)
        return sign * self._xp.clip(self._step(centred) + mean, 0, None)


def _magnitudes(y: Array, d: int, xp: Namespace) -> tuple[Array, Array, Array]:
    """Magnitudes less their mean over the grid, that mean, and the signs."""
    magnitudes = xp.abs(y)
    mean = xp.mean(magnitudes, axis=tuple(range(-d, 0)), keepdims=True)
    return magnitudes - mean, mean, xp.sign(y)


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
