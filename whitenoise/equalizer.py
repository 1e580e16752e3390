"""Whitening by equal statistics: an array takes over those of a reference noise, one by one.

Projections onto confidence sets leave an array at the edge of every interval, and hundreds of small
deviations on the same side are seen when they are pooled. Here the array gets the statistics that a
genuine draw of noise has: the texture synthesis of D. J. Heeger and J. R. Bergen ("Pyramid-based
texture analysis/synthesis", SIGGRAPH 1995), with white noise as the texture and the array in place
of the noise to start from. What is left over is found by `typicality`, and diluted with noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import as_integer, as_shape, as_vectors, cast
from ._namespace import Array, Namespace, array_namespace, tracks_gradient, uncompiled
from ._random import RandomSource
from .equal_statistics import all_steps
from .sets import report
from .verify import typicality

__all__ = ["EqualizationCertificate", "Equalizer"]

_TOWARDS = 0.3  # of the direction, added after a sweep
_SETTLING = 6  # sweeps at the end without that
_FIRST_NOISE = 1e-3  # beside the input: orders ties, and leaves nothing without energy
_DRAWS = 4  # of noise, of which the two most typical are used
_SHARES = tuple(k / 20 for k in range(20, -1, -1))


@dataclass(frozen=True)
class EqualizationCertificate:
    """What an `Equalizer` did; arrays have the batch shape.

    Attributes
    ----------
    cosine
        Cosine similarity of input and output.
    share
        Share of the variance of the output that the equalised input has: 1 without any dilution, 0
        where the output is fresh noise.
    pvalue
        Of `typicality`.
    untouched
        Whether the input was typical, and is the output.
    """

    cosine: Any
    share: Any
    pvalue: Any
    untouched: Any


class Equalizer:
    """Maps an array to one near its direction that passes `typicality`.

    An array that passes is returned as it is. Any other takes over, in `sweeps` rounds, the
    statistics of a draw of noise: correlations between the slices of each axis, energies of
    neighbouring frequencies, of the 8 x 8 block frequencies, of neighbouring places, means of
    slices, and the values. A little of the array's direction is added after each round but the last
    ones. The result u is mixed with another draw z, ``sqrt(a) u + sqrt(1 - a) z``, with the largest
    share a of 1, 0.95, ... 0.05 that passes; if none does, z is what remains.

    Parameters
    ----------
    shape
        Of one vector: the last axes of what is passed in.
    level
        Least p-value of what is returned, in (0, 0.1]. Genuine noise stays as it is but for a
        share of at most about `level`, that of the false alarms of `typicality`.
    sweeps
        Rounds.

    Notes
    -----
    Cost: `sweeps` sorts and ``6 sweeps`` Fourier transforms, and `typicality` of 26 arrays of this
    size in two batches, which holds them all in memory.

    Examples
    --------
    >>> import numpy as np
    >>> import whitenoise as wn
    >>> ramp = np.linspace(-1, 1, 1024).reshape(4, 16, 16)
    >>> y = Equalizer((4, 16, 16))(ramp, rng=0)
    >>> bool((y * ramp).sum() > 0), wn.typicality(y).pvalue >= 0.01
    (True, True)
    """

    def __init__(
        self, shape: int | Sequence[int], *, level: float = 0.01, sweeps: int = 15
    ) -> None:
        self.shape = as_shape(shape)
        if not self.shape:
            raise ValueError(f"shape must hold one or more lengths, got {shape!r}")
        if not 0 < level <= 0.1:
            raise ValueError(f"level must lie in (0, 0.1], got {level!r}")
        self.level = level
        self.sweeps = as_integer("sweeps", sweeps, least=_SETTLING + 1)
        self._axes = tuple(range(-len(self.shape), 0))

    def __repr__(self) -> str:
        return f"Equalizer({self.shape}, level={self.level}, sweeps={self.sweeps})"

    @uncompiled
    def __call__(self, x: Array, *, rng: Any = None, return_certificate: bool = False) -> Any:
        """Whiten `x`.

        Parameters
        ----------
        x
            Array of shape ``(..., *shape)`` and real floating dtype; not modified. Leading axes are
            independent. Its scale has no part in the result unless it is typical as it is.
        rng
            Draws the noise: None (fresh entropy), a seed, a ``numpy.random.Generator``, or a
            generator of the array's backend.
        return_certificate
            Whether to return an `EqualizationCertificate` too.

        Returns
        -------
        Array like `x`, and a certificate if asked for.

        Raises
        ------
        TypeError, ValueError
            As `project`, if the last axes of `x` are not `shape`, or if `x` is being
            differentiated, for which sorting and testing have no derivative.
        """
        array_namespace(x)
        if tuple(x.shape)[-len(self.shape) :] != self.shape:
            raise ValueError(f"x must have shape (..., *{self.shape}), got {tuple(x.shape)}")
        if tracks_gradient(x):
            raise ValueError(
                "x must not require a gradient, which the result has none of; detach it"
            )
        vectors = as_vectors(x, self._axes)
        xp = vectors.xp
        grid = xp.reshape(vectors.data, x.shape)

        def judge(y: Array) -> Any:
            # As it will be returned: rounded to the dtype of x.
            return typicality(cast(y, x.dtype, xp), self._axes).pvalues

        y, certificate = self._whitened(grid, judge, xp, RandomSource(rng, grid))
        result = cast(y, x.dtype, xp)
        return (result, certificate) if return_certificate else result

    def _whitened(
        self, x: Array, judge: Callable[[Array], Any], xp: Namespace, source: RandomSource
    ) -> tuple[Array, EqualizationCertificate]:
        draws = [source.stream().normal(tuple(x.shape)) for _ in range(_DRAWS)]
        own, *pvalues = judge(xp.stack([x, *draws]))
        untouched = own >= self.level
        if np.all(untouched):
            whole = np.ones(untouched.shape)
            return x, EqualizationCertificate(self._cosine(x, x, xp), whole, own, untouched)
        order = np.argsort(np.stack(pvalues), axis=0)
        z, other = (self._taken(draws, order[-rank], xp) for rank in (1, 2))
        u = self._equalized(x, z, xp)
        mixtures = [a**0.5 * u + (1 - a) ** 0.5 * other for a in _SHARES]
        found = judge(xp.stack(mixtures))
        # The first that passes is that of the largest share; the last one is noise alone.
        passes = found >= self.level
        passes[-1] = True
        chosen = passes.argmax(axis=0)
        y = self._taken([*mixtures, x], np.where(untouched, len(mixtures), chosen), xp)
        pvalue = np.where(untouched, own, np.take_along_axis(found, chosen[None], axis=0)[0])
        share = np.where(untouched, 1.0, np.asarray(_SHARES)[chosen])
        return y, EqualizationCertificate(self._cosine(x, y, xp), share, pvalue, untouched)

    def _taken(self, arrays: list[Array], which: Any, xp: Namespace) -> Array:
        """Take each vector of a batch from the array that its number says."""
        taken = arrays[0]
        for number, array in enumerate(arrays[1:], 1):
            here = xp.asarray((which == number).tolist(), dtype=xp.bool, device=array.device)
            here = xp.reshape(here, (*here.shape, *[1] * len(self.shape)))
            taken = xp.where(here, array, taken)
        return taken

    def _cosine(self, x: Array, y: Array, xp: Namespace) -> Any:
        a, b = (xp.astype(v, xp.float64) for v in (x, y))
        inner, first, second = (xp.sum(v, axis=self._axes) for v in (a * b, a * a, b * b))
        return report(inner / xp.sqrt(xp.where(first > 0, first, 1.0) * second))

    def _equalized(self, x: Array, z: Array, xp: Namespace) -> Array:
        """Give `x` the statistics of `z`."""
        largest = xp.max(xp.abs(x), axis=self._axes, keepdims=True)
        x = x / xp.where(largest > 0, largest, xp.ones_like(largest))
        energy = xp.mean(x * x, axis=self._axes, keepdims=True)
        x = x / xp.sqrt(xp.where(energy > 0, energy, xp.ones_like(energy)))
        steps = all_steps(z, self.shape, xp)
        y = x + _FIRST_NOISE * z
        for sweep in range(self.sweeps):
            for step in steps:
                y = step(y)
            if sweep < self.sweeps - _SETTLING:
                y = y + _TOWARDS * x
        return y
