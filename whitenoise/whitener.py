"""The whitening operator: presets by name, or projections onto confidence sets of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ._arrays import (
    Axis,
    Vectors,
    as_integer,
    as_last_vectors,
    as_shape,
    as_vectors,
    cosine,
    float64_norm,
    norm,
)
from ._kernels import kernel_path
from ._namespace import (
    Array,
    Namespace,
    refuse_capture,
    stop_gradient,
    uncompiled,
)
from ._random import RandomSource
from .equalizer import Equalizer
from .presets import PRESETS, EqualStatistics, preset_stages, versioned
from .sets import DEFAULT_LEVEL, report
from .stages import Stage, StageCertificate, as_stage, sweep

__all__ = ["Whitener", "WhiteningCertificate", "whiten"]

_CONVERGED = 1e-3  # relative move of a sweep below which sweeps stop
_MAX_SWEEPS = 50
_ASCENT_STEP = 0.3


@dataclass(frozen=True)
class WhiteningCertificate:
    """What projections did; arrays have the batch shape.

    Attributes
    ----------
    cosine
        Cosine between input and output: how much of the direction is kept.
    distance
        Euclidean distance between input and output.
    sweeps
        Sweeps made, refinement included.
    converged
        Whether the last sweep moved every vector by less than 0.1 % of ``sqrt(N)``.
    stages
        For each stage, how far the output is from its set.
    """

    cosine: Any
    distance: Any
    sweeps: int
    converged: bool
    stages: tuple[StageCertificate, ...]

    @property
    def worst(self) -> StageCertificate:
        """The stage whose set is farthest."""
        return max(self.stages, key=lambda stage: float(np.max(stage.distance)))

    def __str__(self) -> str:
        inside = sum(bool(np.all(stage.inside)) for stage in self.stages)
        return (
            f"cosine {np.min(self.cosine):.6f}, distance {np.max(self.distance):.4g}, "
            f"sweeps {self.sweeps}{'' if self.converged else ' (not converged)'}, "
            f"inside {inside} of {len(self.stages)} sets, "
            f"farthest {np.max(self.worst.distance):.3g}"
        )


class Whitener:
    """Maps arrays to typical white Gaussian noise.

    The preset ``"default"`` gives an array the statistics of a draw of noise until `typicality`
    finds no fault with it: see `Equalizer`. The other presets, and stages of one's own, project
    onto confidence sets in turn, which is faster and can be differentiated.

    Parameters
    ----------
    shape
        Shape of one array, or its length; calls take arrays of shape ``(..., *shape)``.
    preset
        Name in `presets.PRESETS`, with a version or without one, which stands for the last;
        ignored if `stages` is given.
    stages
        The projections to make, in order: sets, `Stage` objects or ``(isometry, set)`` pairs.
    confidence_level
        Pointwise level of the preset's sets, in (0, 1); 0.9999 if None. Not allowed with `stages`,
        which have their own, nor with ``"default"``, which has none.
    sweeps
        How often to go through the stages: a number, ``"converge"`` (until a sweep moves the
        result by less than 0.1 % of ``sqrt(N)``, at most 50 times), or None for the preset's own.
        Rounds of the `Equalizer` with ``"default"``.
    refine
        Of projections only:
        Steps of alignment ascent: ``z <- sweep(z + 0.3 x)`` with x scaled to norm ``sqrt(N)``,
        followed by the sweeps asked for. Raises the cosine to the input at the same typicality; a
        vector for which it does not keeps its unrefined result.

    Raises
    ------
    ValueError
        If an argument is out of its range, or a stage is not defined for the shape.

    Notes
    -----
    One sweep of projections costs O(N log N) a stage. Alternating projections onto sets that are
    not convex need not converge to a point of all of them, nor to the nearest one: the certificate
    says how far the result is from each. Gradients flow through the projections (their
    almost-everywhere Jacobian), not through ``"default"``.

    References
    ----------
    Sections 4 and B of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> W = Whitener((16, 16), preset="paper")
    >>> x = np.sin(np.arange(3 * 256.0)).reshape(3, 16, 16)        # three arrays
    >>> y, certificate = W(x, rng=0, return_certificate=True)
    >>> y.shape, certificate.cosine.shape, len(certificate.stages)
    ((3, 16, 16), (3,), 20)
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        preset: str = "default",
        stages: Sequence[Any] | None = None,
        confidence_level: float | None = None,
        sweeps: int | str | None = None,
        refine: int = 0,
    ) -> None:
        self.shape = as_shape(shape)
        if not self.shape:
            raise ValueError(f"shape must hold one or more lengths, got {shape!r}")
        self.size = math.prod(self.shape)
        self.refine = as_integer("refine", refine, least=0)
        if isinstance(sweeps, str) and sweeps != "converge":
            raise ValueError(f"sweeps must be a number or 'converge', got {sweeps!r}")
        self._equalizer: Equalizer | None = None
        if stages is None:
            chosen = PRESETS[versioned(preset)]
            sweeps = chosen.sweeps if sweeps is None else sweeps
            if isinstance(chosen, EqualStatistics):
                sweeps = _rounds(preset, confidence_level, sweeps, refine)
                self.stages: tuple[Stage, ...] = ()
                self._equalizer = Equalizer(self.shape, level=chosen.level, sweeps=sweeps)
            else:
                level = DEFAULT_LEVEL if confidence_level is None else confidence_level
                self.stages = preset_stages(chosen, self.size, level)
        else:
            if confidence_level is not None:
                raise ValueError("confidence_level belongs to the stages when stages are given")
            self.stages = tuple(as_stage(stage) for stage in stages)
            if not self.stages:
                raise ValueError("stages must hold one or more stages, got none")
            sweeps = 1 if sweeps is None else sweeps
        for stage in self.stages:
            stage.check_size(self.size)
        self.sweeps = sweeps if isinstance(sweeps, str) else as_integer("sweeps", sweeps, least=1)

    def __repr__(self) -> str:
        if self._equalizer is not None:
            return f"Whitener({self.shape}, equal statistics, sweeps={self.sweeps!r})"
        return (
            f"Whitener({self.shape}, {len(self.stages)} stages, sweeps={self.sweeps!r}, "
            f"refine={self.refine})"
        )

    @uncompiled
    def __call__(
        self,
        x: Array,
        *,
        rng: Any = None,
        return_certificate: bool = False,
        check_finite: bool = True,
    ) -> Any:
        """Whiten `x`.

        Parameters
        ----------
        x
            Array of shape ``(..., *shape)`` and real floating dtype; not modified. Leading axes are
            independent.
        rng
            Draws the noise whose statistics are taken over; breaks ties of projections and
            replaces constant tiles: None (fresh entropy), a seed, a
            ``numpy.random.Generator``, or a generator of the array's backend. Ties need not be in
            `x`: entries that a stage moves to one bound tie in the next, so results for inputs far
            from noise repeat only with a seed and the same batch.
        return_certificate
            Whether to return a certificate too, of projections at the cost of one more sweep.
        check_finite
            Whether to refuse NaN and infinity, for which a GPU is waited for. If False, a vector
            that holds any comes back as NaN, and the others as if it were zero: this, a number of
            `sweeps` of projections and no certificate make a call that a CUDA graph can capture.

        Returns
        -------
        Array like `x`, and if asked for a `WhiteningCertificate` of projections or an
        `EqualizationCertificate` of ``"default"``.

        Raises
        ------
        TypeError, ValueError
            As `project`, and if the last axes of `x` are not `shape`.
        """
        vectors = as_last_vectors(x, self.shape, check_finite=check_finite)
        return self.whiten_vectors(vectors, rng, return_certificate)

    def whiten_vectors(self, vectors: Vectors, rng: Any, return_certificate: bool) -> Any:
        """Whiten checked vectors of the right size; their shape counts for ``"default"``."""
        if self._equalizer is not None:
            return self._equalizer.whiten_vectors(vectors, rng, return_certificate)
        if kernel_path(vectors.data) != "generic":
            vectors = vectors.hosted()
        xp, source = vectors.xp, RandomSource(rng, vectors.data, vectors.original)
        y, sweeps, converged = self._sweep(vectors.data, xp, source)
        if self.refine:
            before = converged
            refined, more, settled = self._refined(vectors.data, y, xp, source)
            better = cosine(refined, vectors.data, xp) > cosine(y, vectors.data, xp)
            y = xp.where(better[..., None], refined, y)
            sweeps, converged = sweeps + more, lambda: before() and settled()
        result = vectors.restore(y)
        if not return_certificate:
            return result
        certificate = WhiteningCertificate(
            cosine=report(cosine(y, vectors.data, xp)),
            distance=report(float64_norm(y - vectors.data, xp)),
            sweeps=sweeps,
            converged=converged(),
            stages=tuple(stage.certify(y, xp, source) for stage in self.stages),
        )
        return result, certificate

    @uncompiled
    def certify(self, x: Array, *, rng: Any = None) -> tuple[StageCertificate, ...]:
        """Say how far `x`, which need not be a result of this operator, is from each stage's set.

        Parameters
        ----------
        x, rng
            As in a call.

        Returns
        -------
        tuple of StageCertificate, one a stage; none for ``"default"``, which has no sets.

        Examples
        --------
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).standard_normal((16, 16))
        >>> stages = Whitener((16, 16), preset="paper").certify(noise)
        >>> sum(bool(stage.inside) for stage in stages), len(stages)
        (20, 20)
        """
        vectors = as_last_vectors(x, self.shape)
        source = RandomSource(rng, vectors.data)
        return tuple(stage.certify(vectors.data, vectors.xp, source) for stage in self.stages)

    def _sweep(
        self, y: Array, xp: Namespace, source: RandomSource
    ) -> tuple[Array, int, Callable[[], bool]]:
        """Sweep as often as asked; return the result, the sweeps made and whether it converged."""
        if self.sweeps != "converge":
            before = y
            for _ in range(int(self.sweeps)):
                before, y = y, sweep(self.stages, y, xp, source)
            return y, int(self.sweeps), lambda: bool(xp.all(self._settled(before, y, xp)))
        refuse_capture(y, 'sweeps="converge"', "a number of sweeps")
        moving = xp.ones(y.shape[:-1], dtype=xp.bool, device=y.device)
        made = 0
        while made < _MAX_SWEEPS and bool(xp.any(moving)):
            swept = sweep(self.stages, y, xp, source)
            made += 1
            settled = self._settled(y, swept, xp)
            # What has settled stays: each vector of a batch ends as it would alone.
            y = xp.where(moving[..., None], swept, y)
            moving = moving & ~settled
        return y, made, lambda: not bool(xp.any(moving))

    def _settled(self, before: Array, after: Array, xp: Namespace) -> Array:
        """Whether a sweep moved each vector by little."""
        move = float64_norm(stop_gradient(after - before), xp)
        return move <= _CONVERGED * self.size**0.5

    def _refined(
        self, x: Array, y: Array, xp: Namespace, source: RandomSource
    ) -> tuple[Array, int, Callable[[], bool]]:
        length = norm(x, xp)
        direction = x / xp.where(length > 0, length, xp.ones_like(length)) * self.size**0.5
        for _ in range(self.refine):
            y = sweep(self.stages, y + _ASCENT_STEP * direction, xp, source)
        y, sweeps, converged = self._sweep(y, xp, source)
        return y, self.refine + sweeps, converged


