"""Whitening by equal statistics: an array takes over those of a reference noise, one by one.

Projections onto confidence sets leave an array at the edge of every interval, and hundreds of small
deviations on the same side are seen when they are pooled. Here the array gets the statistics that a
genuine draw of noise has: the texture synthesis of D. J. Heeger and J. R. Bergen ("Pyramid-based
texture analysis/synthesis", SIGGRAPH 1995), with white noise as the texture and the array in place
of the noise to start from. Between fresh noise, this result and the array lies a path, along which
`typicality` says how far one can go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Vectors, as_integer, as_last_vectors, as_shape, cosine
from ._kernels import kernel_path
from ._namespace import (
    Array,
    Namespace,
    array_namespace,
    dtype_name,
    refuse_capture,
    tracks_gradient,
    uncompiled,
)
from ._random import RandomSource
from .equal_statistics import all_steps
from .sets import report
from .verify.run import vector_pvalues

__all__ = ["EqualizationCertificate", "Equalizer"]

_TOWARDS = 0.5  # of the direction, added after a sweep
_SETTLING = 6  # sweeps at the end without that
_ALONE = 0.1  # of the level: arrays with this p-value stay as they are
_FIRST_NOISE = 1e-3  # beside the input: orders ties, and leaves nothing without energy

# From fresh noise over the equalised array towards the input: the share of variance that is not
# noise, and the part of the input that is added.
_PATH = (
    *((share, 0.0) for share in (0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0)),
    *((1.0, part) for part in (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21)),
)


@dataclass(frozen=True)
class EqualizationCertificate:
    """What an `Equalizer` did; arrays have the batch shape.

    Attributes
    ----------
    cosine
        Cosine similarity of input and output.
    share
        Share of the variance of the output that is not fresh noise: 1 without any dilution, 0 if
        nothing else passed.
    pvalue
        Of `typicality`.
    untouched
        Whether the input was typical, at a tenth of the level, and is the output.
    """

    cosine: Any
    share: Any
    pvalue: Any
    untouched: Any

    def __str__(self) -> str:
        return (
            f"cosine {np.min(self.cosine):.6f}, p-value {np.min(self.pvalue):.3g}, "
            f"share of fresh noise {1 - np.min(self.share):.2g}"
            f"{', typical as it was' if np.all(self.untouched) else ''}"
        )


class Equalizer:
    """Maps an array to one near its direction that passes `typicality`: the preset ``"default"``.

    An array that passes at a tenth of `level` is returned as it is. Any other takes over, in
    `sweeps` rounds, the statistics of a draw of noise: see `equal_statistics`. A part of the
    array's direction is added after each round but the last ones. From fresh noise e over the
    result u to the input x leads a path, ``sqrt(a) u + sqrt(1 - a) e`` and then
    ``(1 - t) u + t x``, scaled to the norm of the draw; of 16 points on it the output is the
    farthest that passes, sought by halving.

    Parameters
    ----------
    shape
        Of one vector: the last axes of what is passed in.
    level
        Least p-value of what is made, in (0, 0.1]. Where nothing on the path has it, e is returned:
        genuine noise. Genuine noise that comes in stays as it is but for a share of at most about
        ``level / 10``, that of the false alarms of `typicality`, and is else changed as anything.
    sweeps
        Rounds.

    Notes
    -----
    Cost: in each sweep a sort and some fifteen Fourier transforms, and `typicality` of five arrays.

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
        self, shape: int | Sequence[int], *, level: float = 0.01, sweeps: int = 10
    ) -> None:
        self.shape = as_shape(shape)
        if not self.shape:
            raise ValueError(f"shape must hold one or more lengths, got {shape!r}")
        if not 0 < level <= 0.1:
            raise ValueError(f"level must lie in (0, 0.1], got {level!r}")
        self.level = level
        self.sweeps = as_integer("sweeps", sweeps, least=1)

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
        return self.whiten_vectors(as_last_vectors(x, self.shape), rng, return_certificate)

    def whiten_vectors(self, vectors: Vectors, rng: Any, return_certificate: bool) -> Any:
        """Whiten checked vectors of the right shape."""
        refuse_capture(vectors.original, "testing for typicality", 'preset="paper"')
        if tracks_gradient(vectors.original):
            raise ValueError(
                "x must not require a gradient, which the result has none of; detach it, or take "
                'one of the presets of projections, such as "paper"'
            )
        if kernel_path(vectors.data) != "generic":
            vectors = vectors.hosted()
        source = RandomSource(rng, vectors.data, vectors.original)
        y, certificate = self._whitened(vectors, source)
        return (vectors.restore(y), certificate) if return_certificate else vectors.restore(y)

    def _whitened(
        self, vectors: Vectors, source: RandomSource
    ) -> tuple[Array, EqualizationCertificate]:
        x, xp = vectors.data, vectors.xp

        def pvalues(y: Array) -> Any:
            return vector_pvalues(vectors.rounded(y), self.shape, dtype_name(vectors.original))

        z, other = (source.stream().normal(tuple(x.shape)) for _ in range(2))
        own = pvalues(x)
        untouched = own >= _ALONE * self.level
        if np.all(untouched):
            whole = np.ones(untouched.shape)
            return x, EqualizationCertificate(_kept(x, x, xp), whole, own, untouched)
        direction = _unit(x, xp)
        path = _Path(other, self._equalized(direction, z), direction, _length(z, xp), xp)
        place, pvalue = self._farthest(path, pvalues, untouched.shape)
        y = xp.where(_column(untouched, x, xp), x, path(place))
        certificate = EqualizationCertificate(
            cosine=_kept(x, y, xp),
            share=np.where(untouched, 1.0, np.asarray(_PATH)[place, 0]),
            pvalue=np.where(untouched, own, pvalue),
            untouched=untouched,
        )
        return y, certificate

    def _farthest(self, path: _Path, pvalues: Any, batch: tuple[int, ...]) -> tuple[Any, Any]:
        """For each vector the farthest place of the path that passes, and its p-value."""
        place, pvalue = np.zeros(batch, dtype=np.int64), np.zeros(batch)
        step = len(_PATH)
        while step > 1:
            step //= 2
            found = pvalues(path(place + step))
            passes = found >= self.level
            place = np.where(passes, place + step, place)
            pvalue = np.where(passes, found, pvalue)
        nothing = place == 0
        if np.any(nothing):
            pvalue = np.where(nothing, pvalues(path(place)), pvalue)
        return place, pvalue

    def _equalized(self, x: Array, z: Array) -> Array:
        """Give `x` the statistics of `z`."""
        xp = array_namespace(x)
        grid = (*tuple(x.shape)[:-1], *self.shape)
        direction, reference = xp.reshape(x, grid), xp.reshape(z, grid)
        steps = all_steps(reference, self.shape, xp)
        y = direction + _FIRST_NOISE * reference
        for sweep in range(self.sweeps):
            for step in steps:
                y = step(y)
            if sweep < self.sweeps - _SETTLING:
                y = y + _TOWARDS * direction
        return xp.reshape(y, tuple(x.shape))


