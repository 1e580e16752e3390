"""Reference laws, evaluated from normal scores.

A probability ``p`` close to 1 cannot be written in floating point without losing its upper tail, so
the package never passes probabilities between functions. It passes *scores* ``s = ndtri(p)``, which
keep both tails: ``p = Phi(s)`` and ``1 - p = Phi(-s)`` are each known to full relative precision.
A law is then the increasing function ``s -> F^{-1}(Phi(s))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

FloatArray = NDArray[np.float64]

__all__ = ["STANDARD_NORMAL", "Chi", "ChiSquare", "Law", "StandardNormal", "beta_score"]


class Law(Protocol):
    """A continuous law on the real line, as the function from a normal score to its quantile."""

    @property
    def symmetric(self) -> bool:
        """Whether the law is symmetric about zero."""
        ...

    def quantile(self, score: FloatArray) -> FloatArray:
        """Return ``F^{-1}(Phi(score))``, elementwise, in double precision."""
        ...


@dataclass(frozen=True)
class StandardNormal:
    """The law N(0, 1), whose quantile at score ``s`` is ``s``.

    Examples
    --------
    >>> import numpy as np
    >>> StandardNormal().quantile(np.array([-1.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    @property
    def symmetric(self) -> bool:
        return True

    def quantile(self, score: FloatArray) -> FloatArray:
        return np.asarray(score, dtype=np.float64)


STANDARD_NORMAL = StandardNormal()


@dataclass(frozen=True)
class ChiSquare:
    """The chi-square law with `df` degrees of freedom.

    Parameters
    ----------
    df
        Degrees of freedom, at least 1.

    Examples
    --------
    The median of chi-square with 2 degrees of freedom is ``2 log 2``:

    >>> import numpy as np
    >>> bool(np.isclose(ChiSquare(2).quantile(np.array(0.0)), 2 * np.log(2), rtol=1e-14))
    True
    """

    df: int

    def __post_init__(self) -> None:
        if self.df < 1:
            raise ValueError(f"df must be at least 1, got {self.df}")

    @property
    def symmetric(self) -> bool:
        return False

    def quantile(self, score: FloatArray) -> FloatArray:
        tail = special.ndtr(-np.abs(score))
        shape = self.df / 2.0
        # Each side is inverted from its own small tail, so neither loses digits.
        below = special.gammaincinv(shape, tail)
        above = special.gammainccinv(shape, tail)
        return np.asarray(2.0 * np.where(np.asarray(score) < 0, below, above), dtype=np.float64)


@dataclass(frozen=True)
class Chi:
    """The law of the norm of a `df`-dimensional standard normal vector: the root of chi-square.

    Distances between tiles are Euclidean in the norm, not in the energy, so the projection onto
    typical energies works with this law.
    """

    df: int

    @property
    def symmetric(self) -> bool:
        return False

    def quantile(self, score: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(ChiSquare(self.df).quantile(score)), dtype=np.float64)


def beta_score(score: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Map the score of a probability to the score of the Beta(a, b) quantile at that probability.

    ``beta_score(s, a, b) = Phi^{-1}(BetaInv(Phi(s); a, b))``: the score of the value that an order
    statistic takes, given the score of its own probability (Eq. 74 of the paper, in scores).

    Parameters
    ----------
    score, a, b
        Arrays that broadcast together; ``a, b > 0``.

    Returns
    -------
    ndarray of float64, the broadcast shape.
    """
    score, a, b = np.broadcast_arrays(
        np.asarray(score, np.float64), np.asarray(a, np.float64), np.asarray(b, np.float64)
    )
    # BetaInv(1 - p; a, b) = 1 - BetaInv(p; b, a): fold the upper half onto the lower.
    upper = score > 0
    a, b = np.where(upper, b, a), np.where(upper, a, b)
    tail = special.ndtr(-np.abs(score))
    value = special.betaincinv(a, b, tail)
    above_half = value > 0.5  # then work with 1 - value, which keeps its digits
    small = np.where(above_half, special.betainccinv(b, a, tail), value)
    for _ in range(_NEWTON_STEPS):
        small = small - _beta_residual(small, a, b, tail, above_half)
    lower = special.ndtri(small)
    lower = np.where(above_half, -lower, lower)
    return np.where(upper, -lower, lower)


# The inverse incomplete beta function of SciPy stops near 1e-8 relative for some shapes around
# (1e3, 2e6); Newton's iteration from there doubles the digits each time.
_NEWTON_STEPS = 2


def _beta_residual(
    small: FloatArray, a: FloatArray, b: FloatArray, tail: FloatArray, above_half: NDArray[np.bool_]
) -> FloatArray:
    """Newton step for ``I_x(a, b) = tail``, in ``x`` or, where `above_half`, in ``1 - x``."""
    excess = np.where(
        above_half, tail - special.betaincc(b, a, small), special.betainc(a, b, small) - tail
    )
    p, q = np.where(above_half, b, a), np.where(above_half, a, b)
    log_density = special.xlogy(p - 1, small) + special.xlog1py(q - 1, -small)
    return np.asarray(excess * np.exp(special.betaln(p, q) - log_density))