def _rounds(preset: str, confidence_level: float | None, sweeps: int | str, refine: int) -> int:
    """Return `sweeps` if nothing was given that only projections have a use for."""
    others = f"is for presets of projections, which {preset!r} is not"
    if confidence_level is not None:
        raise ValueError(f"confidence_level {others}")
    if refine:
        raise ValueError(f"refine {others}")
    if isinstance(sweeps, str):
        raise ValueError(f"sweeps={sweeps!r} {others}")
    return sweeps


@uncompiled
def whiten(
    x: Array,
    *,
    axis: Axis = None,
    preset: str = "default",
    confidence_level: float | None = None,
    rng: Any = None,
    check_finite: bool = True,
) -> Array:
    """Map `x` to typical white Gaussian noise near its direction.

    Parameters
    ----------
    x
        Array of real floating dtype: NumPy, CuPy, Torch or array-api-strict; not modified. Its
        scale hardly matters.
    axis
        Axes that form one noise vector, in the order in which they are flattened; all if None. The
        others are a batch.
    preset
        Name in `presets.PRESETS`, see `Whitener`.
    confidence_level
        Pointwise level of the sets of a preset that has any, in (0, 1); 0.9999 if None.
    rng
        Draws noise and breaks ties, see `Whitener`.
    check_finite
        Whether to refuse NaN and infinity, see `Whitener.__call__`.

    Returns
    -------
    Array of the type, shape, dtype and device of `x`.

    See Also
    --------
    Whitener : the same with certificates, sweeps, refinement and stages of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.outer(np.arange(32.0), np.ones(32))                 # a ramp
    >>> y = whiten(x, rng=0)
    >>> y.shape, bool(abs(y.mean()) < 0.2), bool(abs(y.std() - 1) < 0.1)
    ((32, 32), True, True)
    """
    vectors = as_vectors(x, axis, check_finite=check_finite)
    operator = _cached_whitener(vectors.shape or 1, preset, confidence_level)
    return operator.whiten_vectors(vectors, rng, return_certificate=False)


@lru_cache(maxsize=64)
def _cached_whitener(
    shape: tuple[int, ...] | int, preset: str, confidence_level: float | None
) -> Whitener:
    return Whitener(shape, preset=preset, confidence_level=confidence_level)
