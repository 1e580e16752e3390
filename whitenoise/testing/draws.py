"""What shows only over many draws: too much or too little variation, and what all have in common.

All null laws are exact for independent N(0, 1) values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._namespace import Array, array_namespace, to_numpy
from ..reference import FloatArray
from ..verify import Finding, TypicalityReport
from ..verify.laws import chi_square_scores, log_two_sided, sidak

__all__ = ["over_draws"]

_HUGE = 1e70


class _Test(NamedTuple):
    family: str
    statistic: str
    weight: float
    """Share of the false alarm, up to a common factor."""
    log_pvalue: float
    sentence: str
    where: Mapping[str, Any]


def over_draws(stack: Array, dtype: str) -> TypicalityReport:
    """Test the means and energies of draws, and of positions over the draws.

    Parameters
    ----------
    stack
        Draws of any backend in float64, shape ``(n, *shape)`` with `n` at least 2.
    dtype
        Name for the report of the dtype in which they were drawn.

    Returns
    -------
    TypicalityReport
        With the families ``"variation"`` (of the means and energies of the draws) and
        ``"positions"`` (what all draws have in common).
    """
    xp = array_namespace(stack)
    count, *shape = (int(length) for length in stack.shape)
    # No noise is near the bound, and the squares of anything below it are finite.
    data = xp.clip(xp.reshape(stack, (count, -1)), -_HUGE, _HUGE)
    size, squares = math.prod(shape), data * data
    sums, energies = (to_numpy(xp.sum(values, axis=1)) for values in (data, squares))
    tests = _variation(sums, energies, size)
    sums, energies = (to_numpy(xp.sum(values, axis=0)) for values in (data, squares))
    tests += _positions(sums, energies, count, tuple(shape))
    total = sum(test.weight for test in tests)
    findings = [
        Finding(t.family, t.statistic, t.log_pvalue, t.weight / total, t.sentence, t.where)
        for t in tests
    ]
    findings.sort(key=lambda f: f.log_pvalue - math.log(f.share))
    return TypicalityReport(
        shape=(count, *shape),
        batch=(),
        dtype=dtype,
        findings=tuple(findings),
        skipped={},
        log_pvalues=np.asarray(findings[0].log_adjusted),
        source=stack,
    )


def _variation(sums: FloatArray, energies: FloatArray, size: int) -> list[_Test]:
    """Means are N(0, 1/N), energies chi-square with N degrees of freedom, all independent."""
    return [
        _overall("variation", "means of draws", 2, sums / np.sqrt(size)),
        _overall("variation", "energies of draws", 2, chi_square_scores(energies, size)),
    ]


def _positions(
    sums: FloatArray, energies: FloatArray, count: int, shape: tuple[int, ...]
) -> list[_Test]:
    """Over the draws the mean at a position is N(0, 1/n), the energy chi-square with n degrees."""
    means = sums / np.sqrt(count)
    common = float(np.sum(means**2))
    scores = chi_square_scores(energies, count)
    at, peak = _largest(means)
    hot, hottest = _largest(scores)
    mean, energy = means[at] / np.sqrt(count), energies[hot] / count
    mean_at, energy_at = (tuple(int(i) for i in np.unravel_index(k, shape)) for k in (at, hot))
    return [
        _Test(
            "positions",
            "energy of the mean of the draws",
            2,
            float(log_two_sided(chi_square_scores(common, sums.size))),
            f"the mean of the draws has {common / sums.size:.3g} times the energy of chance",
            {},
        ),
        _Test(
            "positions",
            "mean at a position, largest",
            1,
            peak,
            f"the mean over the draws at {mean_at} is {mean:+.3g}",
            {"index": mean_at},
        ),
        _overall("positions", "energies of positions", 1, scores),
        _Test(
            "positions",
            "energy at a position, largest deviation",
            1,
            hottest,
            f"the mean square over the draws at {energy_at} is {energy:.3g}",
            {"index": energy_at},
        ),
    ]


def _overall(family: str, what: str, weight: float, scores: FloatArray) -> _Test:
    """Chi-square test of the sum of squared independent scores, two-sided."""
    ratio = float(np.mean(scores**2))
    return _Test(
        family,
        f"variation of the {what}",
        weight,
        float(log_two_sided(chi_square_scores(ratio * scores.size, scores.size))),
        f"the {what} vary {ratio:.3g} times as much as by chance",
        {},
    )


def _largest(scores: FloatArray) -> tuple[int, float]:
    """Return where the largest of independent scores is, and the log p-value of its size."""
    k = int(np.argmax(np.abs(scores)))
    return k, float(sidak(log_two_sided(scores[k]), scores.size))