class _Path:
    """Fresh noise, the equalised array, the input: vectors by their place in `_PATH`."""

    def __init__(self, noise: Array, equal: Array, x: Array, length: Array, xp: Namespace) -> None:
        self._noise, self._equal, self._x, self._length, self._xp = noise, equal, x, length, xp

    def __call__(self, place: Any) -> Array:
        """Return the vector of the batch at each place."""
        xp = self._xp
        share, part = np.moveaxis(np.asarray(_PATH)[place], -1, 0)
        weights = (np.sqrt(1 - share), np.sqrt(share) * (1 - part), part)
        # Rounded once: where a sum of float32 cancels it has fewer bits than noise, which is seen.
        parts = (xp.astype(part, xp.float64) for part in (self._noise, self._equal, self._x))
        noise, equal, x = (_column(w, p, xp) * p for w, p in zip(weights, parts, strict=True))
        y = noise + equal + x
        return xp.astype(y * (self._length / _length(y, xp)), self._x.dtype)


def _column(values: Any, like: Array, xp: Namespace) -> Array:
    """Numbers of a batch as an array beside its vectors."""
    dtype = xp.bool if values.dtype == bool else like.dtype
    return xp.asarray(values[..., None].tolist(), dtype=dtype, device=like.device)


def _length(x: Array, xp: Namespace) -> Array:
    # Not `norm`, which sums in another order: the results of a version of a preset keep their bits.
    return xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))


def _unit(x: Array, xp: Namespace) -> Array:
    """Scale vectors to mean square 1; zero stays."""
    largest = xp.max(xp.abs(x), axis=-1, keepdims=True)
    x = x / xp.where(largest > 0, largest, xp.ones_like(largest))
    length = _length(x, xp)
    return x * (x.shape[-1] ** 0.5 / xp.where(length > 0, length, xp.ones_like(length)))


def _kept(x: Array, y: Array, xp: Namespace) -> Any:
    return report(cosine(xp.astype(x, xp.float64), xp.astype(y, xp.float64), xp))
