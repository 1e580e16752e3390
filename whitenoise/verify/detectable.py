"""How large an effect must be to be found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from .._arrays import as_shape
from .joining import rate_of
from .run import battery
from .view import Layout

__all__ = ["Detectable", "detectable"]


@dataclass(frozen=True)
class Detectable:
    """Smallest effects that `typicality` finds with the stated power, each by itself."""

    shape: tuple[int, ...]
    level: float
    power: float
    mean: float
    """Shift of the mean, in standard deviations, of either sign."""
    scale_up: float
    """Factor above 1 on all values."""
    scale_down: float
    """Factor below 1 on all values."""
    correlation: float
    """Correlation of neighbours along one axis, of either sign."""
    sine: float
    """Amplitude of a sine, in standard deviations, at a frequency of the flattened array."""

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return (
            f"{shape} at level {self.level:g}, found with probability {self.power:g}: mean of "
            f"{self.mean:.2g}, scale of {self.scale_up:.4g} or {self.scale_down:.4g}, correlation "
            f"of neighbours of {self.correlation:.2g}, sine of amplitude {self.sine:.2g}"
        )


def detectable(shape: int | Sequence[int], level: float = 1e-3, power: float = 0.9) -> Detectable:
    """Return how large a mean, scale, correlation or sine must be to be found.

    Parameters
    ----------
    shape
        Shape of the array, of float64 values.
    level
        Probability of a false alarm, in (0, 1): an array is rejected if its p-value is smaller.
    power
        Probability of rejection, in (0, 1).

    Returns
    -------
    Detectable
        Each effect from the power of the one statistic made for it, at its share of the level.
        Other statistics can only find it earlier. Exact for mean and scale; for the correlation and
        the sine the law under the alternative is the normal one.

    Raises
    ------
    ValueError
        If `level` or `power` is outside (0, 1), or `shape` has fewer than 64 values.

    Examples
    --------
    >>> limits = detectable((16, 64, 64))
    >>> round(limits.mean, 3), round(limits.scale_up, 3)
    (0.021, 1.015)
    """
    lengths = as_shape(shape)
    for name, value in (("level", level), ("power", power)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")
    n = math.prod(lengths)
    if n < 64:
        raise ValueError(f"shape must hold at least 64 values, got {lengths}")
    shares = battery(Layout(lengths, "float64")).shares()
    rate = rate_of(level)

    def tail(family: str, statistic: str) -> float:
        return min(rate * shares[family, statistic], 1.0)

    reach = special.ndtri(power)
    mean = (reach - special.ndtri(tail("marginal", "mean") / 2)) / math.sqrt(n)
    energy = tail("marginal", "energy") / 2
    law = stats.chi2(n)
    up = math.sqrt(law.isf(energy) / law.isf(power))
    down = math.sqrt(law.ppf(energy) / law.ppf(power))
    axis = max(range(len(lengths)), key=lambda a: lengths[a])
    lag: object = tuple(int(a == axis) for a in range(len(lengths)))
    lag = lag if len(lengths) > 1 else 1
    correlation = math.inf  # no lag is tested if no axis is longer than 2
    if ("autocorrelation", f"autocorrelation at lag {lag}") in shares:
        near = tail("autocorrelation", f"autocorrelation at lag {lag}")
        correlation = (reach - special.ndtri(near / 2)) / math.sqrt(n)
    line = tail("spectrum", "largest frequency") / ((n - 1) // 2)
    height = -2 * math.log(line)  # of twice an ordinate, chi-square with two degrees of freedom
    excess = optimize.brentq(lambda e: stats.ncx2.sf(height, 2, e) - power, 1e-9, 1e6)
    return Detectable(
        lengths,
        float(level),
        float(power),
        mean=float(mean),
        scale_up=up,
        scale_down=down,
        correlation=float(correlation),
        sine=float(np.sqrt(2 * excess / n)),
    )
